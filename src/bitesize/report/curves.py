"""Charts of a training: figures by epoch, speed, and memory over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitesize.html.charts import Axis, Chart, Series, line_chart
from bitesize.memory.sizes import format_size
from bitesize.report.records import NO_FIGURES, RunRecords

_EPOCH = Axis("epoch", whole=True)
# Share of the budget from which the chart of memory shows the budget, too.
_NEAR = 0.2


_NAMES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "auc": "AUC",
    "mean_iou": "mean IoU",
    "mean_dice": "mean Dice",
    "f1": "F1",
}


def titled(name: str) -> str:
    """Return the title of a figure of a history.

    Examples
    --------
    >>> titled("val_mean_iou"), titled("accuracy")
    ('validation mean IoU', 'accuracy')
    """
    base = name.removeprefix("val_")
    return f"{'validation ' if base != name else ''}{_NAMES.get(base, base.replace('_', ' '))}"


def figure_charts(records: RunRecords) -> list[Chart]:
    """Return a chart for the loss, and one for each metric: training and validation by epoch."""
    names = [name for name in (records.history[0] if records.history else {}) if name not in NO_FIGURES]
    bases = sorted(dict.fromkeys(name.removeprefix("val_") for name in names), key=lambda name: name != "loss")
    best = records.saved.epoch
    mark = None if best is None or len(records.history) < 2 else (float(best), "saved model")
    charts = []
    for base in bases:
        series = [
            Series(title, [(line["epoch"], line[name]) for line in records.history if name in line], style)
            for style, (name, title) in enumerate(((base, "training"), (f"val_{base}", "validation")))
        ]
        there = [each for each in series if each.points]
        charts.append(line_chart(titled(base), there, _EPOCH, Axis(titled(base)), mark=mark))
    return charts


def memory_charts(records: RunRecords) -> list[tuple[Chart, str]]:
    """Return charts of the memory of loading against the budget, and of the process, each with a note; empty without a log."""
    lines = [line for line in records.log if line.get("event") in ("batch", "epoch") and "memory_bytes" in line]
    if not lines:
        return []
    held, budget, process = (_values(lines, name) for name in ("memory_bytes", "budget_bytes", "process_bytes"))
    near = max(held) >= _NEAR * max(budget, default=0.0)
    note = "" if near else f"The budget, {format_size(int(max(budget)))}, is far above the chart."
    shown = {"held by the loaders": "memory_bytes", **({"budget": "budget_bytes"} if near else {})}
    charts = [(_over_time("memory of loading", lines, shown, max(budget if near else held)), note)]
    if process:
        text = "Python, the framework, the model and the loaders."
        charts.append((_over_time("memory of the process", lines, {"resident": "process_bytes"}, max(process)), text))
    return charts


def speed_charts(records: RunRecords) -> list[Chart]:
    """Return a chart of rows per second: over time if the run has a log, else by epoch."""
    lines = [line for line in records.log if line.get("event") == "batch" and line.get("rows_per_second")]
    axis = Axis("rows/s", zero=True)
    if len(lines) > 1:
        unit, length = _unit_of_time(lines)
        series = Series("rows/s", _points(lines, "rows_per_second", length, 1.0))
        return [line_chart("speed", [series], Axis(f"{unit} of training", zero=True), axis)]
    points = [(line["epoch"], line["rows_per_second"]) for line in records.history if "rows_per_second" in line]
    return [line_chart("speed", [Series("rows/s", points)], _EPOCH, axis)] if points else []


def _over_time(title: str, lines: Sequence[dict[str, Any]], shown: Mapping[str, str], most: float) -> Chart:
    """Return a chart of sizes over the time of training."""
    (time, length), (size, nbytes) = _unit_of_time(lines), _unit_of_size(most)
    series = [Series(text, _points(lines, name, length, nbytes), i) for i, (text, name) in enumerate(shown.items())]
    return line_chart(title, series, Axis(f"{time} of training", zero=True), Axis(size, zero=True))


def _values(lines: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(line[name]) for line in lines if line.get(name) is not None]


def _points(lines: Sequence[dict[str, Any]], name: str, length: float, unit: float) -> list[tuple[float, float]]:
    return [(float(line["seconds"]) / length, float(line[name]) / unit) for line in lines if line.get(name) is not None]


def _unit_of_time(lines: Sequence[dict[str, Any]]) -> tuple[str, float]:
    """Return a unit that suits the length of training, and its seconds."""
    longest = max(float(line["seconds"]) for line in lines)
    units = (("hours", 3600.0), ("minutes", 60.0))
    return next(((unit, length) for unit, length in units if longest >= 3 * length), ("seconds", 1.0))


def _unit_of_size(most: float) -> tuple[str, float]:
    """Return a unit that suits a size, and its bytes."""
    units = (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10))
    return next(((unit, nbytes) for unit, nbytes in units if most >= 2 * nbytes), ("bytes", 1.0))
