"""The options and tables that depend on the task of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, counted, plain
from bitesize.memory.sizes import rounded

if TYPE_CHECKING:
    from bitesize.training.run import RunFolder
    from bitesize.training.tasks.base import Task

Threshold = Annotated[
    float | None,
    typer.Option(metavar="P", help="For tags: the least probability of a tag that is predicted. Default: 0.5."),
]
_MOST_IN_MATRIX = 12


def task_with(run: RunFolder, threshold: float | None) -> Task:
    """Return the task of a run, with another threshold if one is given.

    Raises
    ------
    BadSetting
        If the run has no tags.
    """
    from bitesize.errors import BadSetting
    from bitesize.training.tasks.choose import saved_task
    from bitesize.training.tasks.multilabel import Multilabel

    task = saved_task(run.config(), run.classes())
    if threshold is None:
        return task
    if not isinstance(task, Multilabel):
        raise BadSetting(f"--threshold is for tags, but {run.shown} has the task {task.name}")
    return replace(task, threshold=threshold)


def print_figures(task: Task, result: dict[str, Any]) -> None:
    """Print the figures of an evaluation: one line, and what the task has besides."""
    headline, _ = _PRINTED[task.name]
    console.print(f"{counted(result['rows'], 'row')}: {headline(result)}", highlight=False)


def print_tables(task: Task, result: dict[str, Any]) -> None:
    """Print the tables of an evaluation."""
    _PRINTED[task.name][1](result)


def print_table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table, whose first column is text."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    console.print_table(table)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _of_classes(result: dict[str, Any]) -> str:
    return f"loss {result['loss']:.4f}, accuracy [bold]{result['accuracy']:.4f}[/]"


def _table_of_classes(result: dict[str, Any]) -> None:
    lines = [
        [plain(line["class"]), *(_figure(line[name]) for name in ("precision", "recall", "f1")), f"{line['rows']:,}"]
        for line in result["per_class"]
    ]
    print_table(("class", "precision", "recall", "F1", "rows"), lines)
    _print_confusion(result)


def _print_confusion(result: dict[str, Any], of: str = "") -> None:
    """Print the confusion matrix, if there are not too many classes."""
    if len(result["classes"]) <= _MOST_IN_MATRIX:
        console.print(f"\nconfusion matrix ({of}rows: true class, columns: predicted class)")
        counts = [
            [plain(name), *(f"{count:,}" for count in line)]
            for name, line in zip(result["classes"], result["confusion"], strict=True)
        ]
        print_table(("", *map(plain, result["classes"])), counts)


def _of_tags(result: dict[str, Any]) -> str:
    return (
        f"loss {result['loss']:.4f}, F1 [bold]{_figure(result['f1_macro'])}[/] (mean of tags), {_figure(result['f1_micro'])} (all tags together), "
        f"AUC {_figure(result['auc'])}, all tags right {result['exact_match']:.3f}"
    )


def _table_of_tags(result: dict[str, Any]) -> None:
    baseline = result["baseline"]
    if baseline is not None:
        answer = plain(", ".join(baseline["tags"]))
        console.print(
            f"always answering {answer} gives F1 {_figure(baseline['f1_micro'])} (all tags together)", highlight=False
        )
    names = ("precision", "recall", "f1", "auc")
    lines = [
        [plain(line["tag"]), *(_figure(line[name]) for name in names), f"{line['rows']:,}"] for line in result["per_tag"]
    ]
    print_table(("tag", "precision", "recall", "F1", "AUC", "rows"), lines)


def _of_numbers(result: dict[str, Any]) -> str:
    several = " (means of targets)" if len(result["targets"]) > 1 else ""
    return f"loss {result['loss']:.4f}, MAE [bold]{rounded(result['mae'])}[/], RMSE {rounded(result['rmse'])}, R2 {_figure(result['r2'])}{several}"


def _table_of_numbers(result: dict[str, Any]) -> None:
    baseline = result["baseline"]
    console.print(f"predicting the mean of the training rows gives MAE {rounded(baseline['mae'])}", highlight=False)
    lines = [
        [
            plain(line["target"]),
            *(rounded(line[name]) for name in ("mae", "rmse")),
            _figure(line["r2"]),
            rounded(line["baseline_mae"]),
        ]
        for line in result["per_target"]
    ]
    print_table(("target", "MAE", "RMSE", "R2", "MAE of the mean"), lines)


def _of_masks(result: dict[str, Any]) -> str:
    return (
        f"loss {result['loss']:.4f}, mean IoU [bold]{result['mean_iou']:.4f}[/], mean Dice {result['mean_dice']:.4f}, "
        f"pixel accuracy {result['pixel_accuracy']:.4f}"
    )


def _table_of_masks(result: dict[str, Any]) -> None:
    baseline = result["baseline"]
    if baseline is not None:
        console.print(
            f"predicting {plain(baseline['class'])} everywhere gives mean IoU {baseline['mean_iou']:.4f}", highlight=False
        )
    names = ("iou", "dice", "precision", "recall")
    lines = [
        [plain(line["class"]), *(_figure(line[name]) for name in names), f"{line['pixels']:,}"]
        for line in result["per_class"]
    ]
    print_table(("class", "IoU", "Dice", "precision", "recall", "pixels"), lines)
    _print_confusion(result, "pixels; ")


_PRINTED: dict[str, tuple[Callable[[dict[str, Any]], str], Callable[[dict[str, Any]], None]]] = {
    "classify": (_of_classes, _table_of_classes),
    "multilabel": (_of_tags, _table_of_tags),
    "regress": (_of_numbers, _table_of_numbers),
    "segment": (_of_masks, _table_of_masks),
}
