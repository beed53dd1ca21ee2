"""Convert batches to tensors that are views into the loader's memory, for Keras on PyTorch."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

# Keras copies every NumPy array on its way to PyTorch, and takes tensors as they are. Kinds of numbers that it would change are
# left to it.
_SAME_IN_TORCH = frozenset(("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool"))


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
