"""Results of the validation rows for a page: key figures, tables and charts of each task."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bitesize.html.charts import Axis, Chart, Series, bar_chart, line_chart, scatter_chart
from bitesize.memory.sizes import rounded
from bitesize.report.matrix import Confusion, confusion_of
from bitesize.report.page import number, share
from bitesize.report.records import RunRecords

# Relative difference up to which two losses are the same one: batches are rounded differently.
_SAME_LOSS = 0.01
# Bars of a histogram of residuals.
_BARS = 30
# Figures that histories have in deviations if there are several targets, and evaluations in units of the data.
_IN_DEVIATIONS = {"mae", "rmse"}
# Figures of each task: name, key, and how it is shown.
_FIGURES = {
    "classify": (("accuracy", "accuracy"), ("top-5 accuracy", "top5"), ("loss", "loss")),
    "multilabel": (("macro F1", "f1_macro"), ("micro F1", "f1_micro"), ("AUC", "auc"), ("exact match", "exact_match"), ("loss", "loss")),
    "regress": (("MAE", "mae"), ("RMSE", "rmse"), ("R²", "r2"), ("loss", "loss")),
    "segment": (("mean IoU", "mean_iou"), ("mean Dice", "mean_dice"), ("pixel accuracy", "pixel_accuracy"), ("loss", "loss")),
}  # fmt: skip
_PER_OUTPUT = {
    "classify": ("per_class", "class", ("rows", "precision", "recall", "f1")),
    "multilabel": ("per_tag", "tag", ("rows", "precision", "recall", "f1", "auc")),
    "regress": ("per_target", "target", ("mae", "rmse", "r2", "baseline_mae")),
    "segment": ("per_class", "class", ("pixels", "iou", "dice", "precision", "recall")),
}
_TITLES = {
    "f1": "F1",
    "auc": "AUC",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "baseline_mae": "MAE of the mean",
    "iou": "IoU",
    "dice": "Dice",
}


@dataclass(frozen=True)
class Results:
    """Results to show.

    Attributes
    ----------
    rows : int
        Number of evaluated rows.
    figures : list of (str, str)
        Names and values of the metrics, the most important first.
    header, table : list
        Titles and rows of the table of each class, tag or target.
    confusion : Confusion or None
    counted : str
        What the confusion matrix counts.
    charts : list of (Chart, str)
        Charts with a note.
    """

    rows: int
    figures: list[tuple[str, str]]
    header: list[str]
    table: list[list[str]]
    confusion: Confusion | None = None
    counted: str = "rows"
    charts: list[tuple[Chart, str]] = field(default_factory=list)


def results_of(records: RunRecords) -> Results | None:
    """Return the results of the evaluation of a run; None if there is none."""
    if records.evaluation is None:
        return None
    task, found = records.task, records.evaluation
    figures, details = found["figures"], found["details"]
    header, table = _table(task.name, figures)
    confusion = confusion_of(task.names, figures["pairs"]) if "pairs" in figures else None
    charts: list[tuple[Chart, str]] = []
    if "calibration" in details:
        charts.append(_calibration(details["calibration"], "tag" if task.name == "multilabel" else "row"))
    if "points" in details:
        charts += _residuals(details, figures["rows"])
    counted = "pixels" if task.name == "segment" else "rows"
    return Results(figures["rows"], figures_of(records), header, table, confusion, counted, charts)


def values_of(records: RunRecords) -> dict[str, float]:
    """Return the metrics of the saved model by their titles: as evaluated, else those of the history that mean the same.

    The loss of the history may be weighted, or another one.
    """
    names = _FIGURES[records.task.name]
    if records.evaluation is not None:
        every = {**records.evaluation["figures"], "top5": records.evaluation["details"].get("top5")}
        return {name: every[key] for name, key in names if every.get(key) is not None}
    found, left_out = records.saved.figures, {"loss"}
    if len(records.task.names) > 1:
        left_out |= _IN_DEVIATIONS
    return {name: float(found[f"val_{key}"]) for name, key in names if found.get(f"val_{key}") and key not in left_out}


def figures_of(records: RunRecords) -> list[tuple[str, str]]:
    """Return titles and values of the metrics of the saved model, the most important first."""
    return [(name, number(value)) for name, value in values_of(records).items()]


def has_other_loss(records: RunRecords) -> bool:
    """Return whether the loss of the curves is another one than that of the results: weighted, or of --loss or the model."""
    trained = records.saved.figures.get("val_loss")
    if records.evaluation is None or not trained:
        return False
    return not math.isclose(float(trained), records.evaluation["figures"]["loss"], rel_tol=_SAME_LOSS, abs_tol=1e-4)


class Trivial(NamedTuple):
    """The best answer that ignores the inputs.

    Attributes
    ----------
    answer : str
    metric, value : str
        Name of the metric, and its value for this answer.
    """

    answer: str
    metric: str
    value: str


def trivial_of(records: RunRecords) -> Trivial | None:
    """Return the trivial answer that a model has to exceed, measured on the validation rows; None if it is unknown."""
    task = records.task.name
    if records.evaluation is None:
        largest = records.summary.get("largest_class")
        return (
            None if not largest else Trivial(f"always answering {largest['class']!r}", "accuracy", number(largest["share"]))
        )
    figures = records.evaluation["figures"]
    if task == "classify":
        most = max(figures["per_class"], key=lambda line: line["rows"])
        return Trivial(f"always answering {most['class']!r}", "accuracy", number(most["rows"] / figures["rows"]))
    found = figures.get("baseline")
    if not found:
        return None
    if task == "regress":
        return Trivial("predicting the mean of the training rows", "MAE", number(found["mae"]))
    if task == "multilabel":
        return Trivial(f"always answering {', '.join(found['tags'])}", "micro F1", number(found["f1_micro"]))
    return Trivial(f"predicting {found['class']!r} everywhere", "mean IoU", number(found["mean_iou"]))


def _table(task: str, figures: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    key, name, columns = _PER_OUTPUT[task]
    lines = figures[key]
    there = [column for column in columns if any(column in line for line in lines)]
    header = [name, *(_TITLES.get(column, column) for column in there)]
    return header, [[line[name], *(_cell(line.get(column)) for column in there)] for line in lines]


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value)


def _calibration(found: dict[str, Any], of: str) -> tuple[Chart, str]:
    points = [(each["probability"], each["right"]) for each in found["bins"]]
    right = Series("perfect", [(0.0, 0.0), (1.0, 1.0)], 7, dots=False)
    axis = Axis("share of the tags that are there" if of == "tag" else "share that is right", zero=True, values=(0.0, 1.0))
    chart = line_chart(
        "calibration", [Series("model", points), right], Axis("predicted probability", zero=True, values=(0.0, 1.0)), axis
    )
    table = [["probability", axis.name, f"predictions of a {of}"]]
    table += [[number(each["probability"]), number(each["right"]), f"{each['predictions']:,}"] for each in found["bins"]]
    chart = Chart(chart.title, chart.svg, chart.legend, chart.x, table)
    error = share(found["error"])
    return chart, f"On the dashed line, a probability of 0.8 is right in 80 % of the cases. Mean difference: {error}."


def _residuals(details: dict[str, Any], rows: int) -> list[tuple[Chart, str]]:
    """Return for each target predicted against true values, and a histogram of their differences."""
    charts: list[tuple[Chart, str]] = []
    every = details["every"]
    some = "" if every == 1 else f"Every {every:,}th of {rows:,} rows."
    for name, values in details["points"].items():
        true, predicted = np.array(values["true"], float), np.array(values["predicted"], float)
        if not len(true):
            continue
        pairs = Series(name, list(zip(true.tolist(), predicted.tolist(), strict=True)))
        charts.append(
            (scatter_chart(f"{name}: predicted and true", pairs, Axis("true"), Axis("predicted"), diagonal=True), some)
        )
        errors = predicted - true
        counts, edges = np.histogram(errors, bins=min(_BARS, max(1, len(errors) // 2)))
        bars = list(zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True))
        note = f"Predicted minus true; mean {rounded(float(errors.mean()))}. {some}".strip()
        charts.append((bar_chart(f"{name}: residuals", bars, Axis("predicted minus true"), Axis("rows", whole=True)), note))
    return charts
