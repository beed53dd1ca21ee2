"""The format of batches for Keras: ``(x,)``, ``(x, y)`` or ``(x, y, weights)``; on PyTorch also as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    """

    def __init__(self, inputs: Fields, targets: Fields | None, weights: str | None, masks: bool) -> None:
        self._inputs, self._targets, self.weights, self._masks = inputs, targets, weights, masks
        self.as_tensors = self.keeps_bad_rows = False

    def convert(self, batch: Batch) -> tuple[Any, ...]:
        """Return a batch of the loader for Keras, without padding and bad rows."""
        if self._masks and not batch.mask.all():
            if self.keeps_bad_rows:  # so that the positions of later rows do not shift
                rows = int((batch.rows >= 0).sum())
                batch = Batch({name: array[:rows] for name, array in batch.items()})
            else:
                leave_out(batch)
        return self.select(batch)

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
