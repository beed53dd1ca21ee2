"""Kernels that cast, scale and lay out many rows of fixed size into the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import PLAIN
from bitesize.kernels.jit import jit
from bitesize.kernels.prefetch import distance, prefetch
from bitesize.kernels.store import LARGE, store_line


@jit
def cast_row(
    source: Any, first: int, plain: bool, factor: Any, offset: Any, limits: Any, code: int, channels: int, out: Any,
    step: int, apart: int
) -> None:  # fmt: skip
    """Cast a part of one row like `cast_rows`. Its first value is value number ``first`` of the row."""
    chunk, values = factor.shape[0], source.shape[0]
    line = np.empty(chunk, np.float32)  # a few KB
    for start in range(0, values, chunk):
        part = source[start : start + chunk]
        size = part.shape[0]
        if plain:
            for j in range(size):
                line[j] = part[j]
        else:
            for j in range(size):
                line[j] = part[j] * factor[j] + offset[j]
        store_line(line, channels, size // channels, limits, code, out, (first + start) // channels * step, step, apart)


@jit
def cast_rows(
    source: Any, plain: bool, factor: Any, offset: Any, limits: Any, code: int, channels: int, out: Any, step: int, apart: int
) -> None:  # fmt: skip
    """Write ``source * factor + offset`` into ``out``, by way of float32.

    Parameters
    ----------
    source
        (rows, values), any number type, C-contiguous; pixels are interleaved.
    plain
        Whether factor and offset are not applied.
    factor, offset
        (rows or 1, chunk): factor and offset for each value of a chunk, which is a whole number of pixels. float32, or float64
        for a source that float32 cannot represent.
    limits, code
        See `store_line`.
    channels
        Values per pixel.
    out
        (rows, values), C-contiguous, any number type that float32 can represent.
    step, apart
        Distances from pixel to pixel and channel to channel.
    """
    direct = is_direct(limits, code, channels, out.shape[1], step, apart)
    for i in range(source.shape[0]):
        k = i if factor.shape[0] > 1 else 0
        if direct:
            cast_directly(source, i, plain, factor, offset, k, out, i)
        else:
            cast_row(source[i], 0, plain, factor[k], offset[k], limits, code, channels, out[i], step, apart)


@jit
def cast_chosen_rows(
    source: Any, chosen: Any, plain: bool, factor: Any, offset: Any, limits: Any, code: int, channels: int, out: Any, step: int, apart: int
) -> None:  # fmt: skip
    """Cast the rows of ``source`` with the numbers ``chosen``, (rows,) int64; for all other parameters see `cast_rows`."""
    rows, direct = chosen.shape[0], is_direct(limits, code, channels, out.shape[1], step, apart)
    ahead = distance(source)
    for i in range(min(ahead, rows)):
        prefetch(source, chosen[i])
    for i in range(rows):
        if i + ahead < rows:
            prefetch(source, chosen[i + ahead])
        k = i if factor.shape[0] > 1 else 0
        if direct:
            cast_directly(source, chosen[i], plain, factor, offset, k, out, i)
        else:
            cast_row(source[chosen[i]], 0, plain, factor[k], offset[k], limits, code, channels, out[i], step, apart)


@jit
def is_direct(limits: Any, code: int, channels: int, values: int, step: int, apart: int) -> bool:
    """Return whether values are stored one after another without further steps, in rows that stay in the processor's cache."""
    return bool(code == PLAIN and limits[0] >= limits[1] and apart == 1 and step == channels and values < LARGE)


@jit
def cast_directly(source: Any, row: int, plain: bool, factor: Any, offset: Any, k: int, out: Any, i: int) -> None:
    """Cast one row of ``source`` into row ``i`` of ``out``."""
    values, chunk = source.shape[1], factor.shape[1]
    if plain:
        for j in range(values):
            out[i, j] = np.float32(source[row, j])
        return
    gains, shifts = factor[k], offset[k]
    for start in range(0, values, chunk):
        part, target = source[row, start : start + chunk], out[i, start : start + chunk]
        for j in range(part.shape[0]):  # over slices, for which the compiler uses vectors
            target[j] = np.float32(part[j] * gains[j] + shifts[j])


@jit
def cast_wide_rows(source: Any, factor: Any, offset: Any, limits: Any, out: Any) -> None:
    """Write ``source * factor + offset`` into ``out`` by way of float64, for types that float32 cannot represent.

    Parameters
    ----------
    source
        (rows, pixels, channels), any number type, C-contiguous.
    factor, offset
        (rows or 1, channels) float64. If all are 1 and 0, values are only cast.
    limits
        See `store_line`.
    out
        (rows, pixels, channels), any strides, any number type.
    """
    rows, values, channels = source.shape
    low, high = limits[0], limits[1]
    for i in range(rows):
        k = i if factor.shape[0] > 1 else 0
        f, o = factor[k], offset[k]
        plain = low >= high
        for c in range(channels):
            plain = plain and f[c] == 1.0 and o[c] == 0.0
        for j in range(values):
            for c in range(channels):
                if plain:
                    out[i, j, c] = source[i, j, c]
                else:
                    value = source[i, j, c] * f[c] + o[c]
                    out[i, j, c] = min(max(np.floor(value + 0.5), low), high) if low < high else value


def cast_rows_reference(
    source: NDArray[Any],
    factor: NDArray[np.float64],
    offset: NDArray[np.float64],
    limits: tuple[float, float],
    out: NDArray[Any],
) -> None:
    """Reference of `cast_wide_rows` in NumPy, for any number type."""
    values = source * factor[:, None] + offset[:, None]
    out[...] = np.clip(np.floor(values + 0.5), *limits) if limits[0] < limits[1] else values
