"""Use a trained run in Python: `load`, then `TrainedModel.predict` and `TrainedModel.evaluate`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, DoesNotFit, NotFound
from bitesize.html.progress import Counts, counts, ignore
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.charge import Charge
from bitesize.sources.base import Source
from bitesize.sources.contents import shown
from bitesize.sources.open import open as open_data
from bitesize.storage import paths
from bitesize.storage.url import is_url
from bitesize.training.collecting import collect
from bitesize.training.data import open_for_run
from bitesize.training.given import Given
from bitesize.training.mask_predictions import MaskPredictions
from bitesize.training.numbered import find_run
from bitesize.training.predicting import Block, OnError, Predictor, pieces_of, reason_of
from bitesize.training.prediction_notes import log_prediction
from bitesize.training.prediction_notes import notes_on as notes_on
from bitesize.training.predictions import NumberPredictions, Predictions, TagPredictions
from bitesize.training.run import RunFolder
from bitesize.training.run_facts import RunFacts
from bitesize.training.saved_epoch import read_saved_epoch
from bitesize.training.score import Scored, Scorer, charged_scores
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.segment import Segment
from bitesize.transforms.base import Transform

AnyPredictions = Predictions | TagPredictions | NumberPredictions | MaskPredictions
_log = logging.getLogger("bitesize")
_SHOWN = 5


def open_run(run: str | os.PathLike[str]) -> RunFolder:
    """Open the folder of a run by its path, by the path of its model, or as ``runs/latest``: the newest numbered run.

    Raises
    ------
    BadSetting
        If the argument is not a path.
    NotFound
        If the folder does not exist or has no model yet.
    """
    if not isinstance(run, str | os.PathLike):
        raise BadSetting(
            f'the run must be the path of its folder, such as "runs/first", not {type(run).__name__} {run!r:.60}'
        )
    if shown(os.fspath(run)) != os.fspath(run):
        raise NotFound(f"{shown(os.fspath(run))} does not exist")
    if is_url(os.fspath(run)):
        folder, name = paths.split(os.fspath(run).rstrip("/"))
        return RunFolder.open(folder if name in ("model.keras", "model.skops") else os.fspath(run))
    return RunFolder.open(find_run(os.path.dirname(run) or "." if os.path.isfile(run) else run))


def load(run: str | os.PathLike[str]) -> TrainedModel:
    """Load a trained model together with the preprocessing of its data.

    Parameters
    ----------
    run
        Folder written by ``bitesize train --out``, or the ``model.keras`` or ``model.skops`` in it. A run at an address is copied
        first, without its checkpoints.

    Returns
    -------
    TrainedModel
        The model, with its classes, settings and transforms.

    Raises
    ------
    BadSetting
        If ``run`` is not a path.
    NotFound
        If the folder does not exist or has no model yet.
    BadFile
        If the model or its settings cannot be read.
    MissingPackage
        If the model needs a package that is not installed.

    Examples
    --------
    >>> import bitesize as bs
    >>> bs.load("runs/1").classes
    ('left', 'right')
    >>> bs.load("nowhere")
    Traceback (most recent call last):
    bitesize.errors.NotFound: nowhere does not exist
    """
    model = TrainedModel(open_run(run))
    if (line := model.saved_epoch.unfinished) is not None:
        _log.warning("load: %s: %s", model.folder, line)
    return model


class TrainedModel(RunFacts):
    """Trained model from `load`, with the classes, settings and transforms of its run.

    Parameters
    ----------
    run
        Folder of the run; programs call `load` instead.

    Attributes
    ----------
    model : object
        The Keras model or scikit-learn estimator.
    task : str
        What the model has learned: ``"classify"``, ``"multilabel"``, ``"regress"`` or ``"segment"``.
    names : tuple of str
        Names of the model's outputs, in their order: classes, tags or targets.
    classes : tuple of str
        The names if they are classes or tags; else empty.
    transforms : list of Transform
        Transforms that the run applied to its data before the model, without augmentation.
    config : dict
        Contents of the run's ``config.json``.
    settings : dict
        Settings of the training.
    input_shape : tuple of int
        Shape of a row at the model's input.
    folder : Path
        Folder of the run; of a run at an address, that of its copy.
    saved_epoch : SavedEpoch
        Epoch of the model, and whether the run has finished.
    history : History
        Figures of each epoch.

    Examples
    --------
    >>> import bitesize as bs
    >>> model = bs.load("runs/1")
    >>> model.classes, model.input_shape
    (('left', 'right'), (2,))
    """

    def __init__(self, run: RunFolder) -> None:
        self._scorer = Scorer(run)
        self.folder = run.path
        self.saved_epoch = read_saved_epoch(run)
        self.task: str = self._scorer.task.name
        self.names: tuple[str, ...] = self._scorer.task.names
        self.classes: tuple[str, ...] = () if self.task == "regress" else self.names
        self.config: dict[str, Any] = self._scorer.config
        self.settings: dict[str, Any] = self.config["settings"]
        self.input_shape: tuple[int, ...] = self._scorer.shape
        self.transforms: list[Transform] = run.transforms()
        self.model: Any = getattr(self._scorer.model, "estimator", self._scorer.model)

    def predict(
        self,
        data: Any,
        *,
        memory: int | str | Budget = "auto",
        on_error: OnError = "skip",
        progress: Counts | bool | None = None,
    ) -> AnyPredictions:
        """Predict the class, the tags, the numbers or the mask of each row, in the given order.

        Rows are adapted to the training data, like validation data: images are decoded to the same mode and resized, and values
        are scaled to the same range, for image files, `.npy` files and arrays. Further adaptations are logged, and listed in
        ``said`` of the result. Values that are clearly in other units are an error.

        Parameters
        ----------
        data
            Path of an image or a `.npy` file, a folder with or without class folders, a glob, or a list of these, with mixed
            formats and sizes; a file of many rows; an array of shape `input_shape`, or (height, width, channels) of any size, or
            a batch of these; an image of Pillow; a list of arrays or images; a `Source`; or any other argument of `bitesize.open`.
        memory
            Memory budget of loading and probabilities: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
        on_error
            Action for a row that cannot be read. ``"skip"``: keep its position, without a label, with the reason in ``errors``.
            ``"raise"``: raise an error.
        progress
            Called with the number of rows that were predicted since the last call; or True, which shows a bar.

        Returns
        -------
        Predictions, TagPredictions or NumberPredictions
            Probabilities and classes or tags, or numbers in units of the data, and errors of all rows.

        Raises
        ------
        NotFound
            If a file does not exist.
        BadSetting
            If rows do not have the shape or the units that the model takes.
        BadFile
            If no row could be read.
        DoesNotFit
            If the budget is too small.

        Examples
        --------
        >>> import bitesize as bs
        >>> model = bs.load("runs/1")
        >>> for path, label, probability in model.predict([[0.9, 0.1], [-0.9, 0.5]]):
        ...     print(path, label, round(probability, 1))
        row 0 right 0.6
        row 1 right 0.5
        """
        given = collect(self.config, data)
        budget = as_budget(memory)
        task = self._scorer.task
        charge = _charged(budget, len(given), task, self.folder)
        try:
            predictions, errors, first = self._predict_all(
                given, budget, on_error, counts(progress, "predicting", len(given))
            )
        finally:
            charge.release()
        if first is not None and len(errors) == len(given):
            raise first
        lines = [*notes_on(given), *self._scorer.said]
        log_prediction(given, errors, lines)
        found: AnyPredictions = task.result(predictions, given.describe, errors, lines)
        if isinstance(found, MaskPredictions):
            found.size = partial(given.image_size, dimensions=found.masks.ndim - 1)
        return found

    def _predict_all(
        self, given: Given, budget: Budget, on_error: OnError, progress: Counts | None
    ) -> tuple[NDArray[np.float32], dict[int, str], Exception | None]:
        """Return the predictions of all rows, the reasons of rows without one, and the first of their errors."""
        task = self._scorer.task
        predictions = task.empty(len(given))
        errors: dict[int, str] = {}
        first: Exception | None = None
        for block in predict_blocks(self, given, budget, on_error, progress or ignore):
            predictions[block.start : block.start + len(block.predictions)] = task.held(block.predictions)
            errors |= {row: reason_of(error, given.describe(row)) for row, error in block.reasons.items()}
            first = first or next(iter(block.reasons.values()), None)
        return predictions, errors, first

    @property
    def adapted(self) -> list[str]:
        """Adaptations of the last prediction or evaluation that the training data did not need."""
        return list(self._scorer.said)

    def evaluate(
        self,
        data: Any,
        labels: Any = None,
        *,
        memory: int | str | Budget = "auto",
        on_error: OnError = "raise",
        max_bad: float = 0.01,
        progress: Counts | bool | None = None,
    ) -> dict[str, Any]:
        """Measure loss and metrics on data with labels; each row counts once.

        Parameters
        ----------
        data, labels
            As in `bitesize.open`, for example a folder with class folders. Classes are matched by name.
        memory
            Memory budget of loading.
        on_error, max_bad
            As in `bitesize.Loader`.
        progress
            As in `predict`.

        Returns
        -------
        dict
            The same as the output of ``bitesize evaluate --json``: ``loss``, ``rows``, ``bad_rows``, ``bad`` and ``left_out``. With classes also
            ``accuracy``, ``classes``, ``per_class`` and ``confusion`` ([true class][predicted class]); with tags ``f1_macro``, ``f1_micro``, ``auc``,
            ``exact_match``, ``tags`` and ``per_tag``; with numbers ``mae``, ``rmse``, ``r2``, ``targets`` and ``per_target``; with masks ``mean_iou``,
            ``mean_dice``, ``pixel_accuracy``, ``classes``, ``per_class`` and ``confusion`` in pixels.

        Raises
        ------
        BadSetting
            If there are no labels, or a class is unknown to the model.

        Examples
        --------
        >>> import bitesize as bs
        >>> model = bs.load("runs/1")
        >>> model.evaluate([[0.9, 0.1], [-0.9, 0.5]], ["left", "right"])["accuracy"]
        0.5
        """
        if labels is not None and not isinstance(labels, str):
            data, labels = open_data(data, labels), None
        source = open_for_run({**self.config, "classes": self.names}, data, {}, labels=labels, labeled=True)
        report = counts(progress, "evaluating", len(source)) or ignore
        return evaluate_source(self, source, memory, on_error, max_bad, report)

    def __repr__(self) -> str:
        many = self._scorer.task.many
        names = ", ".join(self.names[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        shape = " x ".join(map(str, self.input_shape)) or "one number"
        more = "".join(f", {line}" for line in (self.saved_epoch.score, self.saved_epoch.unfinished) if line is not None)
        return f"TrainedModel({str(self.folder)!r}: {self.settings['model']}, rows of {shape}, {many} {names}{more})"


def _charged(budget: Budget, rows: int, task: Task, run: os.PathLike[str]) -> Charge:
    """Charge the predictions of all rows; masks that do not fit can be written to files while they come."""
    try:
        return budget.charge(task.empty(1).nbytes * rows, f"{task.predictions_are} of {rows:,} rows and {task.described}")
    except DoesNotFit as error:
        if not isinstance(task, Segment):
            raise
        raise DoesNotFit(
            f"{error} Or predict fewer rows at a time, or write the masks to files while they come: bitesize predict {run} DATA --masks FOLDER"
        ) from error


def predict_blocks(
    model: TrainedModel, given: Given, budget: Budget, on_error: OnError, progress: Counts = ignore
) -> Iterator[Block]:
    """Predict block by block, for results that are written while they come; see `TrainedModel.predict`.

    Parameters
    ----------
    model
        The trained model.
    given
        Result of `collecting.collect`.
    budget
        Memory budget of loading and of the predictions of one block.
    on_error
        As in `TrainedModel.predict`.
    progress
        Called with the number of rows done since the last call.

    Yields
    ------
    Block
        With ``start``, ``predictions`` of shape (rows, width), and ``reasons`` of rows without them.
    """
    scorer = model._scorer
    scorer.said = []
    with closing(Predictor(scorer, given, budget, on_error)) as predictor:
        for piece in pieces_of(given, scorer.task.width, lambda source: [range(len(source))]):
            yield from predictor.predict(piece, progress)
        scorer.said += predictor.warnings()


def evaluate_source(
    model: TrainedModel,
    source: Source,
    memory: Any,
    on_error: OnError,
    max_bad: float,
    progress: Counts = ignore,
    planned: Callable[[list[str]], None] = lambda said: None,
    task: Task | None = None,
    watch: Callable[[Scored], None] = lambda scored: None,
) -> dict[str, Any]:
    """Evaluate on a source from `data.open_for_run`; see `TrainedModel.evaluate`.

    Parameters
    ----------
    model, source, memory
        The trained model, rows with labels, and the memory budget of loading.
    on_error, max_bad
        As in `bitesize.Loader`.
    progress, planned, watch
        Called with the number of rows done since the last call, with the adaptations before anything is read, and with each batch.
    task
        Task that joins the scores, with another threshold than that of the run. Default: the run's.

    Returns
    -------
    dict
        As for `TrainedModel.evaluate`.
    """
    scorer, budget = model._scorer, as_budget(memory)
    scorer.said = []
    task = task or scorer.task
    with (
        charged_scores(task, len(source), budget) as lines,
        scorer.loader(source, budget, model.settings["batch_size"], on_error, max_bad) as loader,
    ):
        planned([*model.adapted, *lines])

        def scores() -> Iterator[Any]:
            """Yield the score of each batch."""
            for scored in scorer.batches(loader, progress):
                watch(scored)
                yield scorer.score(scored)

        result = task.joined(scores(), len(source))
        bad = [row._asdict() for row in loader.bad]
    bad += [{"row": row, "path": source.describe(row), "reason": why} for row, why in scorer.not_finite.items()]
    return {**result, "bad": bad, "left_out": dict(source.left_out)}
