"""The format of batches for Keras: ``(x,)``, ``(x, y)`` or ``(x, y, weights)``; on PyTorch also as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.batch import Batch
from bitesize.outputs.base import (
    leave_out,
)
from bitesize.outputs.fields import (
    Fields,
    pick,
)

# Keras copies every NumPy array on its way to PyTorch but keeps tensors. Kinds of numbers that it would change are
# left to it.
_SAME_IN_TORCH = frozenset(("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool"))


class Padded(NamedTuple):
    """Weights of the rows of a batch that has padding, in place of sample weights: shapes (rows,), float32.

    ``weight`` is 0 for padding and bad rows; ``mask`` is 1 for rows and 0 for padding and bad rows.
    """

    weight: Any
    mask: Any


class KerasFormat:
    """Converts batches for Keras.

    Parameters
    ----------
    inputs, targets, weights
        Fields of the model's inputs, its targets and the sample weights.
    masks
        Whether rows may be padding or bad.

    Attributes
    ----------
    as_tensors : bool
        Whether inputs are passed as tensors of PyTorch.
    keeps_bad_rows : bool
        Whether bad rows keep their positions, for predictions.
    padded_rows : int
        Rows of each batch with padding, which is then kept, with a `Padded`; 0: padding is left out.
    class_weight : dict or None
        Weights by class for padded batches, for which Keras takes no ``class_weight``.
    """

    def __init__(self, inputs: Fields, targets: Fields | None, weights: str | None, masks: bool) -> None:
        self._inputs, self._targets, self.weights, self._masks = inputs, targets, weights, masks
        self.as_tensors = self.keeps_bad_rows = False
        self.padded_rows = 0
        self.class_weight: Mapping[int, float] | None = None

    def convert(self, batch: Batch) -> tuple[Any, ...]:
        """Return a batch of the loader for Keras, without padding and bad rows, unless padding is kept."""
        if self.padded_rows:
            return self._padded(batch)
        if self._masks and not batch.mask.all():
            if self.keeps_bad_rows:  # so that the positions of later rows do not shift
                rows = int((batch.rows >= 0).sum())
                batch = Batch({name: array[:rows] for name, array in batch.items()})
            else:
                leave_out(batch)
        return self.select(batch)

    def _padded(self, batch: Batch) -> tuple[Any, ...]:
        """Return a batch with its padding. Padding repeats the first row, so that averages over a batch stay close to those without."""
        mask = np.zeros(self.padded_rows, np.float32)
        mask[: len(batch.mask)] = batch.mask
        rows = np.arange(self.padded_rows)
        rows[mask == 0] = np.argmax(mask) if mask.any() else 0
        if not mask.all():
            batch = Batch({name: array[rows] for name, array in batch.items()})
        x, *rest = self.select(batch)
        weight = np.asarray(rest[1], np.float32) * mask if len(rest) > 1 else mask.copy()
        if self.class_weight is not None:
            weight *= np.array([self.class_weight.get(int(target), 1.0) for target in np.ravel(rest[0])], np.float32)
        return x, (rest[0] if rest else None), Padded(weight, mask)

    def select(self, batch: Mapping[str, NDArray[Any]]) -> tuple[Any, ...]:
        """Return the fields of a batch for Keras."""
        x = pick(batch, self._inputs)
        if self.as_tensors:
            x = tensors(x)
        if self._targets is None:
            return (x,)
        y = pick(batch, self._targets)
        return (x, y) if self.weights is None else (x, y, batch[self.weights])


def on_torch() -> bool:
    """Return whether Keras runs on PyTorch."""
    import keras

    return bool(keras.backend.backend() == "torch")


def tensors(x: Any) -> Any:
    """Return arrays as tensors without a copy, in the same container."""
    if isinstance(x, dict):
        return {key: _tensor(array) for key, array in x.items()}
    return type(x)(map(_tensor, x)) if isinstance(x, list | tuple) else _tensor(x)


def _tensor(array: NDArray[Any]) -> Any:
    """Return an array as a tensor without a copy, if Keras would see the same numbers."""
    import torch

    return torch.from_numpy(array) if array.dtype.name in _SAME_IN_TORCH else array
