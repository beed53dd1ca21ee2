"""Many rows at once: cast, scale, flip and lay out fixed-size rows into the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.jit import jit


@jit
def cast_rows(source: Any, factor: Any, offset: Any, low: float, high: float, out: Any) -> None:
    """Write ``source * factor + offset`` into ``out``, value by value, channels last.

    Parameters
    ----------
    source
        (rows, values, channels), any number type, C-contiguous.
    factor, offset
        (channels,) float64.
    low, high
        Clamp the result to this range and round it (for integers); ``low >= high`` leaves it as it is.
    out
        (rows, values, channels), any strides, any number type.
    """
    rows, values, channels = source.shape
    rounds = low < high
    plain = not rounds
    for c in range(channels):
        if factor[c] != 1.0 or offset[c] != 0.0:
            plain = False
    for i in range(rows):
        if plain:
            for j in range(values):
                for c in range(channels):
                    out[i, j, c] = source[i, j, c]
        elif rounds:
            for j in range(values):
                for c in range(channels):
                    out[i, j, c] = min(max(np.floor(source[i, j, c] * factor[c] + offset[c] + 0.5), low), high)
        else:
            for j in range(values):
                for c in range(channels):
                    out[i, j, c] = source[i, j, c] * factor[c] + offset[c]


def cast_rows_reference(
    source: NDArray[Any],
    factor: NDArray[np.float64],
    offset: NDArray[np.float64],
    low: float,
    high: float,
    out: NDArray[Any],
) -> None:
    """Do what `cast_rows` does with plain NumPy."""
    values = source * factor + offset
    out[...] = np.clip(np.floor(values + 0.5), low, high) if low < high else values
