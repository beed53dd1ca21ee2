"""Find the task from the labels of the data, or check that the one given fits them; read it from a saved run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitesize.errors import BadFile, BadSetting
from bitesize.sources.base import Source
from bitesize.spec import Encoded, Field
from bitesize.training.classes import are_quantity, is_quantity
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.classify import Classify
from bitesize.training.tasks.labels import describe_labels
from bitesize.training.tasks.mask_numbers import is_mask
from bitesize.training.tasks.multilabel import Multilabel, only_zeros_and_ones
from bitesize.training.tasks.regress import Regress
from bitesize.training.tasks.segment import Segment
from bitesize.training.tasks.targets import labels_of

_OF_EACH_ROW = "the labels are whole numbers, and nearly every row has another one"
TASKS: Mapping[str, type[Task]] = {task.name: task for task in (Classify, Multilabel, Regress, Segment)}


def choose_task(
    source: Source,
    name: str,
    labels: str | None,
    where: str,
    loss: str = "auto",
    model: str = "auto",
    ignore_class: str = "auto",
) -> tuple[Task, Source, list[str]]:
    """Return the task, the source with labels as the task takes them, and a line about the choice.

    Parameters
    ----------
    source
        Result of `open_to_train`.
    name
        Value of ``--task``; ``"auto"`` finds the task from the labels.
    labels, where, loss
        As for `Task.of`.
    model
        The option ``--model``, which may not fit the task.
    ignore_class
        The option ``--ignore-class``, for masks.

    Raises
    ------
    BadSetting
        If the labels do not fit the task.
    """
    said = []
    if name == "auto":
        name, why = _found(source)
        said = [f"task: {name}, because {why} (--task changes this)"] if why else []
    elif name not in TASKS:
        raise BadSetting(f"--task must be auto, {', '.join(TASKS)}, not {name!r}")
    TASKS[name].refuse(model)
    if TASKS[name] is Segment:
        return *Segment.of(source, labels, where, loss, ignore_class), said
    if ignore_class != "auto":
        raise BadSetting(f"--ignore-class is for masks, but --task is {name}")
    task, source = TASKS[name].of(source, labels, where, loss)
    return task, source, said


def saved_task(config: Mapping[str, Any], names: tuple[str, ...]) -> Task:
    """Return the task of a run, from its config and the names of its outputs; runs without a task have classes.

    Raises
    ------
    BadFile
        If the task is unknown: the run is of a later version.
    """
    saved = config.get("task") or {"name": Classify.name}
    if saved["name"] not in TASKS:
        raise BadFile(f"the run has the task {saved['name']!r}, which this version of bitesize does not know")
    return TASKS[saved["name"]].saved(names, {"input_shape": config.get("input_shape", ()), **saved})


def _found(source: Source) -> tuple[str, str]:
    """Return the task of the labels, and the reason; without a reason if it is classify, which messages name by its classes."""
    field = source.spec.get("y")
    if is_mask(source):
        return Segment.name, "the labels are masks"
    if field is None or isinstance(field, Encoded) or len(field.shape) > 1:
        return Classify.name, ""
    if source.classes and source.labels is None:
        return Multilabel.name, f"the labels are {describe_labels(source)}"
    if len(field.shape) == 1 and field.shape[0] > 1:
        if only_zeros_and_ones(source):
            return Multilabel.name, "the labels are several numbers per row, and all are 0 or 1"
        return Regress.name, f"the labels are {describe_labels(source)}"
    if source.labels is None:
        return (Regress.name, why) if (why := _quantity(source, field)) else (Classify.name, "")
    if source.classes is None or is_quantity(source):
        return Regress.name, _OF_EACH_ROW
    return Classify.name, ""


def _quantity(source: Source, field: Field) -> str:
    """Return why one number per row is a quantity; empty if it is the number of a class."""
    if field.dtype.kind not in "f":
        return ""
    distinct: set[float] = set()
    for _, values in labels_of(source):
        if (np.isfinite(values) & (values != np.floor(values))).any():
            return "the labels are numbers with decimals"
        distinct.update(np.unique(values).tolist())
    return _OF_EACH_ROW if are_quantity(len(distinct), len(source)) else ""
