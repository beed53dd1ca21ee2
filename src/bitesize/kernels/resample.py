"""One pass from decoded pixels to the batch: antialiased resampling, color, cast and layout.

The filter is Pillow's (a triangle or a cubic that widens when shrinking), computed in float32 without rounding between
the two directions. Sixteen lines of the output are computed together. For each, the vertical taps are summed over the whole
width, in a loop that the compiler vectorizes. The sums are transposed: each value of a line becomes a vector of sixteen
lines, so that one load and one multiplication per horizontal tap serve sixteen pixels. After the color, they are transposed
back. Flips, quarter turns and channel order are distances in ``out``, so one kernel is enough.

Every sum adds the taps of its pixel, from the first to the last, with `fuse`. So a pixel has the same bits wherever it lies in the
output.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import BILINEAR, LINES, PART, SUPPORT, rounded_up
from bitesize.kernels.jit import exact_jit, inline_jit, lean_jit
from bitesize.kernels.shuffle import columns_to_lines, lines_to_columns
from bitesize.kernels.store import store_line
from bitesize.kernels.vector import LANES, fuse, load, load_any, spread, store, zero

rounded_up_to_eight = lean_jit(rounded_up)


@exact_jit
def tap_weight(x: float, kind: int) -> float:
    """Return the value of the filter at a distance of ``x`` >= 0 pixels."""
    if kind == 0:
        return max(0.0, 1.0 - x)
    if x < 1.0:  # cubic convolution with a = -0.5 (Keys 1981)
        return (1.5 * x - 2.5) * x * x + 1.0
    if x < 2.0:
        return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return 0.0


@exact_jit
def fill_weights(axis: Any, source: int, kind: int, most: int, first: Any, counts: Any, weights: Any) -> None:
    """Compute the first source pixel of each output pixel, the number of its taps, and their weights."""
    origin, begin, step = axis
    stretch = max(1.0, step)
    support, shrink = (1.0 if kind == 0 else 2.0) * stretch, 1.0 / stretch
    for i in range(first.shape[0]):
        center = origin + (begin + i + 0.5) * step
        low = min(max(0, math.floor(center - support + 0.5)), source - 1)
        high = min(max(math.floor(center + support + 0.5), low + 1), low + most, source)
        total, at = 0.0, i * most
        for k in range(high - low):
            w = tap_weight(abs(low + k - center + 0.5) * shrink, kind)
            weights[at + k] = w
            total += w
        if total == 0.0:  # a box completely outside: the nearest pixel
            weights[at] = total = 1.0
            high = low + 1
        share = 1.0 / total
        for k in range(high - low):
            weights[at + k] *= share
        while kind == 0 and high - low > 1 and weights[at + high - low - 1] == 0.0:  # no taps without weight
            high -= 1
        first[i], counts[i] = low, high - low


@lean_jit
def sum_lines(
    pixels: Any, start: int, apart: int, weights: Any, first: int, count: int, row: Any, at: int, size: int
) -> None:
    """Sum ``count`` weighted lines, of which the first begins at ``start``, into ``size`` values of ``row`` from ``at`` on."""
    j = 0
    while j + 4 * LINES <= size:  # four vectors at once share the weights
        a, b, c, d, k = zero(), zero(), zero(), zero(), start + j
        for i in range(first, first + count):
            weight = spread(weights, i)
            a = fuse(load_any(pixels, k), weight, a)
            b = fuse(load_any(pixels, k + LINES), weight, b)
            c = fuse(load_any(pixels, k + 2 * LINES), weight, c)
            d = fuse(load_any(pixels, k + 3 * LINES), weight, d)
            k += apart
        store(a, row, at + j)
        store(b, row, at + j + LINES)
        store(c, row, at + j + 2 * LINES)
        store(d, row, at + j + 3 * LINES)
        j += 4 * LINES
    while j < size and size >= LINES:
        j = min(j, size - LINES)  # the last values again, if fewer are left
        a, k = zero(), start + j
        for i in range(first, first + count):
            a = fuse(load_any(pixels, k), spread(weights, i), a)
            k += apart
        store(a, row, at + j)
        j += LINES
    while j < size:
        total, k = np.float32(0.0), start + j
        for i in range(first, first + count):
            total = fuse(pixels[k], weights[i], total)
            k += apart
        row[at + j] = total
        j += 1


@inline_jit
def _sum_three(
    columns: Any, j: int, step: int, weights: Any, k: int, count: int
) -> Any:  # fmt: skip
    """Return the sums of ``count`` weighted pixels of `LINES` lines, for three channels, which share the weights."""
    r, g, b = zero(), zero(), zero()
    for i in range(count):
        weight = spread(weights, k + i)
        r = fuse(load(columns, j), weight, r)
        g = fuse(load(columns, j + LINES), weight, g)
        b = fuse(load(columns, j + 2 * LINES), weight, b)
        j += step
    return r, g, b


@lean_jit
def _sum_across(
    columns: Any, channels: int, first: Any, counts: Any, weights: Any, most: int, mirrored: bool, mixes: bool,
    colors: Any, tile: Any, planar: bool, lines: Any, apart: int
) -> None:  # fmt: skip
    """Sum weighted pixels of `LINES` lines into lines of the output; for a mirrored image, from the last pixel to the first."""
    size, step = first.shape[0], LINES * channels
    plane = rounded_up_to_eight(size)
    for start in range(0, size, LANES):
        some = min(LANES, size - start)
        c = 0
        while c < channels:
            at = LINES * c
            f0, o0 = spread(colors, c), spread(colors, channels + c)
            if channels - c >= 3:
                f1, o1 = spread(colors, c + 1), spread(colors, channels + c + 1)
                f2, o2 = spread(colors, c + 2), spread(colors, channels + c + 2)
                for i in range(some):
                    x = size - 1 - start - i if mirrored else start + i
                    r, g, b = _sum_three(
                        columns, LINES * c + step * (first[x] - first[0]), step, weights, x * most, counts[x]
                    )
                    if not mixes:
                        r, g, b = fuse(r, f0, o0), fuse(g, f1, o1), fuse(b, f2, o2)
                    store(r, tile, at)
                    store(g, tile, at + LINES)
                    store(b, tile, at + 2 * LINES)
                    at += step
                c += 3
            else:
                for i in range(some):
                    x = size - 1 - start - i if mirrored else start + i
                    j, r = LINES * c + step * (first[x] - first[0]), zero()
                    for k in range(x * most, x * most + counts[x]):
                        r = fuse(load(columns, j), spread(weights, k), r)
                        j += step
                    store(fuse(r, f0, o0), tile, at)
                    at += step
                c += 1
        if mixes:
            _mix_tile(tile, channels, some, colors)
        for t in range(channels):
            if planar:
                columns_to_lines(tile, LINES * t, step, lines, t * plane + start, apart)
            else:
                columns_to_lines(tile, LINES * LANES * t, LINES, lines, start * channels + LANES * t, apart)


@lean_jit
def _mix_tile(tile: Any, channels: int, pixels: int, colors: Any) -> None:
    """Mix the colors of some pixels of `LINES` lines in place; a fourth channel has its factor already."""
    for at in range(0, LINES * channels * pixels, LINES * channels):
        r, g, b = load(tile, at), load(tile, at + LINES), load(tile, at + 2 * LINES)
        for c in range(3):
            mixed = fuse(load(tile, at + LINES * c), spread(colors, c), spread(colors, channels + c))
            mixed = fuse(r, spread(colors, 2 * channels + c), mixed)
            mixed = fuse(g, spread(colors, 3 * channels + c), mixed)
            store(fuse(b, spread(colors, 4 * channels + c), mixed), tile, at + LINES * c)


@lean_jit
def resample(
    source: Any, x_axis: Any, y_axis: Any, kind: int, taps: Any, mixes: bool, colors: Any, limits: Any, code: int, scratch: Any,
    out: Any, place: Any
) -> None:  # fmt: skip
    """Resample ``source``, apply colors, and store.

    Parameters
    ----------
    source
        (height, width, channels), any number type, C-contiguous.
    x_axis, y_axis
        Three numbers (origin, begin, step) for each axis: the center of output pixel i is at ``origin + (begin + i + 0.5) * step``
        in source pixels, with an integer ``begin`` and ``step`` > 0. Taps may reach beyond the output into the image.
    kind
        `BILINEAR` or `BICUBIC`.
    taps
        Two integers, from `filters.taps`, for x and y.
    mixes, colors
        See `color_line`.
    limits, code, out
        See `store_line`.
    scratch
        float32 of `resample_values`.
    place
        Six integers: index of the first value in ``out``; distances from line to line, pixel to pixel and channel to channel;
        height and width.
    """
    height, width, channels = source.shape
    at, line_step, step, distance, out_h, out_w = place
    mirrored = step < 0
    if mirrored:  # lines are computed in the order in which they are stored
        at, step = at + (out_w - 1) * step, -step
    plane = rounded_up_to_eight(out_w)
    planes = 1 if distance == 1 and step == channels else channels
    x_taps, y_taps = taps
    # The parts that vectors are loaded from come first, where they are aligned.
    most = rounded_up_to_eight(width * channels)
    columns, scratch = scratch[: LINES * most], scratch[LINES * most :]
    tile, scratch = scratch[: LINES * LANES * channels], scratch[LINES * LANES * channels :]
    apart = channels * plane + LANES
    lines, scratch = scratch[: LINES * apart], scratch[LINES * apart :]
    long = min(PART, most) + LANES
    rows, scratch = scratch[: LINES * long], scratch[LINES * long :]
    x_weights, scratch = scratch[: out_w * x_taps], scratch[out_w * x_taps :]
    y_weights, scratch = scratch[: out_h * y_taps], scratch[out_h * y_taps :]
    whole = scratch[: 2 * (out_w + out_h)].view(np.int32)
    x_first, x_counts, y_first, y_counts = whole[:out_w], whole[out_w:], whole[2 * out_w :], whole[2 * out_w + out_h :]
    fill_weights(x_axis, width, kind, x_taps, x_first, x_counts[:out_w], x_weights)
    fill_weights(y_axis, height, kind, y_taps, y_first[:out_h], y_counts, y_weights)
    begin, end = x_first[0] * channels, 0
    for x in range(out_w):
        end = max(end, (x_first[x] + x_counts[x]) * channels)
    pixels, line_apart = source.reshape(-1), width * channels
    for top in range(0, out_h, LINES):
        count = min(LINES, out_h - top)  # remaining lines have old values, and are not stored
        for start in range(0, end - begin, PART):
            part = min(PART, end - begin - start)
            for r in range(count):
                k = (top + r) * y_taps
                line = y_first[top + r] * line_apart + begin + start
                sum_lines(pixels, line, line_apart, y_weights, k, y_counts[top + r], rows, r * long, part)
            for j in range(0, part, LANES):
                lines_to_columns(rows, j, long, columns, LINES * (start + j))
        _sum_across(
            columns, channels, x_first, x_counts, x_weights, x_taps, mirrored, mixes, colors, tile, planes > 1, lines, apart
        )  # fmt: skip
        for r in range(count):
            for c in range(planes):
                store_line(
                    lines[r * apart + c * plane :], channels // planes, out_w, limits, code, out,
                    at + (top + r) * line_step + c * distance, step, distance
                )  # fmt: skip


def resample_reference(
    source: NDArray[Any],
    box: tuple[float, float, float, float],
    kind: int,
    color: NDArray[np.float32],
    alpha: float,
    out: NDArray[Any],
) -> None:
    """Reference of `resample` in NumPy, in float64, for any float ``out`` of shape (height, width, channels)."""
    height, width, channels = source.shape
    wx = resample_matrix(box[0], box[2], width, out.shape[1], kind)
    wy = resample_matrix(box[1], box[3], height, out.shape[0], kind)
    pixels = np.einsum("yh,xw,hwc->yxc", wy, wx, source.astype(np.float64))
    if channels == 1:
        out[...] = color[0, 0] * pixels + color[0, 3]
    else:
        out[..., :3] = pixels[..., :3] @ color[:, :3].T + color[:, 3]
        out[..., 3:] = pixels[..., 3:] * alpha


def resample_matrix(start: float, end: float, source: int, size: int, kind: int) -> NDArray[np.float64]:
    """Return the weights of ``source`` pixels for each of ``size`` output pixels, which cover ``start`` to ``end``."""
    scale = (end - start) / size
    stretch = max(1.0, scale)
    support = SUPPORT[kind] * stretch
    centers = start + (np.arange(size) + 0.5) * scale
    pixels = np.arange(source)
    weights = weight_reference((pixels[None] - centers[:, None] + 0.5) / stretch, kind)
    low = np.maximum(0, np.floor(centers - support + 0.5))
    high = np.minimum(source, np.floor(centers + support + 0.5))
    weights = np.where((pixels >= low[:, None]) & (pixels < high[:, None]), weights, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def weight_reference(x: NDArray[np.float64], kind: int) -> NDArray[np.float64]:
    """Reference of `tap_weight` for many distances of either sign."""
    x = np.abs(x)
    if kind == BILINEAR:
        return np.maximum(0.0, 1.0 - x)
    near, far = (1.5 * x - 2.5) * x * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
