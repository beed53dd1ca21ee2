"""Read the records of a run for its report."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitesize.report.evaluation import read_evaluation
from bitesize.text import readable
from bitesize.training.history import History, read_history
from bitesize.training.run import RunFolder
from bitesize.training.run_log.file import read_log
from bitesize.training.saved_epoch import SavedEpoch, read_saved_epoch, read_summary
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.choose import saved_task

# Columns of a history that are no figures of the model.
NO_FIGURES = ("epoch", "seconds", "rows_per_second")


@dataclass(frozen=True)
class RunRecords:
    """Records of a run.

    Attributes
    ----------
    folder : Path
    shown : str
        Path or address of the run.
    config : dict
    task : Task
    history : list of dict
        Figures of each epoch.
    summary : dict
        Figures of the finished run; empty before its end.
    log : list of dict
        Events of `training.run_log`.
    evaluation : dict or None
        Result of `evaluate_run` for the saved model.
    saved : SavedEpoch
    bad : list of dict
        Rows that were skipped in training.
    """

    folder: Path
    shown: str
    config: dict[str, Any]
    task: Task
    history: list[dict[str, float]]
    summary: dict[str, Any]
    log: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    saved: SavedEpoch
    bad: list[dict[str, str]]

    @property
    def name(self) -> str:
        """Short name: the last two parts of the path."""
        parts = self.shown.replace("\\", "/").rstrip("/").split("/")
        return "/".join(parts[-2:])

    @property
    def rows_per_second(self) -> float | None:
        """Rate of training, without validation."""
        rate = self.summary.get("rows_per_second") or (self.history[-1].get("rows_per_second") if self.history else None)
        return None if rate is None else float(rate)

    def short(self, path: str) -> str:
        """Return the path of a row without the folder of the data."""
        data = os.path.join(self.config.get("folder", ""), self.config["settings"]["data"])
        for folder in (data, self.config.get("folder", "")):
            start = os.path.normpath(folder) + os.sep
            if folder and path.startswith(start):
                return readable(path[len(start) :])
        return readable(path)


def read_records(run: RunFolder) -> RunRecords:
    """Read the records of a run; those that are missing in older or interrupted runs are empty."""
    config, saved = run.config(), read_saved_epoch(run)
    return RunRecords(
        folder=run.path,
        shown=run.shown,
        config=config,
        task=saved_task(config, run.classes()),
        history=_lines(read_history(run.path)),
        summary=read_summary(run) if saved.finished else {},
        log=read_log(run.path),
        evaluation=read_evaluation(run.path, config.get("run"), saved.epoch),
        saved=saved,
        bad=_table(run.path / "bad_rows.csv"),
    )


def _lines(history: History) -> list[dict[str, float]]:
    """Return the figures of each epoch."""
    columns = zip(*history.values(), strict=True)
    return [{"epoch": epoch, **dict(zip(history, values, strict=True))} for epoch, values in enumerate(columns, 1)]


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []
