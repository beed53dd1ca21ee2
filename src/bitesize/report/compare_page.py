"""The page that compares several runs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from bitesize.errors import BadSetting
from bitesize.html.charts import STYLES, Axis, Chart, Series, line_chart
from bitesize.memory.sizes import format_size
from bitesize.report.curves import titled
from bitesize.report.page import number, seconds
from bitesize.report.records import NO_FIGURES, RunRecords
from bitesize.report.results import figures_of, values_of
from bitesize.report.run_page import status_of
from bitesize.storage.url import is_url

_EPOCH = Axis("epoch", whole=True)


def page_of_runs(runs: Sequence[RunRecords], folder: Path) -> dict[str, Any]:
    """Return the variables of the template ``compare.html``.

    Parameters
    ----------
    runs
        Records of the runs.
    folder
        Folder of the page, from which reports of the runs are linked.

    Raises
    ------
    BadSetting
        If the runs have different tasks.
    """
    tasks = {run.task.name for run in runs}
    if len(tasks) > 1:
        described = ", ".join(f"{run.shown}: {run.task.name}" for run in runs)
        raise BadSetting(f"runs of different tasks cannot be compared ({described}): name runs of one task")
    names, columns = _names(runs), _columns(runs)
    folds = all(run.config["settings"].get("fold") for run in runs)
    return {
        "names": names,
        "folds": folds,
        "mean": _mean(runs, columns) if folds else [],
        "header": columns,
        "rows": [_row(name, run, columns, folder) for name, run in zip(names, runs, strict=True)],
        "charts": _charts(runs, names),
        "settings": [each for each in _differences(runs) if not folds or each[0] != "fold"],
        "warnings": _warnings(runs, folds=folds),
    }


def _row(name: str, run: RunRecords, columns: Sequence[str], folder: Path) -> dict[str, Any]:
    cells = _cells(run)
    return {
        "name": name,
        "link": _link(run, folder),
        "cells": [cells.get(column, "-") for column in columns],
        "status": status_of(run),
    }


def _names(runs: Sequence[RunRecords]) -> list[str]:
    """Return short names, or whole paths if short ones are not unique."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [run.shown for run in runs]


def _cells(run: RunRecords) -> dict[str, str]:
    """Return the figures of a run by their titles."""
    cells = dict(figures_of(run))
    cells["epochs"] = f"{run.saved.trained:,}"
    if run.rows_per_second is not None:
        cells["rows/s"] = f"{run.rows_per_second:,.0f}"
    if "seconds" in run.summary:
        cells["time"] = seconds(run.summary["seconds"])
    if "peak_bytes" in run.summary:
        cells["memory of loading"] = format_size(run.summary["peak_bytes"])
    return cells


def _mean(runs: Sequence[RunRecords], columns: Sequence[str]) -> list[str]:
    """Return mean and standard deviation over folds of each metric, and "" for other columns."""
    values = [values_of(run) for run in runs]
    cells = []
    for column in columns:
        known = np.array([each[column] for each in values if column in each])
        alike = len(known) == len(runs) > 1
        cells.append(f"{number(float(known.mean()))} ± {number(float(known.std(ddof=1)))}" if alike else "")
    return cells


def _columns(runs: Sequence[RunRecords]) -> list[str]:
    return list(dict.fromkeys(column for run in runs for column in _cells(run)))


def _link(run: RunRecords, folder: Path) -> str:
    """Return a link from the page to the report of a run; empty if there is none."""
    report = run.folder / "report.html"
    if is_url(run.shown) or not report.is_file():
        return ""
    try:
        # Quoted: a folder may be named "a#b", and "x:y" would be read as a scheme.
        return quote(os.fsencode(Path(os.path.relpath(report, folder)).as_posix()))
    except ValueError:  # on another drive
        return report.resolve().as_uri()


def _charts(runs: Sequence[RunRecords], names: Sequence[str]) -> list[Chart]:
    """Return a chart for each figure of validation, or of training if there is none, with a line for each run."""
    columns = dict.fromkeys(
        name for run in runs for name in (run.history[0] if run.history else {}) if name not in NO_FIGURES
    )
    validation = [column for column in columns if column.startswith("val_")]
    shown = sorted(validation or columns, key=lambda name: not name.endswith("loss"))
    charts = []
    for column in shown:
        series = [
            Series(name, [(line["epoch"], line[column]) for line in run.history if column in line], style % STYLES)
            for style, (name, run) in enumerate(zip(names, runs, strict=True))
        ]
        charts.append(line_chart(titled(column), series, _EPOCH, Axis(titled(column))))
    return charts


def _differences(runs: Sequence[RunRecords]) -> list[tuple[str, list[str]]]:
    """Return the settings that differ between runs, with their values."""
    settings = [
        {**run.config["settings"], "backend": run.config.get("backend"), "bitesize": run.config.get("bitesize")}
        for run in runs
    ]
    names = dict.fromkeys(name for each in settings for name in each)
    lines = []
    for name in names:
        values = [each.get(name) for each in settings]
        if any(value != values[0] for value in values):
            lines.append((name, [value if isinstance(value, str) else json.dumps(value) for value in values]))
    return lines


def _warnings(runs: Sequence[RunRecords], *, folds: bool) -> list[str]:
    """Return what makes the figures of runs not comparable."""
    found = []
    if not folds and len({run.config.get("fingerprints", {}).get("val") for run in runs}) > 1:
        found.append("The runs were validated on different rows: their figures differ for that reason, too.")
    if unfinished := [run.shown for run in runs if run.saved.unfinished is not None]:
        found.append(f"Not finished: {', '.join(unfinished)}.")
    return found
