"""Evaluate a run for its report: figures, details of single rows, and their pictures; saved in the folder of the run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BitesizeError, DoesNotFit
from bitesize.files.atomic import write_json
from bitesize.files.transfer import replacing_at
from bitesize.memory.budget import as_budget
from bitesize.pictures.overlay import blended
from bitesize.pictures.picture import axes_of_pictures, middle, said_of_pictures, thinned
from bitesize.report.details.base import Details, Example
from bitesize.report.details.classify import ClassDetails
from bitesize.report.details.multilabel import TagDetails
from bitesize.report.details.regress import NumberDetails
from bitesize.report.details.segment import MaskDetails
from bitesize.report.drawing import data_uri, draw_rows, draw_stored, shapes_only
from bitesize.sources.base import Source
from bitesize.storage import paths
from bitesize.training.run import RunFolder
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.choose import saved_task
from bitesize.training.tasks.multilabel import Multilabel
from bitesize.training.tasks.regress import Regress
from bitesize.training.tasks.segment import Segment
from bitesize.training.trained import TrainedModel, evaluate_source

NAME = "evaluation.json"
_log = logging.getLogger("bitesize")
SCHEMA = 1
# Pixels of the longer side of a picture, twice as large as it is shown on most screens; and of the three pictures of a mask.
_SIDE, _MASK_SIDE = 240, 320
# Rows that could not be read and are listed.
_MOST_BAD = 50


def evaluate_run(
    run: RunFolder, source: Source, memory: Any = "auto", progress: Callable[[int], None] = lambda rows: None
) -> dict[str, Any]:
    """Evaluate the saved model of a run on rows with labels, and save the results as ``evaluation.json``.

    Parameters
    ----------
    run
        Folder of the run.
    source
        Rows with labels as the task takes them, from `training.data`.
    memory
        Memory budget of loading.
    progress
        Called with the number of rows done since the last call.

    Returns
    -------
    dict
        ``figures`` as of `TrainedModel.evaluate`, with the confusion matrix as ``pairs`` ([true, predicted, rows]), ``details`` of the
        task, and ``examples``: rows with their facts, paths and pictures. Rows that cannot be read are left out and listed. In a folder
        that cannot be written, the results are not saved.
    """
    budget, model = as_budget(memory), TrainedModel(run)
    task = saved_task(model.config, run.classes())
    details = _details(task, len(source))
    figures = evaluate_source(model, source, budget, "skip", 1.0, progress=progress, watch=details.add)
    examples = details.examples()
    shown, said = _with_pictures(model, task, source, examples, budget)
    found = {
        "schema": SCHEMA,
        "run": model.config.get("run"),
        "epoch": model.saved_epoch.epoch,
        "task": task.name,
        "figures": _compact(figures),
        "details": details.as_dict(),
        "examples": shown,
        "pictures": said,
    }
    try:
        write_json(run.path / NAME, found)
        if run.address and run.mirror is None:  # a copy to read: no training brings the file to the address
            with replacing_at(paths.join(run.address, NAME)) as temporary:
                write_json(temporary, found)
    except (BitesizeError, OSError) as error:
        _log.warning("the results of %s are not saved, and the next report measures them again: %s", run.shown, error)
    return found


def read_evaluation(folder: Path, run: str | None, epoch: int | None) -> dict[str, Any] | None:
    """Return the evaluation of a run's model; None if there is none, or it is of another run or epoch."""
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # an earlier version has written none; a damaged one is made again
        return None
    if (
        not isinstance(found, dict)
        or found.get("schema") != SCHEMA
        or (found.get("run"), found.get("epoch")) != (run, epoch)
    ):
        return None
    return found


def _details(task: Task, rows: int) -> Details:
    if isinstance(task, Multilabel):
        return TagDetails(task)
    if isinstance(task, Regress):
        return NumberDetails(task, rows)
    return MaskDetails(task, rows) if isinstance(task, Segment) else ClassDetails(task.names)


def _compact(figures: dict[str, Any]) -> dict[str, Any]:
    """Return figures with the confusion matrix as pairs: that of many classes is mostly zeros."""
    rest = {name: value for name, value in figures.items() if name not in ("confusion", "classes", "tags", "bad")}
    rest["bad"] = figures["bad"][:_MOST_BAD]
    if "confusion" in figures:
        matrix = np.asarray(figures["confusion"])
        rest["pairs"] = [[int(i), int(j), int(matrix[i, j])] for i, j in np.argwhere(matrix)]
    return rest


def _with_pictures(
    model: TrainedModel, task: Task, source: Source, examples: Sequence[Example], budget: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows to show with their facts, paths and pictures; and lines on what pictures leave out."""
    shown = [{"row": each.row, "path": source.describe(each.row), **each.facts, "pictures": []} for each in examples]
    if not shown or not axes_of_pictures(source.spec["x"]):
        return shown, []
    part = source.subset(np.array([each.row for each in examples], np.int64))
    try:
        if isinstance(task, Segment):
            _add_masks(model, task, part, shown, budget)
        else:
            _add_stored(part, shown, budget)
    except DoesNotFit as error:  # stored rows may be much larger than those that the model gets
        return shown, [f"There are no pictures of rows: {error}"]
    return shown, said_of_pictures(source.spec["x"])


def _add_stored(part: Source, shown: list[dict[str, Any]], budget: Any) -> None:
    """Add the picture of each row as it is stored."""
    pictures, problems = draw_stored(part, _SIDE, memory=budget, masks=False)
    for i, picture in enumerate(pictures):
        if i not in problems:
            shown[i]["pictures"] = [data_uri(picture, _SIDE)]


def _add_masks(model: TrainedModel, task: Segment, part: Source, shown: list[dict[str, Any]], budget: Any) -> None:
    """Add the picture of each row, with its mask and with the predicted mask over it."""
    steps = shapes_only(model.config["transforms"])
    plain, problems = draw_rows(part, steps, _MASK_SIDE, memory=budget, masks=False)
    labeled, _ = draw_rows(part, steps, _MASK_SIDE, memory=budget)
    predicted = model.predict(part, memory=budget)
    axes = "DHW" if task.dimensions == 3 else "HW"
    for i, facts in enumerate(shown):
        if i in problems:
            continue
        mask = thinned(middle(predicted.masks[i], axes), _MASK_SIDE)  # type: ignore[union-attr]
        drawn = (plain[i], labeled[i], blended(plain[i], mask))
        facts["pictures"] = [data_uri(picture, _MASK_SIDE) for picture in drawn]
