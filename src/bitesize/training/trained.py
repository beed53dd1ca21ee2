"""A trained run in one's own script: `load`, then `TrainedModel.predict` and `TrainedModel.evaluate`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from bitesize.errors import BadSetting, NotFound
from bitesize.memory.budget import Budget, as_budget
from bitesize.sources.base import Source
from bitesize.sources.contents import shown
from bitesize.sources.explanation import counted_reason
from bitesize.sources.open import open as open_data
from bitesize.training.collecting import collect
from bitesize.training.data import open_for_run
from bitesize.training.given import Given
from bitesize.training.predicting import OnError, predict_given, reason_of
from bitesize.training.predictions import Predictions
from bitesize.training.run import RunFolder
from bitesize.training.saved_epoch import read_saved_epoch
from bitesize.training.score import Scorer
from bitesize.training.score import evaluate as measure
from bitesize.transforms.base import Transform

_log = logging.getLogger("bitesize")
_SHOWN = 5


def open_run(run: str | os.PathLike[str]) -> RunFolder:
    """Open the folder of a run by its name, or by that of the model in it; `load`, `evaluate` and `predict` find runs by this function.

    Raises
    ------
    BadSetting
        If it is no path.
    NotFound
        If it is not there or has no model yet.
    """
    if not isinstance(run, str | os.PathLike):
        raise BadSetting(
            f'the path of a run\'s folder is needed, such as "runs/first", not {type(run).__name__} {run!r:.60}'
        )
    if shown(os.fspath(run)) != os.fspath(run):
        raise NotFound(f"{shown(os.fspath(run))} does not exist")
    return RunFolder.open(os.path.dirname(run) or "." if os.path.isfile(run) else run)


def load(run: str | os.PathLike[str]) -> TrainedModel:
    """Load a trained model with all that was done to its data.

    Parameters
    ----------
    run
        The folder that ``bitesize train --out`` wrote, or the ``model.keras`` or ``model.skops`` in it.

    Raises
    ------
    BadSetting
        If it is no path.
    NotFound
        If it is not there or has no model yet.
    BadFile
        If the model or its settings cannot be read.
    MissingPackage
        If the model needs a package that is not installed.

    Examples
    --------
    >>> import bitesize as bs
    >>> bs.load("nowhere")
    Traceback (most recent call last):
    bitesize.errors.NotFound: nowhere is not the folder of a finished run: it has no config.json
    """
    model = TrainedModel(open_run(run))
    if (line := model.saved_epoch.unfinished) is not None:
        _log.warning("load: %s: %s", model.folder, line)
    return model


class TrainedModel:
    """A model that `load` has loaded, and what its run knows: classes, settings, and what is done to data.

    Attributes
    ----------
    model : object
        The model of Keras, or of scikit-learn.
    classes : tuple of str
        Names of the classes, in the order of the model's outputs.
    transforms : list of Transform
        What the run did to rows of its own data before the model, without augmentation.
    config : dict
        All that the run's ``config.json`` holds.
    settings : dict
        The settings of the training.
    input_shape : tuple of int
        Shape of a row as the model takes it.
    folder : Path
        The run's folder.
    saved_epoch : SavedEpoch
        Of which epoch the model is, and whether the run is finished.
    """

    def __init__(self, run: RunFolder) -> None:
        self._scorer = Scorer(run)
        self.folder = run.path
        self.saved_epoch = read_saved_epoch(run)
        self.classes: tuple[str, ...] = self._scorer.classes
        self.config: dict[str, Any] = self._scorer.config
        self.settings: dict[str, Any] = self.config["settings"]
        self.input_shape: tuple[int, ...] = self._scorer.shape
        self.transforms: list[Transform] = run.transforms()
        self.model: Any = getattr(self._scorer.model, "estimator", self._scorer.model)

    def predict(self, data: Any, *, memory: int | str | Budget = "auto", on_error: OnError = "skip") -> Predictions:
        """Predict the class of each row, in the order given.

        Rows are brought to what the run was trained on, as validation data were: images are resized and decoded to the same mode, values
        are brought to the same range, whether they come as image files, `.npy` files or arrays. What is done besides is logged, and
        in ``said`` of the result. Values that are clearly in other units are refused.

        Parameters
        ----------
        data
            The path of an image or a `.npy` file, a folder with class folders or without, a glob, or a list of them, in which
            kinds and sizes may differ; a file of many rows; an array of shape `input_shape`, or (height, width, channels) of any size,
            or a batch of such rows; an image of Pillow; a list of arrays or images; a `Source`; or whatever else `bitesize.open` takes.
        memory
            What loading and the probabilities may hold: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
        on_error
            What happens to a row that cannot be read. ``"skip"``: it keeps its place, without a label, and its reason is in ``errors``.
            ``"raise"``: it is an error.

        Returns
        -------
        Predictions

        Raises
        ------
        NotFound
            If a file is missing.
        BadSetting
            If rows have another shape, or other units, than the model takes.
        BadFile
            If no row could be read.
        DoesNotFit
            If the budget is too small.

        Examples
        --------
        ::

            model = bs.load("runs/first")
            for path, label, probability in model.predict("unknown/"):
                print(path, label, probability)
        """
        given = collect(self.config, data)
        budget = as_budget(memory)
        shape = (len(given), len(self.classes))
        charge = budget.charge(shape[0] * shape[1] * 4, f"probabilities of {shape[0]:,} rows and {shape[1]:,} classes")
        try:
            probabilities = np.full(shape, np.nan, np.float32)
            errors: dict[int, str] = {}
            first: Exception | None = None
            for block in self.predict_blocks(given, budget, on_error):
                probabilities[block.start : block.start + len(block.probabilities)] = block.probabilities
                errors |= {row: reason_of(error, given.describe(row)) for row, error in block.reasons.items()}
                first = first or next(iter(block.reasons.values()), None)
        finally:
            charge.release()
        if first is not None and len(errors) == len(given):
            raise first
        said = [*self.said_of(given), *self._scorer.said]
        if errors:
            row, reason = next(iter(errors.items()))
            rows = "1 row has" if len(errors) == 1 else f"{len(errors):,} rows have"
            _log.warning("predict: %s no prediction; %s: %s", rows, given.describe(row), reason)
        for line in said:
            (_log.warning if line.startswith("warning: ") else _log.info)("predict: %s", line.removeprefix("warning: "))
        return Predictions(probabilities, self.classes, given.describe, errors, said)

    def predict_blocks(
        self, given: Given, budget: Budget, on_error: OnError, progress: Callable[[int], None] = lambda rows: None
    ) -> Any:
        """Predict what `collecting.collect` found, block by block: for more rows than memory has probabilities for.

        What was adapted is in `adapted` afterwards.
        """
        self._scorer.said = []
        return predict_given(self._scorer, given, budget, on_error, progress)

    @property
    def adapted(self) -> list[str]:
        """What was done to the rows of the last prediction or evaluation that was not done to those of the training data."""
        return list(self._scorer.said)

    @staticmethod
    def said_of(given: Given) -> list[str]:
        """Return what was understood of data, and what was left out, a line each."""
        left = ", ".join(counted_reason(count, why) for why, count in given.left_out.items())
        return [*dict.fromkeys(given.said), *([f"left out: {left}"] if left else [])]

    def evaluate(
        self,
        data: Any,
        labels: Any = None,
        *,
        memory: int | str | Budget = "auto",
        on_error: OnError = "raise",
        max_bad: float = 0.01,
    ) -> dict[str, Any]:
        """Measure loss, accuracy and the confusion matrix on data with labels; each row counts once.

        Parameters
        ----------
        data, labels
            As `bitesize.open` takes them, a folder with class folders for one. Classes are matched by their names.
        memory
            What loading may hold.
        on_error, max_bad
            As for `bitesize.Loader`.

        Returns
        -------
        dict
            As ``bitesize evaluate --json`` prints it: ``loss`` (mean cross-entropy in nats), ``accuracy``, ``rows``, ``bad_rows``,
            ``classes``, ``per_class``, ``confusion`` ([true class][predicted class]), ``bad`` and ``left_out``.

        Raises
        ------
        BadSetting
            If there are no labels, or a class that the model does not know.
        """
        if labels is not None and not isinstance(labels, str):
            data, labels = open_data(data, labels), None
        source = open_for_run({**self.config, "classes": self.classes}, data, {}, labels=labels, labeled=True)
        return self.evaluate_source(source, memory, on_error, max_bad)

    def evaluate_source(
        self,
        source: Source,
        memory: Any,
        on_error: OnError,
        max_bad: float,
        progress: Callable[[int], None] = lambda rows: None,
        planned: Callable[[list[str]], None] = lambda said: None,
    ) -> dict[str, Any]:
        """Evaluate on a source that `data.open_for_run` opened; ``planned`` is called with what was adapted, before anything is read."""
        self._scorer.said = []
        with self._scorer.loader(source, memory, self.settings["batch_size"], on_error, max_bad) as loader:
            planned(self.adapted)
            result = measure(self.classes, self._scorer.batches(loader, progress))
            bad = [each._asdict() for each in loader.bad]
        bad += [{"row": row, "path": source.describe(row), "reason": why} for row, why in self._scorer.not_finite.items()]
        return {**result, "bad": bad, "left_out": dict(source.left_out)}

    def __repr__(self) -> str:
        classes = ", ".join(self.classes[:_SHOWN]) + (", ..." if len(self.classes) > _SHOWN else "")
        shape = " x ".join(map(str, self.input_shape)) or "one number"
        more = "".join(f", {line}" for line in (self.saved_epoch.score, self.saved_epoch.unfinished) if line is not None)
        return f"TrainedModel({str(self.folder)!r}: {self.settings['model']}, rows of {shape}, classes {classes}{more})"
