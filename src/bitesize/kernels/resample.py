"""One pass from decoded pixels to the batch: antialiased resampling, colour, cast and layout.

The filter is Pillow's (a triangle or a cubic that widens when shrinking), computed in float32 without rounding between
the two directions. For each output row the vertical taps are summed over the whole width, a loop the compiler
vectorises; then the horizontal taps, the colour matrix and the cast write straight into the batch. Flips, quarter turns
and channel order are strides of ``out``, so there is one kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import BILINEAR, SUPPORT
from bitesize.kernels.jit import jit


@jit
def _weights(start: float, end: float, source: int, size: int, kind: int, bounds: Any, weights: Any) -> None:
    """Fill, for each output pixel, its first source pixel, its number of taps and their weights."""
    scale = (end - start) / size
    stretch = max(1.0, scale)
    support = (1.0 if kind == 0 else 2.0) * stretch
    for i in range(size):
        centre = start + (i + 0.5) * scale
        low = max(0, math.floor(centre - support + 0.5))
        high = min(source, math.floor(centre + support + 0.5))
        low = min(low, source - 1)
        high = max(high, low + 1)
        high = min(high, low + weights.shape[1])
        total = 0.0
        for k in range(high - low):
            x = abs((low + k - centre + 0.5) / stretch)
            if kind == 0:
                w = max(0.0, 1.0 - x)
            elif x < 1.0:  # cubic convolution with a = -0.5 (Keys 1981)
                w = (1.5 * x - 2.5) * x * x + 1.0
            elif x < 2.0:
                w = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
            else:
                w = 0.0
            weights[i, k] = w
            total += w
        if total == 0.0:  # a box wholly outside: the nearest pixel
            weights[i, 0] = 1.0
            total = 1.0
        for k in range(high - low):
            weights[i, k] /= total
        bounds[i, 0] = low
        bounds[i, 1] = high - low


@jit
def resample(
    source: Any,
    box: Any,
    kind: int,
    colour: Any,
    alpha: float,
    low: float,
    high: float,
    x_taps: int,
    y_taps: int,
    scratch: Any,
    out: Any,
) -> None:
    """Resample ``source`` within ``box`` to the size of ``out``, apply the colour matrix, clamp, and write.

    Parameters
    ----------
    source
        (height, width, 1 | 3 | 4), any number type, C-contiguous.
    box
        (x0, y0, x1, y1) float64 in source pixels, x0 < x1 and y0 < y1; taps may reach beyond it into the image.
    kind
        `BILINEAR` or `BICUBIC`.
    colour
        (3, 4) float32: ``out = colour[:, :3] @ rgb + colour[:, 3]``. One channel uses the first row's own factor
        and offset only.
    alpha
        Factor of a fourth channel.
    low, high
        Clamp the result to this range and round it (for integers); ``low >= high`` leaves it as it is.
    scratch
        float32 of `scratch_values`.
    out
        (out_height, out_width, channels), any strides, any number type.
    """
    height, width, channels = source.shape
    out_h, out_w = out.shape[0], out.shape[1]
    at = 0
    wx = scratch[at : at + out_w * x_taps].reshape(out_w, x_taps)
    at += out_w * x_taps
    wy = scratch[at : at + out_h * y_taps].reshape(out_h, y_taps)
    at += out_h * y_taps
    # Bounds are kept as int32 in the same scratch.
    bx = scratch[at : at + 2 * out_w].view(np.int32).reshape(out_w, 2)
    at += 2 * out_w
    by = scratch[at : at + 2 * out_h].view(np.int32).reshape(out_h, 2)
    at += 2 * out_h
    row = scratch[at : at + width * channels]
    _weights(box[0], box[2], width, out_w, kind, bx, wx)
    _weights(box[1], box[3], height, out_h, kind, by, wy)
    first = width
    last = 0
    for i in range(out_w):
        first = min(first, bx[i, 0])
        last = max(last, bx[i, 0] + bx[i, 1])
    begin, end = first * channels, last * channels
    flat = source.reshape(height, width * channels)
    rounds = low < high
    for y in range(out_h):
        top = by[y, 0]
        w = wy[y, 0]
        line = flat[top]
        for j in range(begin, end):
            row[j] = w * np.float32(line[j])
        for k in range(1, by[y, 1]):
            w = wy[y, k]
            line = flat[top + k]
            for j in range(begin, end):
                row[j] += w * np.float32(line[j])
        if channels >= 3:
            for x in range(out_w):
                a = np.float32(0.0)
                b = np.float32(0.0)
                c = np.float32(0.0)
                d = np.float32(0.0)
                j = bx[x, 0] * channels
                for k in range(bx[x, 1]):
                    w = wx[x, k]
                    a += w * row[j]
                    b += w * row[j + 1]
                    c += w * row[j + 2]
                    if channels == 4:
                        d += w * row[j + 3]
                    j += channels
                r = colour[0, 0] * a + colour[0, 1] * b + colour[0, 2] * c + colour[0, 3]
                g = colour[1, 0] * a + colour[1, 1] * b + colour[1, 2] * c + colour[1, 3]
                e = colour[2, 0] * a + colour[2, 1] * b + colour[2, 2] * c + colour[2, 3]
                d *= alpha
                if rounds:
                    r = min(max(np.floor(r + np.float32(0.5)), low), high)
                    g = min(max(np.floor(g + np.float32(0.5)), low), high)
                    e = min(max(np.floor(e + np.float32(0.5)), low), high)
                    d = min(max(np.floor(d + np.float32(0.5)), low), high)
                out[y, x, 0] = r
                out[y, x, 1] = g
                out[y, x, 2] = e
                if channels == 4:
                    out[y, x, 3] = d
        else:
            for x in range(out_w):
                a = np.float32(0.0)
                j = bx[x, 0]
                for k in range(bx[x, 1]):
                    a += wx[x, k] * row[j + k]
                a = colour[0, 0] * a + colour[0, 3]
                if rounds:
                    a = min(max(np.floor(a + np.float32(0.5)), low), high)
                out[y, x, 0] = a


def resample_reference(
    source: NDArray[Any],
    box: tuple[float, float, float, float],
    kind: int,
    colour: NDArray[np.float32],
    alpha: float,
    out: NDArray[Any],
) -> None:
    """Do what `resample` does with plain NumPy in float64, for any float ``out``."""
    height, width, channels = source.shape
    wx = _matrix(box[0], box[2], width, out.shape[1], kind)
    wy = _matrix(box[1], box[3], height, out.shape[0], kind)
    pixels = np.einsum("yh,xw,hwc->yxc", wy, wx, source.astype(np.float64))
    if channels == 1:
        out[...] = colour[0, 0] * pixels + colour[0, 3]
    else:
        out[..., :3] = pixels[..., :3] @ colour[:, :3].T + colour[:, 3]
        out[..., 3:] = pixels[..., 3:] * alpha


def _matrix(start: float, end: float, source: int, size: int, kind: int) -> NDArray[np.float64]:
    scale = (end - start) / size
    stretch = max(1.0, scale)
    support = SUPPORT[kind] * stretch
    centres = start + (np.arange(size) + 0.5) * scale
    pixels = np.arange(source)
    x = np.abs((pixels[None] - centres[:, None] + 0.5) / stretch)
    linear = np.maximum(0.0, 1.0 - x)
    near, far = (1.5 * x - 2.5) * x * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    cubic = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    weights = linear if kind == BILINEAR else cubic
    low = np.maximum(0, np.floor(centres - support + 0.5))
    high = np.minimum(source, np.floor(centres + support + 0.5))
    weights = np.where((pixels >= low[:, None]) & (pixels < high[:, None]), weights, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
