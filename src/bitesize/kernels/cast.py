"""Kernels that cast, scale and lay out many rows of fixed size into the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from bitesize.kernels.filters import PLAIN
from bitesize.kernels.jit import LEAN, lean_jit
from bitesize.kernels.prefetch import distance, prefetch
from bitesize.kernels.shuffle import load_three
from bitesize.kernels.store import LARGE, store_line
from bitesize.kernels.vector import LANES, fuse, load_eight, spread_eight, store


@lean_jit
def cast_line(part: Any, factor: Any, offset: Any, line: Any) -> None:
    """Write ``part * factor + offset`` into ``line``, for one factor and offset a value."""
    for j in range(part.shape[0]):
        line[j] = fuse(part[j], factor[j], offset[j])


@lean_jit
def cast_three(
    values: Any, start: int, count: int, factor: Any, offset: Any, planar: bool, mirrored: bool, line: Any
) -> None:
    """Cast at least 8 pixels of three channels from ``start`` on like `cast_line`, as planes or mirrored or both."""
    colors = (load_eight(factor, 0), load_eight(factor, LANES), load_eight(factor, 2 * LANES))
    added = (load_eight(offset, 0), load_eight(offset, LANES), load_eight(offset, 2 * LANES))
    step, apart = 3, LANES
    if planar:
        colors, added = (
            (spread_eight(factor, 0), spread_eight(factor, 1), spread_eight(factor, 2)),
            (spread_eight(offset, 0), spread_eight(offset, 1), spread_eight(offset, 2)),
        )
        step, apart = 1, count
    for block in range(0, count, LANES):
        x = min(block, count - LANES)  # the last pixels again, if fewer are left
        k = start + 3 * (count - LANES - x if mirrored else x)
        if planar and mirrored:
            a, b, c = load_three(values, k, True, True)
        elif planar:
            a, b, c = load_three(values, k, True, False)
        else:
            a, b, c = load_three(values, k, False, True)
        j = x * step
        store(fuse(a, colors[0], added[0]), line, j)
        store(fuse(b, colors[1], added[1]), line, j + apart)
        store(fuse(c, colors[2], added[2]), line, j + 2 * apart)


def _cast_planes(part: Any, factor: Any, offset: Any, line: Any) -> bool:
    """Cast pixels of three channels as planes, if factors are float32; return whether this was done."""
    raise NotImplementedError


@overload(_cast_planes, jit_options=LEAN)  # type: ignore[untyped-decorator]
def _cast_planes_for(part: Any, factor: Any, offset: Any, line: Any) -> Any:
    """Return the variant for a type of factors."""

    def cast(part: Any, factor: Any, offset: Any, line: Any) -> bool:
        cast_three(part, 0, part.shape[0] // 3, factor, offset, True, False, line)
        return True

    def leave(part: Any, factor: Any, offset: Any, line: Any) -> bool:
        return False

    return cast if factor.dtype == types.float32 else leave


@lean_jit
def cast_row(
    source: Any, first: int, plain: bool, factor: Any, offset: Any, line: Any, limits: Any, code: int, channels: int, out: Any,
    step: int, apart: int
) -> None:  # fmt: skip
    """Cast a part of one row like `cast_rows`. Its first value is value number ``first`` of the row."""
    chunk, values = factor.shape[0], source.shape[0]
    for start in range(0, values, chunk):
        part = source[start : start + chunk]
        size, planes = part.shape[0], 1
        if plain:
            for j in range(size):
                line[j] = part[j]
        else:
            if channels == 3 and step == 1 and size >= 3 * LANES and _cast_planes(part, factor, offset, line):
                planes = 3
            else:
                cast_line(part, factor, offset, line)
        at = (first + start) // channels * step
        for c in range(planes):
            width = size // channels
            store_line(line[c * width :], channels // planes, width, limits, code, out, at + c * apart, step, apart)


@lean_jit
def cast_rows(
    source: Any, plain: bool, factor: Any, offset: Any, line: Any, limits: Any, code: int, channels: int, out: Any, step: int,
    apart: int
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
    line
        (chunk,) float32: buffer.
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
            cast_row(source[i], 0, plain, factor[k], offset[k], line, limits, code, channels, out[i], step, apart)


@lean_jit
def cast_chosen_rows(
    source: Any, chosen: Any, plain: bool, factor: Any, offset: Any, line: Any, limits: Any, code: int, channels: int, out: Any,
    step: int, apart: int
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
            cast_row(source[chosen[i]], 0, plain, factor[k], offset[k], line, limits, code, channels, out[i], step, apart)


@lean_jit
def is_direct(limits: Any, code: int, channels: int, values: int, step: int, apart: int) -> bool:
    """Return whether values are stored one after another without further steps, in rows that stay in the processor's cache."""
    return bool(code == PLAIN and limits[0] >= limits[1] and apart == 1 and step == channels and values < LARGE)


@lean_jit
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
            target[j] = np.float32(fuse(part[j], gains[j], shifts[j]))


@lean_jit
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
