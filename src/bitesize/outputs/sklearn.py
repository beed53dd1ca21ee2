"""Train estimators batch by batch: scikit-learn's, pipelines of them, and other objects with ``partial_fit``."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.checks import is_whole
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting
from bitesize.outputs.base import (
    check_loader,
    leave_out,
)
from bitesize.outputs.fields import (
    check_fields,
    label_of,
    primary_input,
)
from bitesize.outputs.finite import refusal

if TYPE_CHECKING:
    from bitesize.batch import Batch

Estimator = TypeVar("Estimator")
# Estimators that keep rows they were given, and would keep their batches with them.
_KEEPERS = ("Birch",)
_STEPLESS = (None, "passthrough")
_log = logging.getLogger("bitesize")


@dataclass(frozen=True)
class Progress:
    """Progress of `partial_fit`.

    Parameters
    ----------
    epoch, epochs
        Current epoch, from 0, and number of epochs.
    batch, batches
        Finished batches of this epoch, and number of batches.
    rows
        Rows learned from so far, in all epochs.
    seconds
        Seconds since the start.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    rows: int
    seconds: float


def partial_fit(
    estimator: Estimator,
    loader: Loader,
    *,
    epochs: int = 5,
    classes: ArrayLike | None = None,
    weights: str | Literal[False] | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
) -> Estimator:
    """Train an estimator on batches with its ``partial_fit``.

    Rows are passed as ``(rows, values)``: the field ``x`` is flattened without a copy, and ``y`` is passed if it exists. Padding
    and bad rows are left out. In a pipeline, each step learns from a batch, then transforms it for the next step.

    Parameters
    ----------
    estimator
        Object with ``partial_fit(x)`` or ``partial_fit(x, y)``, or a pipeline of these and of steps without training.
    loader
        Source of the batches. Training starts at its current position; another call trains the following epochs.
    epochs
        Number of passes over the rows.
    classes
        All labels, for classifiers. Default: the class numbers of the loader's source.
    weights
        Field to pass as ``sample_weight`` to the last step; False for none. Default: `Source.weight_name`, if the step takes it.
    callback
        Function called after each batch; training ends if it returns True.

    Returns
    -------
    object
        The estimator.

    Raises
    ------
    BadSetting
        If a step has no ``partial_fit``, classes are unknown, or weights are named that the estimator does not take.
    NotFinite
        If an estimator raises because of NaN or infinite values: their rows are named, or training diverged.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> from sklearn.linear_model import SGDClassifier
    >>> x = np.random.default_rng(0).normal(size=(1000, 2, 3))
    >>> with bs.Loader(bs.open(x, (x[:, 0, 0] > 0).astype(int)), batch_size=100, memory="16 MiB") as loader:
    ...     model = bs.sklearn.partial_fit(SGDClassifier(random_state=0), loader, epochs=3)
    >>> bool(model.score(x.reshape(1000, 6), x[:, 0, 0] > 0) > 0.95)
    True
    """
    if not is_whole(epochs, least=1):
        raise BadSetting(f"epochs must be a whole number of at least 1, not {epochs!r}")
    check_loader(loader, "partial_fit")
    driver_of(loader).batching.refuse_empty_shares("partial_fit")
    *first_steps, last = _steps(estimator)
    for progress in _train([_Step(step) for step in first_steps], _Learner(last, loader, classes, weights), loader, epochs):
        if callback is not None and callback(progress):
            break
    return estimator


def _train(steps: list[_Step], learn: _Learner, loader: Loader, epochs: int) -> Iterator[Progress]:
    """Train a pipeline on each batch; yield the progress after each."""
    start, rows = time.perf_counter(), 0
    for epoch in range(epochs):
        for x, y, weight, number in _rows(loader, learn.weight_name):
            rows += len(x)
            try:
                for step in steps:
                    x = step(x)
                learn(x, y, weight)
            except ValueError as error:
                place = driver_of(loader).batching.advance((loader.epoch, 0), number - 1)
                if (odd := refusal(loader, place, 1, error)) is not None:
                    raise odd from error
                raise
            del x, y, weight  # a held batch would keep its memory from the next
            yield Progress(epoch, epochs, number, len(loader), rows, time.perf_counter() - start)


class _Step:
    """A step of a pipeline that is not its last: learns from a batch, then changes it."""

    def __init__(self, step: Any) -> None:
        self._step = step
        self._dtype: np.dtype[Any] | None = None

    def __call__(self, x: Any) -> Any:
        """Return the input of the next step."""
        if hasattr(self._step, "partial_fit"):
            self._step.partial_fit(x)
        changed = self._step.transform(x)
        changed = changed.to_numpy() if hasattr(changed, "to_numpy") else changed  # set_output(transform="pandas")
        if self._dtype is None:
            self._dtype = changed.dtype
        # Some give float32 at first and float64 when they have learned, which others then do not take.
        return changed.astype(self._dtype, copy=False)


class _Learner:
    """Calls ``partial_fit`` with what it takes."""

    def __init__(
        self, estimator: Any, loader: Loader, classes: ArrayLike | None, weights: str | Literal[False] | None
    ) -> None:  # fmt: skip
        self._fit = estimator.partial_fit
        self.weight_name = _weights(estimator, loader, weights)
        self._keeps = any(kind.__name__ in _KEEPERS for kind in type(estimator).__mro__)
        takes = inspect.signature(self._fit).parameters
        labels = _second(list(takes.values()))
        label = label_of(loader)
        self._supervised = labels is not None and label is not None
        self._first: dict[str, Any] = {}
        may_be_missing = labels is None or labels.kind is labels.VAR_POSITIONAL or labels.default is not labels.empty
        if not may_be_missing and label is None:
            raise BadSetting(f"{type(estimator).__name__} needs labels, but the data has none")
        if "classes" not in takes or not self._supervised or hasattr(estimator, "classes_"):
            return
        if classes is None:
            one = label is not None and not loader.spec[label].shape  # and not one-hot
            count = loader.source.class_count if one else None
            if count is None:
                raise BadSetting(
                    f"{type(estimator).__name__} needs all classes before the first batch, but the data's labels "
                    f"({loader.spec[str(label)]}) are not class numbers: pass classes="
                )
            classes = np.arange(count)
        several = isinstance(classes, list | tuple) and any(np.ndim(each) for each in classes)  # of several outputs
        self._first = {"classes": classes if several else np.asarray(classes)}

    def __call__(self, x: Any, y: NDArray[Any] | None, weight: NDArray[Any] | None) -> None:
        """Learn from a batch."""
        if self._keeps:
            x = np.array(x)
        given = self._first if weight is None else self._first | {"sample_weight": weight}
        if self._supervised:
            self._fit(x, y, **given)
        else:
            self._fit(x, **given)
        self._first = {}


def _weights(estimator: Any, loader: Loader, weights: str | Literal[False] | None) -> str | None:
    """Return the field that is handed over as sample weights, or None, and say which."""
    if weights is False:
        return None
    name = loader.source.weight_name if weights is None else weights
    if name is None or (weights is None and name not in loader.spec):
        return None
    check_fields(loader, name)
    kind = type(estimator).__name__
    if "sample_weight" in inspect.signature(estimator.partial_fit).parameters:
        _log.info("partial_fit: the field %r is the sample_weight of %s (weights=False leaves it out)", name, kind)
        return name
    if weights is not None:
        raise BadSetting(f"weights={weights!r}: partial_fit of {kind} does not take sample_weight")
    _log.warning("partial_fit of %s takes no sample_weight: the weights of the data, %r, are not used", kind, name)
    return None


def _second(parameters: Sequence[inspect.Parameter]) -> inspect.Parameter | None:
    """Find the parameter that labels are for, whatever it is called."""
    given = [each for each in parameters if each.kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)]
    if len(given) == 1 and given[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return given[0]
    return given[1] if len(given) > 1 and given[1].name not in ("classes", "sample_weight") else None


def _rows(
    loader: Loader, weight_name: str | None
) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None, int]]:  # fmt: skip
    """Yield the real rows of each batch, flattened, with their labels and weights, and the number of the batch, from 1."""
    for batch in loader:
        yield _flat(loader, batch, weight_name)
        del batch


def _flat(
    loader: Loader, batch: Batch, weight_name: str | None
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None, int]:  # fmt: skip
    if loader.masks and not batch.mask.all():
        leave_out(batch)
    x, label = batch[primary_input(loader)], label_of(loader)
    return (
        x.reshape(len(x), -1),
        batch[label] if label else None,
        batch[weight_name] if weight_name else None,
        len(loader) - driver_of(loader).batching.batches_from(batch.position) + 1,
    )


def _steps(estimator: Any) -> Sequence[Any]:
    """List the steps of a pipeline, or the estimator alone; all that can learn batch by batch, or learn nothing."""
    if isinstance(estimator, type):
        raise BadSetting(f"pass an estimator, {estimator.__name__}(), not its class")
    named = getattr(estimator, "steps", None)
    if not isinstance(named, list) or hasattr(estimator, "partial_fit"):
        named = [(type(estimator).__name__, estimator)]
    steps = [(name, step) for name, step in named if step not in _STEPLESS]
    for name, step in steps[:-1]:
        if not hasattr(step, "partial_fit") and _learns(step):
            raise BadSetting(f"the step {name!r} ({type(step).__name__}) cannot learn batch by batch: it has no partial_fit")
    if not steps or not hasattr(steps[-1][1], "partial_fit"):
        what = type(steps[-1][1] if steps else estimator).__name__
        raise BadSetting(
            f"{what} cannot learn batch by batch: it has no partial_fit. Of scikit-learn, SGDClassifier, SGDRegressor, MLPClassifier, "
            "GaussianNB, MiniBatchKMeans and IncrementalPCA have it, for example"
        )
    return [step for _, step in steps]


def _learns(step: Any) -> bool:
    """Return whether a step must be fitted before it can transform."""
    try:
        from sklearn.utils import get_tags

        return bool(get_tags(step).requires_fit)
    except (ImportError, AttributeError):
        return True
