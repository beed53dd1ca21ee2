"""Many rows at once: cast, scale and lay out fixed-size rows into the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import BRAIN, HALF
from bitesize.kernels.jit import jit
from bitesize.kernels.store import brain_bits, half_bits


@jit
def _bits(value: float, code: int) -> Any:
    single = np.array((np.float32(value),)).view(np.uint32)[0]
    return half_bits(single) if code == HALF else brain_bits(single)


@jit
def cast_rows(source: Any, factor: Any, offset: Any, limits: Any, code: int, out: Any) -> None:
    """Write ``source * factor + offset`` into ``out``, value by value, channels last.

    Parameters
    ----------
    source
        (rows, values, channels), any number type, C-contiguous.
    factor, offset
        (rows or 1, channels) float64.
    limits
        Two floats: clamp the result to this range and round it (for integers); ``low >= high`` leaves it as it is.
    code
        `PLAIN`, or `HALF` or `BRAIN` for an ``out`` of uint16 that holds the bits.
    out
        (rows, values, channels), any strides, any number type.
    """
    rows, values, channels = source.shape
    low, high = limits[0], limits[1]
    same = factor.shape[0] == 1
    for i in range(rows):
        f, o = factor[0 if same else i], offset[0 if same else i]
        uniform, plain = True, low >= high
        for c in range(channels):
            uniform = uniform and f[c] == f[0] and o[c] == o[0]
            plain = plain and f[c] == 1.0 and o[c] == 0.0
        if code in (HALF, BRAIN):
            for j in range(values):
                for c in range(channels):
                    out[i, j, c] = _bits(source[i, j, c] * f[c] + o[c], code)
        elif low < high:
            for j in range(values):
                for c in range(channels):
                    out[i, j, c] = min(max(np.floor(source[i, j, c] * f[c] + o[c] + 0.5), low), high)
        elif plain:
            for j in range(values):
                for c in range(channels):
                    out[i, j, c] = source[i, j, c]
        else:
            for j in range(values):
                for c in range(channels):
                    out[i, j, c] = source[i, j, c] * f[c] + o[c]


def cast_rows_reference(
    source: NDArray[Any],
    factor: NDArray[np.float64],
    offset: NDArray[np.float64],
    low: float,
    high: float,
    out: NDArray[Any],
) -> None:
    """Do what `cast_rows` does with plain NumPy, for any number type."""
    values = source * factor[:, None] + offset[:, None]
    out[...] = np.clip(np.floor(values + 0.5), low, high) if low < high else values
