"""One pass from decoded pixels to the batch: antialiased resampling, color, cast and layout.

The filter is Pillow's (a triangle or a cubic that widens when shrinking), computed in float32 without rounding between
the two directions. For each output line, the vertical taps are summed over the whole width, in a loop that the compiler
vectorizes. Then follow the horizontal taps, the color and the cast. Flips, quarter turns and channel order are distances
in ``out``, so one kernel is enough.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import BILINEAR, LINES, SUPPORT
from bitesize.kernels.jit import jit
from bitesize.kernels.store import arrange_colors, store_line
from bitesize.kernels.vector import sum_taps, sum_taps_mixed


@jit
def tap_weight(x: float, kind: int) -> float:
    """Return the value of the filter at a distance of ``x`` >= 0 pixels."""
    if kind == 0:
        return max(0.0, 1.0 - x)
    if x < 1.0:  # cubic convolution with a = -0.5 (Keys 1981)
        return (1.5 * x - 2.5) * x * x + 1.0
    if x < 2.0:
        return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return 0.0


@jit
def _fill_weights(start: float, end: float, source: int, kind: int, most: int, first: Any, weights: Any) -> None:
    """Compute the first source pixel of each output pixel, and the weights of ``most`` pixels from it on."""
    size = first.shape[0]
    scale = (end - start) / size
    stretch = max(1.0, scale)
    support = (1.0 if kind == 0 else 2.0) * stretch
    for i in range(size):
        center = start + (i + 0.5) * scale
        low = max(0, math.floor(center - support + 0.5))
        high = min(source, math.floor(center + support + 0.5))
        low = min(low, source - 1)
        high = min(max(high, low + 1), low + most)
        begin = min(low, source - most)  # at the far edge, weights of 0 come first
        total = 0.0
        for k in range(most):
            w = 0.0
            if low <= begin + k < high:
                w = tap_weight(abs((begin + k - center + 0.5) / stretch), kind)
            weights[i * most + k] = w
            total += w
        if total == 0.0:  # a box completely outside: the nearest pixel
            weights[i * most + low - begin] = 1.0
            total = 1.0
        for k in range(most):
            weights[i * most + k] /= total
        first[i] = begin


@jit
def _sum_lines(source: Any, top: int, weights: Any, row: Any) -> None:
    """Sum weighted lines of ``source`` into ``row``, up to four per pass."""
    # Every loop runs from 0, because the compiler does not vectorize an index that may be negative.
    k, count, size = 0, weights.shape[0], row.shape[0]
    while count > 1 and weights[count - 1] == 0.0:
        count -= 1
    while k < count:
        fresh, left = k == 0, count - k
        line0, w0 = source[top + k], weights[k]
        if left >= 4:
            line1, line2, line3 = source[top + k + 1], source[top + k + 2], source[top + k + 3]
            w1, w2, w3 = weights[k + 1], weights[k + 2], weights[k + 3]
            if fresh:
                for j in range(size):
                    row[j] = (
                        w0 * np.float32(line0[j]) + w1 * np.float32(line1[j]) + w2 * np.float32(line2[j])
                        + w3 * np.float32(line3[j])
                    )  # fmt: skip
            else:
                for j in range(size):
                    row[j] += (
                        w0 * np.float32(line0[j]) + w1 * np.float32(line1[j]) + w2 * np.float32(line2[j])
                        + w3 * np.float32(line3[j])
                    )  # fmt: skip
            k += 4
        elif left >= 2:
            line1, w1 = source[top + k + 1], weights[k + 1]
            if fresh:
                for j in range(size):
                    row[j] = w0 * np.float32(line0[j]) + w1 * np.float32(line1[j])
            else:
                for j in range(size):
                    row[j] += w0 * np.float32(line0[j]) + w1 * np.float32(line1[j])
            k += 2
        else:
            if fresh:
                for j in range(size):
                    row[j] = w0 * np.float32(line0[j])
            else:
                for j in range(size):
                    row[j] += w0 * np.float32(line0[j])
            k += 1


@jit
def _sum_across(
    rows: Any, apart: int, channels: int, first: Any, weights: Any, most: int, mirrored: bool, mixes: bool, colors: Any,
    lines: Any, lines_apart: int
) -> None:  # fmt: skip
    """Sum weighted pixels of `LINES` rows into `LINES` lines; for a mirrored image, from the last pixel to the first."""
    size = first.shape[0]
    for i in range(size):
        x = size - 1 - i if mirrored else i
        start, at = first[x] * channels, x * most
        if mixes:
            sum_taps_mixed(rows, apart, start, channels, weights, at, most, colors, lines, lines_apart, i * channels)
        elif channels >= 3:
            sum_taps(rows, apart, start, channels, weights, at, most, colors, lines, lines_apart, i * channels)
        else:
            for r in range(LINES):
                total = np.float32(0.0)
                for k in range(most):
                    total += weights[x * most + k] * rows[r * apart + first[x] + k]
                lines[r * lines_apart + i] = total * colors[0] + colors[4]


@jit
def resample(
    source: Any, box: Any, kind: int, taps: Any, color: Any, alpha: float, limits: Any, code: int, scratch: Any,
    out: Any, place: Any
) -> None:  # fmt: skip
    """Resample ``source`` within ``box``, apply the color matrix, and store.

    Parameters
    ----------
    source
        (height, width, 1 | 3 | 4), any number type, C-contiguous.
    box
        Four floats (x0, y0, x1, y1) in source pixels, x0 < x1 and y0 < y1; taps may reach beyond it into the image.
    kind
        `BILINEAR` or `BICUBIC`.
    taps
        Two integers, from `filters.taps`, for x and y.
    color, alpha
        See `arrange_colors`.
    limits, code, out
        See `store_line`.
    scratch
        float32 of `resample_values`.
    place
        Six integers: index of the first value in ``out``; distances from line to line, pixel to pixel and channel to channel;
        height and width.
    """
    height, width, channels = source.shape
    at, line_step, step, apart, out_h, out_w = place
    mirrored = step < 0
    if mirrored:  # lines are computed in the order in which they are stored
        at, step = at + (out_w - 1) * step, -step
    x_taps, y_taps = taps
    x_weights, scratch = scratch[: out_w * x_taps], scratch[out_w * x_taps :]
    y_weights, scratch = scratch[: out_h * y_taps], scratch[out_h * y_taps :]
    x_first, scratch = scratch[:out_w].view(np.int32), scratch[out_w:]
    y_first, scratch = scratch[:out_h].view(np.int32), scratch[out_h:]
    colors, scratch = scratch[:20], scratch[20:]
    _fill_weights(box[0], box[2], width, kind, x_taps, x_first, x_weights)
    _fill_weights(box[1], box[3], height, kind, y_taps, y_first, y_weights)
    mixes = arrange_colors(color, alpha, channels, colors)
    begin, end = x_first[0] * channels, (x_first[out_w - 1] + x_taps) * channels
    for i in range(out_w):
        x_first[i] -= x_first[0] if i else 0
    x_first[0] = 0
    # Each row and line has extra space at its end for the fourth lane of `sum_taps`.
    size, long, wide = end - begin, end - begin + 4, out_w * channels + 4
    rows, lines = scratch[: LINES * long], scratch[LINES * long : LINES * (long + wide)]
    pixels = source.reshape(height, width * channels)[:, begin:end]
    for top in range(0, out_h, LINES):
        count = min(LINES, out_h - top)  # remaining rows have old values, and are not stored
        for r in range(count):
            y = top + r
            _sum_lines(pixels, y_first[y], y_weights[y * y_taps : (y + 1) * y_taps], rows[r * long : r * long + size])
        _sum_across(rows, long, channels, x_first, x_weights, x_taps, mirrored, mixes, colors, lines, wide)
        for r in range(count):
            line = lines[r * wide : (r + 1) * wide]
            store_line(line, channels, out_w, limits, code, out, at + (top + r) * line_step, step, apart)


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
    wx = _matrix(box[0], box[2], width, out.shape[1], kind)
    wy = _matrix(box[1], box[3], height, out.shape[0], kind)
    pixels = np.einsum("yh,xw,hwc->yxc", wy, wx, source.astype(np.float64))
    if channels == 1:
        out[...] = color[0, 0] * pixels + color[0, 3]
    else:
        out[..., :3] = pixels[..., :3] @ color[:, :3].T + color[:, 3]
        out[..., 3:] = pixels[..., 3:] * alpha


def _matrix(start: float, end: float, source: int, size: int, kind: int) -> NDArray[np.float64]:
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
