"""A loader as a Keras ``PyDataset``: training takes the batches of our order one by one, whatever index Keras names.

Keras permutes batch indices, looks at batches before it trains (to build metrics, or to learn shapes), and TensorFlow
takes batches ahead. None of that may use batches up. So the dataset keeps two places: the next batch to hand out, and the
place that training has reached. Whenever Keras starts its iteration anew, the first goes back to the second. How far
training came is read at the end of each of Keras's epochs from the iterator that drives it, which is found on the call
stack: the hooks themselves do not say who calls them.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.batch import Batch
from bitesize.engine.holding import LOOP, PENDING_PATIENCE, Holder
from bitesize.errors import BadSetting, LoaderClosed, MissingPackage
from bitesize.outputs.base import (
    Fields,
    as_tuples,
    check_loader,
    chosen_fields,
    chosen_weights,
    leave_out,
    pick,
    refuse_unless_in_order,
    warn_of_unscaled,
)
from bitesize.outputs.keras_calls import LOOKS, TAKES, Caller
from bitesize.outputs.keras_distribution import refuse_indivisible
from bitesize.outputs.keras_tensorflow import switch_off_autotuning
from bitesize.outputs.keras_tensors import on_torch, tensors
from bitesize.packages import pip_install

if TYPE_CHECKING:
    from bitesize.engine.iterator import BatchIterator
    from bitesize.engine.loader import Loader

# Batches that a backend holds while it asks for the next: JAX runs steps asynchronously, and TensorFlow keeps one in a
# queue of its own beside the one it trains on.
_HELD = {"jax": 2, "tensorflow": 2, "torch": 1}
_PENDING = Holder(patience=PENDING_PATIENCE)  # steps that run hold batches; PyTorch's have ended when it asks for the next


def to_keras(
    loader: Loader,
    *,
    inputs: Fields | None = None,
    targets: Fields | Literal[False] | None = None,
    weights: str | Literal[False] | None = None,
    workers: int = 1,
) -> Any:
    """Make a dataset for ``fit``, ``evaluate`` and ``predict`` of Keras 3, on any of its backends.

    Each batch that training takes is the next of the loader's order; ``fit`` called again goes on where training
    stopped, also within an epoch. ``evaluate`` and ``predict`` begin at an epoch's first batch; ``predict`` gives results in the source's
    order, and refuses a loader that shuffles or leaves rows out.

    Parameters
    ----------
    loader
        Where batches come from.
    inputs, targets
        Names of the fields for the model's inputs and targets; several as a list, or as ``{name in the model: field}``. By default ``"x"``
        and ``"y"``, or what stands for them where data have names of their own: `Source.primary`, and the labels, where there are some.
        ``targets=False`` leaves labels out. `Source.one_hot` makes labels for ``categorical_crossentropy``.
    weights
        Name of a field with the weight of each row in loss and weighted metrics. By default `Source.weight_name`, where the data have
        sample weights; False leaves them out.
    workers
        Accepted because `keras.utils.PyDataset` has it. bitesize reads with threads of its own (see ``Loader(threads=)``),
        so values above 1 change nothing.

    Returns
    -------
    keras.utils.PyDataset
        Yields ``(x,)``, ``(x, y)`` or ``(x, y, weights)``. On PyTorch, ``fit`` and ``evaluate`` get inputs as tensors that look at the
        loader's memory, since Keras would copy arrays. Rows that are padding or could not be read are left out of their batch, which is
        shorter then: losses and metrics count each row once, which weights of 0 would not do. ``predict`` gets bad rows as zeros, so that each
        prediction has its row's place; ``loader.bad`` lists them.

    Raises
    ------
    MissingPackage
        If Keras is not installed.
    DoesNotFit
        If the batches that the backend holds at one time do not fit the loader's budget.
    BadSetting
        If the source lacks a field.

    Examples
    --------
    >>> import keras, numpy as np, bitesize as bs
    >>> x = np.arange(30, dtype=np.float32)[:, None]
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    >>> with bs.Loader(bs.open(x), batch_size=8, memory="16 MiB", shuffle=False) as loader:
    ...     bool((model.predict(bs.to_keras(loader), verbose=0) == x).all())
    True
    """
    try:
        import keras
    except ImportError as error:
        raise MissingPackage(
            f"Keras cannot be imported ({error}): {pip_install('keras', 'jax')} brings it, with JAX; the environment variable "
            "KERAS_BACKEND chooses among jax, torch and tensorflow, and Keras's own default is tensorflow"
        ) from error
    check_loader(loader, "to_keras")
    loader.steps.refuse_empty_shares("Keras")
    inputs, targets = chosen_fields(loader, inputs, targets)
    weights = chosen_weights(loader, inputs, targets, weights, "to_keras")
    warn_of_unscaled(loader, inputs)
    if keras.backend.backend() == "tensorflow":
        inputs, targets = as_tuples(inputs), None if targets is None else as_tuples(targets)
    loader.hold(batches_held(keras.backend.backend()))
    return _dataset_class()(loader, inputs, targets, weights, workers)


def batches_held(backend: str) -> int:
    """Return how many batches Keras holds on a backend while it asks for the next."""
    return _HELD.get(backend, 2)


def _dataset_class() -> type[Any]:
    """Make the class on first use, since its base is Keras's."""
    global _class
    if _class is None:
        import keras

        class KerasDataset(_Places, keras.utils.PyDataset):  # type: ignore[misc]
            """A loader as a ``PyDataset``; see `to_keras`."""

            def __init__(self, loader: Loader, inputs: Any, targets: Any, weights: str | None, workers: int) -> None:
                keras.utils.PyDataset.__init__(self)
                _Places.__init__(self, loader, inputs, targets, weights)
                self.workers = workers

        _class = KerasDataset
    return _class


_class: type[Any] | None = None


class _Places:
    """What the dataset does, apart from its base class. A place is an epoch and a position in it."""

    def __init__(self, loader: Loader, inputs: Any, targets: Any, weights: str | None) -> None:
        self._loader = loader
        self._inputs = inputs
        self._targets = targets
        self._weights = weights
        self._views = False  # inputs are given as tensors
        self._predicts = False  # rows keep their places
        self._fit: weakref.ref[Any] | None = None  # Keras's iterator of the epoch that is being trained
        self._seen = 0  # steps of it that were begun when it last took a batch
        self._back: tuple[tuple[int, int], Any] | None = None  # where to go on behind a look, and where the loader stood
        self._looked_up: tuple[tuple[int, int], BatchIterator] | None = None
        self._lock = threading.RLock()  # TensorFlow asks from a thread of its own
        self._iterator: BatchIterator | None = None
        self._left: int | None = None  # batches, while this is the rest of an epoch
        self._trained = self._base = self._next = (loader.epoch, 0)

    @property
    def loader(self) -> Loader:
        """Where the batches come from."""
        return self._loader

    @property
    def place(self) -> tuple[int, int]:
        """Where the next ``fit`` begins: an epoch of the loader, and a position in it."""
        with self._lock:
            return self._place()

    @property
    def weight_name(self) -> str | None:
        """Field of the sample weights that Keras is given, or None."""
        return self._weights

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        return self._left or len(self._loader)

    def __len__(self) -> int:
        return self.num_batches

    @contextlib.contextmanager
    def shortened(self, batches: int) -> Iterator[None]:
        """Be the rest of an epoch within the block: Keras then does all that it does in a whole one."""
        self._left = batches
        try:
            yield
        finally:
            self._left = None

    @property
    def workers(self) -> int:
        """1: Keras starts no threads or processes for this dataset."""
        return 1

    @workers.setter
    def workers(self, count: int) -> None:
        """Take note of a number that means nothing here."""
        if count > 1:
            warnings.warn(
                f"workers={count} changes nothing: bitesize reads with its own {self._loader.threads} threads, in order and "
                "within the budget. Set Loader(threads=...) instead.",
                stacklevel=4,
            )

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Give Keras the next batch of the order, whatever ``index`` it names; to whoever else asks, batch ``index`` of an epoch."""
        with self._lock:
            if sys._getframe(1).f_code.co_name not in TAKES:
                return self._look_up(index)
            if self._iterator is None:
                self._iterator = self._start()
            fit = None if self._fit is None else self._fit()
            if fit is not None:
                self._seen = int(fit._steps_seen or 0)
            try:
                batch = next(self._iterator)
            except LoaderClosed:  # somebody looped over the loader meanwhile: take it back; a closed one says so here
                self._iterator = self._start()
                batch = next(self._iterator)
            self._next = self._loader.steps.advance(self._next, 1)
            return self._pick(batch)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Run through an epoch, as a loop over the loader does: one that is left repeats it, or else the next follows."""
        with self._lock:
            place = self._place()
            if place != self._trained:
                self._loader.begin()  # a state that was loaded counts once
            else:
                place = self._aligned(place)
            batches = self._loader.iterate(place, endless=True)
        for _ in range(self._loader.steps.batches_from(place[1])):
            yield self._pick(next(batches))
        with self._lock:
            self._return_to((place[0] + 1, 0))
            self._loader.stand(self._trained)

    def _look_up(self, index: int) -> tuple[Any, ...]:
        """Give a batch of the epoch that comes next, and take nothing."""
        count = len(self._loader)
        if not -count <= index < count:
            raise IndexError(f"batch {index} of {count}")
        stood = self._loader.stood()
        place = self._loader.steps.advance(self._aligned(self._place()), index % count)
        if self._looked_up is None or self._looked_up[0] != place:
            self._looked_up = (place, self._loader.iterate(place, endless=True))
        try:
            batch = next(self._looked_up[1])
        except LoaderClosed:
            self._looked_up = (place, self._loader.iterate(place, endless=True))
            batch = next(self._looked_up[1])
        finally:
            self._loader.stand_as(stood)
        self._looked_up = (self._loader.steps.advance(place, 1), self._looked_up[1])
        return self._pick(batch)

    def zeros(self) -> tuple[Any, ...]:
        """Give a batch of zeros, in the form that Keras gets: to build what it needs, without taking a batch."""
        rows = self._loader.batch_size
        batch = {name: np.zeros((rows, *field.shape), field.dtype) for name, field in self._loader.spec.items()}
        return self._as_keras(batch)

    def state_dict(self) -> dict[str, Any]:
        """Tell the place behind the last batch that Keras has taken; of batches trained, `bitesize.Checkpoint` keeps count."""
        with self._lock:
            return self._loader.cursor(self._next).as_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at a place that `state_dict` told, with the next ``fit``."""
        with self._lock:
            self._loader.load_state_dict(state)

    def on_epoch_begin(self) -> None:
        """Note who begins: evaluation and prediction only look, from the first batch of an epoch on."""
        with self._lock:
            caller = Caller(sys._getframe(1))
            switch_off_autotuning(caller.iterator)
            refuse_indivisible(self._loader)
            if caller.method == "predict":
                refuse_unless_in_order(self._loader, "predict")
            if caller.class_weight is not None and self._weights is not None:
                raise BadSetting(
                    f"class_weight and weights of rows exclude each other in Keras, and the field {self._weights!r} has such: "
                    "to_keras(loader, weights=False) leaves them out"
                )
            steps = getattr(caller.iterator, "steps_per_execution", 1) or 1
            if steps > 1:
                # So many batches are gathered for one call of the train function.
                self._loader.hold(int(steps) + 1)
            # What a model predicts may be a view on its input, and is kept: then Keras's copy is needed.
            self._views = caller.method in ("fit", "evaluate") and on_torch()
            self._predicts = caller.method == "predict"
            if caller.method in LOOKS:
                self._begin_look()
            elif caller.method == "fit":
                self._end_look()
                self._fit, self._seen = weakref.ref(caller.iterator), 0

    def on_epoch_end(self) -> None:
        """Note how far training came; or go back there, where Keras only had a look."""
        with self._lock:
            caller = Caller(sys._getframe(1))
            if caller.resets and caller.method in LOOKS:
                self._begin_look()
            elif caller.resets:
                # The same iterator as began has only had a look, to build metrics.
                if self._fit is not None and self._fit() is not caller.iterator:
                    self._note_broken_fit()
                self._fit = None
                place = self._place()
                if place != self._trained:
                    self._loader.begin()
                self._back = None
                self._return_to(place)
            elif caller.method in LOOKS:
                assert self._back is not None
                if self._fit is None:  # nothing else goes on: the next look may go on from here, and has its first batches
                    self._loader.stand_as(self._back[1])
                else:
                    self._end_look()
            else:
                self._note_epoch(caller)

    def _note_epoch(self, caller: Caller) -> None:
        """Note that an epoch of Keras has ended, which need not be one of ours."""
        seen = getattr(caller.iterator, "_steps_seen", None)
        if seen is None:  # called by hand
            self._return_to((self._aligned(self._trained)[0] + 1, 0))
        elif seen == 0:  # Keras's iterator is exhausted and was replaced
            self._trained = self._base = self._loader.steps.advance(self._base, self.num_batches)
        else:
            self._trained = self._loader.steps.advance(self._base, min(int(seen), self.num_batches))
        self._fit = None
        self._loader.stand(self._trained)

    def _note_broken_fit(self) -> None:
        """Note how far a ``fit`` came that ended within an epoch: by ``stop_training``, or by an error."""
        place = self._loader.steps.advance(self._base, min(self._seen, self.num_batches))
        if self._loader.epoch == self._trained[0] and not self._loader.resumes:
            self._trained = self._base = min(place, self._next)
            self._loader.stand(self._trained)

    def _place(self) -> tuple[int, int]:
        """Tell where training stands: a state that was loaded, or an epoch that was set, goes before what was trained."""
        if self._loader.resumes or self._loader.epoch != self._trained[0]:
            return self._loader.steps.place(*self._loader.stands)
        return self._trained

    def _begin_look(self) -> None:
        """Go to the first batch of an epoch, and remember where training goes on."""
        if self._back is None:
            self._back = (self._next, self._loader.stood())
        if self._next[1]:
            self._next, self._iterator = self._aligned(self._place()), None

    def _end_look(self) -> None:
        """Go back to where training goes on."""
        if self._back is not None:
            place, stood = self._back
            self._back = None
            if place != self._next:
                self._next, self._iterator = place, None
            self._loader.stand_as(stood)

    def _start(self) -> BatchIterator:
        return self._loader.iterate(self._next, endless=True, holder=LOOP if on_torch() else _PENDING)

    def _return_to(self, place: tuple[int, int]) -> None:
        if place != self._next:
            self._iterator = None
        self._next = self._trained = self._base = place

    def _aligned(self, place: tuple[int, int]) -> tuple[int, int]:
        return (place[0] + 1, 0) if place[1] else place

    def _pick(self, batch: Batch) -> tuple[Any, ...]:
        if self._loader.masks and not batch.mask.all():
            if self._predicts:  # a bad row keeps its place, or all behind it would be taken for their neighbors
                there = int((batch.rows >= 0).sum())
                batch = Batch({name: array[:there] for name, array in batch.items()})
            else:
                leave_out(batch)
        return self._as_keras(batch)

    def _as_keras(self, batch: Mapping[str, NDArray[Any]]) -> tuple[Any, ...]:
        x = pick(batch, self._inputs)
        if self._views:
            x = tensors(x)
        if self._targets is None:
            return (x,)
        y = pick(batch, self._targets)
        return (x, y) if self._weights is None else (x, y, batch[self._weights])
