"""Convert a loader to a Keras ``PyDataset``: training gets the batches in the loader's order, whatever index Keras requests.

Keras permutes batch indices and inspects batches before training (to build metrics, or to find shapes), and TensorFlow
prefetches batches. None of these may consume batches. So the dataset keeps two positions: the next batch to return, and the
position of training. When Keras restarts its iteration, the first position is reset to the second. The position of training
is read at the end of each Keras epoch from the iterator that drives it, which is found on the call stack: the hooks do not
receive their caller.
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

from bitesize.engine.holding import LOOP, PENDING_PATIENCE, Holder
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting, LoaderClosed
from bitesize.outputs.base import (
    check_loader,
    import_framework,
    refuse_unless_in_order,
    warn_of_unscaled,
)
from bitesize.outputs.fields import (
    Fields,
    as_tuples,
    chosen_fields,
    chosen_weights,
)
from bitesize.outputs.keras_calls import LOOKS, TAKES, Caller
from bitesize.outputs.keras_distribution import refuse_indivisible, refuse_to_divide_again
from bitesize.outputs.keras_format import KerasFormat, on_torch
from bitesize.outputs.keras_tensorflow import switch_off_autotuning

if TYPE_CHECKING:
    from bitesize.engine.iterator import BatchIterator

# Batches that a backend holds while it asks for the next: JAX runs steps asynchronously, and TensorFlow keeps one in a
# queue of its own beside the one it trains on.
_HELD = {"jax": 2, "tensorflow": 2, "torch": 1}
_BACKENDS = (
    " brings it, with JAX; the environment variable KERAS_BACKEND chooses among jax, torch and tensorflow, and Keras's own default is "
    "tensorflow"
)
_PENDING = Holder(patience=PENDING_PATIENCE)  # steps that run hold batches; PyTorch's have ended when it asks for the next


def to_keras(
    loader: Loader,
    *,
    inputs: Fields | None = None,
    targets: Fields | Literal[False] | None = None,
    weights: str | Literal[False] | None = None,
    workers: int = 1,
) -> Any:
    """Return a dataset for ``fit``, ``evaluate`` and ``predict`` of Keras 3, with any of its backends.

    Training gets the batches in the loader's order; another call of ``fit`` continues where training stopped. ``evaluate`` and
    ``predict`` start at the first batch of an epoch. ``predict`` raises for a loader that shuffles or leaves out rows.

    Parameters
    ----------
    loader
        Source of the batches.
    inputs, targets
        Names of the fields for the model's inputs and targets; several as a list, or as ``{name in the model: field}``. Default:
        ``"x"`` and ``"y"``, or `Source.primary` and the labels, if any. ``targets=False`` leaves out labels.
    weights
        Name of a field with the weight of each row in loss and weighted metrics. Default: `Source.weight_name`; False: none.
    workers
        Accepted for compatibility with `keras.utils.PyDataset`: bitesize reads with its own threads.

    Returns
    -------
    keras.utils.PyDataset
        Yields ``(x,)``, ``(x, y)`` or ``(x, y, weights)``; on PyTorch, inputs of ``fit`` and ``evaluate`` are views into the
        loader's memory. Padding rows and rows that could not be read are removed from their batch, which is then shorter;
        ``predict`` gets bad rows as zeros, so that each prediction keeps the position of its row.

    Raises
    ------
    MissingPackage
        If Keras is not installed.
    DoesNotFit
        If the batches that the backend holds at the same time do not fit the loader's budget.
    BadSetting
        If the source does not have a field.

    Examples
    --------
    >>> import keras, numpy as np, bitesize as bs
    >>> x = np.arange(30, dtype=np.float32)[:, None]
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    >>> with bs.Loader(bs.open(x), batch_size=8, memory="16 MiB", shuffle=False) as loader:
    ...     bool((model.predict(bs.to_keras(loader), verbose=0) == x).all())
    True
    """
    keras = import_framework("keras", "Keras", "keras", "jax", more=_BACKENDS)
    check_loader(loader, "to_keras")
    inputs, targets = chosen_fields(loader, inputs, targets)
    weights = chosen_weights(loader, inputs, targets, weights, "to_keras")
    warn_of_unscaled(loader, inputs)
    if keras.backend.backend() == "tensorflow":
        inputs, targets = as_tuples(inputs), None if targets is None else as_tuples(targets)
    driver_of(loader).hold(batches_held(keras.backend.backend()))
    return _dataset_class()(loader, inputs, targets, weights, workers)


def _one_program() -> bool:
    """Return whether all ranks run one program, for which their batches must have one size."""
    import keras

    return bool(keras.backend.backend() == "jax")


def batches_held(backend: str) -> int:
    """Return the number of batches that Keras holds on a backend while it requests the next one."""
    return _HELD.get(backend, 2)


def _dataset_class() -> type[Any]:
    """Create the class on first use, because its base class is Keras's."""
    global _class
    if _class is None:
        import keras

        class KerasDataset(_Places, keras.utils.PyDataset):  # type: ignore[misc]
            """``PyDataset`` of a loader; see `to_keras`."""

            def __init__(self, loader: Loader, inputs: Any, targets: Any, weights: str | None, workers: int) -> None:
                keras.utils.PyDataset.__init__(self)
                _Places.__init__(self, loader, inputs, targets, weights)
                self.workers = workers

        _class = KerasDataset
    return _class


_class: type[Any] | None = None


class _Places:
    """Implementation of the dataset, apart from its base class. A place is an epoch and a position in it."""

    def __init__(self, loader: Loader, inputs: Any, targets: Any, weights: str | None) -> None:
        self._loader, self._driver = loader, driver_of(loader)
        self._position = self._driver.position
        self._format = KerasFormat(inputs, targets, weights, loader.masks)
        self._fit: weakref.ref[Any] | None = None  # Keras's iterator of the epoch that is being trained
        self._seen = 0  # steps of it that had started when it last took a batch
        self._back: tuple[tuple[int, int], Any] | None = (
            None  # where to continue after an inspection, and the position of the loader then
        )
        self._inspected: tuple[tuple[int, int], BatchIterator] | None = None
        self._lock = threading.RLock()  # TensorFlow requests batches from its own thread
        self._iterator: BatchIterator | None = None
        self._left: int | None = None  # batches, while this is the rest of an epoch
        self._trained = self._base = self._next = (loader.epoch, 0)

    @property
    def loader(self) -> Loader:
        """Loader of the batches."""
        return self._loader

    @property
    def place(self) -> tuple[int, int]:
        """Start of the next ``fit``: an epoch of the loader, and a position in it."""
        with self._lock:
            return self._place()

    @property
    def weight_name(self) -> str | None:
        """Field of the sample weights for Keras, or None."""
        return self._format.weights

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch."""
        return self._left or len(self._loader)

    def __len__(self) -> int:
        return self.num_batches

    @contextlib.contextmanager
    def shortened(self, batches: int) -> Iterator[None]:
        """Represent the rest of an epoch within the block, so that Keras treats it like a whole epoch."""
        self._left = batches
        try:
            yield
        finally:
            self._left = None

    @property
    def workers(self) -> int:
        """Always 1: Keras starts no threads or processes for this dataset."""
        return 1

    @workers.setter
    def workers(self, count: int) -> None:
        """Log that the number of workers has no effect."""
        if count > 1:
            warnings.warn(
                f"workers={count} has no effect: bitesize reads with its own {self._loader.threads} threads, in order and "
                "within the budget. Set Loader(threads=...) instead.",
                stacklevel=4,
            )

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return the next batch in order to Keras, whatever ``index`` it requests; to other callers, batch ``index`` of an epoch."""
        with self._lock:
            if sys._getframe(1).f_code.co_name not in TAKES:
                return self._inspect(index)
            if self._iterator is None:
                self._iterator = self._start()
            fit = None if self._fit is None else self._fit()
            if fit is not None:
                self._seen = int(fit._steps_seen or 0)
            try:
                batch = next(self._iterator)
            except (
                LoaderClosed
            ):  # another loop over the loader ran meanwhile: reset the position; a closed loader raises here
                self._iterator = self._start()
                batch = next(self._iterator)
            self._next = self._driver.batching.advance(self._next, 1)
            return self._format.convert(batch)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Iterate over an epoch, like a loop over the loader: after an unfinished loop the epoch is repeated."""
        with self._lock:
            place = self._place()
            if place != self._trained:
                self._position.begin()  # a loaded state counts once
            else:
                place = self._aligned(place)
            batches = self._driver.iterate(place, endless=True)
        for _ in range(self._driver.batching.batches_from(place[1])):
            yield self._format.convert(next(batches))
        with self._lock:
            self._return_to((place[0] + 1, 0))
            self._position.move_to(self._trained)

    def _inspect(self, index: int) -> tuple[Any, ...]:
        """Return a batch of the next epoch, without consuming it."""
        count = len(self._loader)
        if not -count <= index < count:
            raise IndexError(f"batch {index} of {count}")
        saved_position = self._position.save()
        place = self._driver.batching.advance(self._aligned(self._place()), index % count)
        if self._inspected is None or self._inspected[0] != place:
            self._inspected = (place, self._driver.iterate(place, endless=True))
        try:
            batch = next(self._inspected[1])
        except LoaderClosed:
            self._inspected = (place, self._driver.iterate(place, endless=True))
            batch = next(self._inspected[1])
        finally:
            self._position.restore(saved_position)
        self._inspected = (self._driver.batching.advance(place, 1), self._inspected[1])
        return self._format.convert(batch)

    def keep_padding(self, class_weight: Mapping[int, float] | None = None) -> bool:
        """Keep padding where ranks need batches of one size, or a rank has no rows; return whether any batch may have padding."""
        batching = self._driver.batching
        even = batching.even and not self._loader.masks
        if batching.shard.world_size == 1 or (even if _one_program() else not batching.has_empty_shares):
            return False
        self._format.padded_rows = -(-batching.batch_size // batching.shard.world_size)
        self._format.class_weight = class_weight
        return True

    def zeros(self) -> tuple[Any, ...]:
        """Return a batch of zeros in the format for Keras, to build the model without consuming a batch."""
        rows = self._loader.batch_size
        batch = {name: np.zeros((rows, *field.shape), field.dtype) for name, field in self._loader.spec.items()}
        return self._format.select(batch)

    def state_dict(self) -> dict[str, Any]:
        """Return the position after the last batch that Keras has taken; `bitesize.keras.Checkpoint` counts trained batches."""
        with self._lock:
            return self._position.cursor(self._next).as_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a position from `state_dict` with the next ``fit``."""
        with self._lock:
            self._loader.load_state_dict(state)

    def on_epoch_begin(self) -> None:
        """Record the caller: evaluation and prediction read from the first batch of an epoch, without consuming batches."""
        with self._lock:
            caller = Caller(sys._getframe(1))
            switch_off_autotuning(caller.iterator)
            refuse_to_divide_again(self._loader)
            if not self._format.padded_rows:
                self._driver.batching.refuse_empty_shares("Keras")
                refuse_indivisible(self._loader)
            if caller.method == "predict":
                refuse_unless_in_order(self._loader, "predict")
            if caller.class_weight is not None and self.weight_name is not None:
                raise BadSetting(
                    f"Keras takes either class_weight or weights of rows, and the field {self.weight_name!r} has weights: "
                    "use to_keras(loader, weights=False) to leave them out"
                )
            steps = getattr(caller.iterator, "steps_per_execution", 1) or 1
            if steps > 1:
                # So many batches are gathered for one call of the train function.
                self._driver.hold(int(steps) + 1)
            # What a model predicts may be a view on its input, and is kept: then Keras's copy is needed.
            self._format.as_tensors = caller.method in ("fit", "evaluate") and on_torch()
            self._format.keeps_bad_rows = caller.method == "predict"
            if caller.method in LOOKS:
                self._begin_inspection()
            elif caller.method == "fit":
                self._end_inspection()
                self._fit, self._seen = weakref.ref(caller.iterator), 0

    def on_epoch_end(self) -> None:
        """Record the position of training; or reset to it, if Keras only inspected batches."""
        with self._lock:
            caller = Caller(sys._getframe(1))
            if caller.resets and caller.method in LOOKS:
                self._begin_inspection()
            elif caller.resets:
                # The same iterator as began has only had a look, to build metrics.
                if self._fit is not None and self._fit() is not caller.iterator:
                    self._note_broken_fit()
                self._fit = None
                place = self._place()
                if place != self._trained:
                    self._position.begin()
                self._back = None
                self._return_to(place)
            elif caller.method in LOOKS:
                assert self._back is not None
                if self._fit is None:  # nothing else goes on: the next look may go on from here, and has its first batches
                    self._position.restore(self._back[1])
                else:
                    self._end_inspection()
            else:
                self._note_epoch(caller)

    def _note_epoch(self, caller: Caller) -> None:
        """Record the end of an epoch of Keras, which may differ from an epoch of the loader."""
        seen = getattr(caller.iterator, "_steps_seen", None)
        if seen is None:  # called by hand
            self._return_to((self._aligned(self._trained)[0] + 1, 0))
        elif seen == 0:  # Keras's iterator is exhausted and was replaced
            self._trained = self._base = self._driver.batching.advance(self._base, self.num_batches)
        else:
            self._trained = self._driver.batching.advance(self._base, min(int(seen), self.num_batches))
        self._fit = None
        self._position.move_to(self._trained)

    def _note_broken_fit(self) -> None:
        """Record the position of a ``fit`` that ended within an epoch: by ``stop_training``, or by an error."""
        place = self._driver.batching.advance(self._base, min(self._seen, self.num_batches))
        if self._loader.epoch == self._trained[0] and not self._position.resumes:
            self._trained = self._base = min(place, self._next)
            self._position.move_to(self._trained)

    def _place(self) -> tuple[int, int]:
        """Return the position of training; a loaded state, or an epoch that was set, takes precedence."""
        if self._position.resumes or self._loader.epoch != self._trained[0]:
            return self._driver.batching.place(*self._position.next_start)
        return self._trained

    def _begin_inspection(self) -> None:
        """Go to the first batch of an epoch, and remember the position of training."""
        if self._back is None:
            self._back = (self._next, self._position.save())
        if self._next[1]:
            self._next, self._iterator = self._aligned(self._place()), None

    def _end_inspection(self) -> None:
        """Go back to the position of training."""
        if self._back is not None:
            place, saved_position = self._back
            self._back = None
            if place != self._next:
                self._next, self._iterator = place, None
            self._position.restore(saved_position)

    def _start(self) -> BatchIterator:
        return self._driver.iterate(self._next, endless=True, holder=LOOP if on_torch() else _PENDING)

    def _return_to(self, place: tuple[int, int]) -> None:
        if place != self._next:
            self._iterator = None
        self._next = self._trained = self._base = place

    def _aligned(self, place: tuple[int, int]) -> tuple[int, int]:
        return (place[0] + 1, 0) if place[1] else place
