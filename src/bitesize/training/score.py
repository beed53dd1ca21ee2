"""Evaluate and predict: each row exactly once, in order, in batches of one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.batch import Batch
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadFile, BadSetting, DoesNotFit
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.charge import Charge
from bitesize.memory.sizes import counted, format_size
from bitesize.sources.base import Source
from bitesize.training.adapting import adapt, fits
from bitesize.training.backend import load_keras
from bitesize.training.estimator_model import load_estimator
from bitesize.training.finite_rows import BAD_VALUES
from bitesize.training.run import RunFolder
from bitesize.training.settings import TrainSettings
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.choose import saved_task

# Memory of scores that a line is worth.
_SAID_NBYTES = 1 << 20
_BAD_OUTPUT = "the model's output is NaN or infinite"


class Scored(NamedTuple):
    """Rows of one batch, without padding.

    Attributes
    ----------
    rows : ndarray of int64, shape (k,)
        Row numbers.
    mask : ndarray of bool, shape (k,)
        Whether each row has a prediction.
    labels : ndarray, shape (k, ...), or None
    scores : ndarray of float64, shape (k, ...)
        Results of `Task.decode`; of rows without a prediction they mean nothing.
    """

    rows: NDArray[np.int64]
    mask: NDArray[np.bool_]
    labels: NDArray[Any] | None
    scores: NDArray[np.float64]


class Scorer:
    """A trained run, ready to predict.

    Parameters
    ----------
    run
        Folder of the run.

    Attributes
    ----------
    task : Task
        What the model has learned.
    said : list of str
        Lines about adaptations of the data.
    not_finite : dict of int to str
        Rows of the current loader with NaN or infinite values or model outputs, with the reason.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.config = run.config()
        self.task = saved_task(self.config, run.classes())
        self.model = _loaded(run.saved)
        self.said: list[str] = []
        self.not_finite: dict[int, str] = {}
        self._skips = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row at the model's input."""
        return tuple(self.config["input_shape"])

    def loader(self, source: Source, memory: Any, batch_size: int, on_error: Any, max_bad: float = 0.01) -> Loader:
        """Create a loader with the transforms of validation, adapted to the range of these rows.

        If batches of that size, and the scores of their rows, do not fit the budget, the batches are smaller.

        Raises
        ------
        BadSetting
            If transformed rows do not have the shape that the model takes, or values are clearly in other units than the
            training data.
        """
        budget = as_budget(memory)
        steps, said = adapt(self.config, source, budget)
        settings: dict[str, Any] = {
            "transforms": steps,
            "memory": budget,
            "shuffle": False,
            "last": "pad",  # one shape for all batches: the model is compiled once
            "dtype": np.float32,
            "on_error": on_error,
            "max_bad": max_bad,
            "cache": TrainSettings.from_dict(self.config["settings"]).values_of_cache,
        }
        loader = self._loader(source, _enough(batch_size, len(source)), budget, settings)
        shape = loader.spec["x"].shape
        if not fits(shape, self.shape):
            loader.close()
            raise BadSetting(f"the run was trained on rows of shape {self.shape}, but the data has {shape}")
        self.said += [line for line in said if line not in self.said]
        self.not_finite, self._skips = {}, on_error == "skip"
        return loader

    def _loader(self, source: Source, batch_size: int, budget: Budget, settings: dict[str, Any]) -> Loader:
        """Create a loader with the largest batches, up to a size, for which the budget also has room for scores."""
        while True:
            try:
                scores = self._scores(batch_size, budget)
                try:
                    return Loader(source, batch_size=batch_size, **settings)
                finally:
                    scores.release()  # charged again while batches are scored
            except DoesNotFit:
                if batch_size == 1:
                    raise
                batch_size //= 2

    def _scores(self, rows: int, budget: Budget) -> Charge:
        """Charge the outputs and scores of a batch."""
        return budget.charge(
            rows * self.task.scoring_nbytes, f"{self.task.predictions_are} of a batch of {counted(rows, 'row')}"
        )

    def batches(self, loader: Loader, progress: Callable[[int], None], span: range | None = None) -> Iterator[Scored]:
        """Predict batch by batch, and charge the scores of a batch.

        Parameters
        ----------
        loader
            Loader from `loader`.
        progress
            Called with the number of rows of each batch.
        span
            Rows to predict, from the first row of a batch on. Default: all rows.

        Yields
        ------
        Scored

        Raises
        ------
        BadFile
            If values of a row, or the model's outputs for it, are NaN or infinite, and bad rows are not skipped.
        """
        scores = self._scores(loader.batch_size, loader.budget)
        try:
            yield from self._batches(loader, progress, span)
        finally:
            scores.release()

    def _batches(self, loader: Loader, progress: Callable[[int], None], span: range | None) -> Iterator[Scored]:
        for batch in loader if span is None else _batches_of(loader, span):
            real = int(((batch.rows >= 0) & (batch.rows < (len(loader.source) if span is None else span.stop))).sum())
            rows, mask, x = batch.rows[:real], batch.mask[:real], batch["x"].reshape(-1, *self.shape)
            mask = self._finite(loader, rows, mask, x[:real], BAD_VALUES)
            x[:real][~mask] = 0  # estimators raise for them, and some layers turn them into finite numbers
            outputs = np.array(self.model.predict_on_batch(x)[:real], self.task.precision)
            mask = self._finite(loader, rows, mask, outputs, _BAD_OUTPUT)
            labels = batch["y"][:real].copy() if "y" in batch else None
            if labels is not None:
                self.task.check_batch(labels[mask], rows[mask], loader.source.describe)
            outputs[~mask] = 0.0
            yield Scored(rows, mask, labels, self.task.decode(outputs, self.config["output"]))
            progress(real)

    def score(self, scored: Scored) -> Any:
        """Return the score of a batch with labels, for `Task.joined`."""
        assert scored.labels is not None
        mask = scored.mask
        return self.task.score(scored.labels[mask], scored.scores[mask], int((~mask).sum()))

    def _finite(
        self, loader: Loader, rows: NDArray[np.int64], mask: NDArray[np.bool_], values: NDArray[Any], why: str
    ) -> NDArray[np.bool_]:
        """Return the mask without rows of NaN or infinite values, which are recorded; raise if bad rows are not skipped."""
        with np.errstate(invalid="ignore", over="ignore"):
            finite = np.isfinite(values.reshape(len(values), -1).sum(axis=1, dtype=np.float64))
        odd = rows[mask & ~finite].tolist()
        if odd and not self._skips:
            error = BadFile(f"{loader.source.describe(odd[0])}: {why} (row {odd[0]})")
            error.row = odd[0]
            raise error
        self.not_finite |= {row: f"{loader.source.describe(row)}: {why}" for row in odd}
        return np.asarray(mask & finite)


@contextmanager
def charged_scores(task: Task, rows: int, budget: Budget) -> Iterator[list[str]]:
    """Charge the memory of `Task.joined` for this many rows; yield a line on it, if it is large.

    Raises
    ------
    DoesNotFit
        If the budget is too small.
    """
    request = task.joining(rows)
    charge = budget.charge(request.nbytes, request.name)
    try:
        large = request.nbytes >= _SAID_NBYTES
        yield [f"memory: {format_size(request.nbytes)} for {request.name}: {request.detail}"] if large else []
    finally:
        charge.release()


def _batches_of(loader: Loader, span: range) -> Iterator[Batch]:
    """Yield the batches of a span of rows; the last one may have rows after it."""
    loop = driver_of(loader).iterate((0, span.start), endless=False)
    return islice(loop, -(-len(span) // loader.batch_size))


def _enough(batch_size: int, rows: int) -> int:
    """Return the batch size for a few rows: a power of two, so that few shapes are compiled.

    Examples
    --------
    >>> _enough(32, 1), _enough(32, 5), _enough(24, 1000)
    (1, 8, 24)
    """
    return min(batch_size, 1 << max(0, rows - 1).bit_length())


def _loaded(path: Path) -> Any:
    """Load a model of Keras or scikit-learn."""
    if path.suffix != ".keras":
        return load_estimator(path)
    keras = load_keras(f"the model {path}")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises many types of errors for damaged or foreign files
        raise BadFile(f"{path} cannot be loaded: {error}") from error
