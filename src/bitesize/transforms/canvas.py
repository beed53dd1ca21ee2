"""Canvas: where a kernel writes a row of the batch, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import BRAIN, HALF, PLAIN


class Canvas:
    """The target of rendering: how a row of the batch is laid out, and how its values are stored.

    Parameters
    ----------
    shape
        (height, width, channels), or (height, width) for one; or, where ``chw``, (channels, height, width).
    dtype
        Of the batch.
    chw
        Whether channels come first.
    limits
        Least and greatest value of integers; (0, 0) for floats.
    """

    __slots__ = ("_chw", "_flat", "apart", "code", "dtype", "height", "limits", "line", "step", "width")

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any], chw: bool, limits: tuple[float, float]) -> None:
        if chw:
            _, self.height, self.width = shape
            self.line, self.step, self.apart = self.width, 1, self.height * self.width
        else:
            self.height, self.width, channels = (*shape, 1)[:3]
            self.line, self.step, self.apart = self.width * channels, channels, 1
        self._chw, self.dtype, self._flat = chw, dtype, len(shape) == 2
        self.limits, self.code = limits, storage(dtype)

    @property
    def stored(self) -> np.dtype[Any]:
        """The type that kernels write."""
        return self.dtype if self.code == PLAIN else np.dtype(np.uint16)

    def flat(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return a row's values as one axis, as kernels write them."""
        flat = row.reshape(-1)
        return flat if self.code == PLAIN else flat.view(np.uint16)

    def pixels(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return a row as (height, width, channels)."""
        return row.transpose(1, 2, 0) if self._chw else row[..., None] if self._flat else row


def storage(dtype: np.dtype[Any]) -> int:
    """Return how a kernel stores values of a dtype: `PLAIN`, `HALF` or `BRAIN`."""
    return HALF if dtype == np.float16 else BRAIN if dtype.name == "bfloat16" else PLAIN
