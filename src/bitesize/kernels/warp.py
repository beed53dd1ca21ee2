"""Affine maps of images: rotation and shear, and nearest pixels for masks.

Each output pixel is the mean of a small grid of points, whose number is the factor by which the image shrinks. Each point is
interpolated between its neighbors. The fill color surrounds the image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import NEAREST
from bitesize.kernels.jit import lean_jit
from bitesize.kernels.resample import tap_weight, weight_reference
from bitesize.kernels.store import color_line, store_line


@lean_jit
def _add_point(lines: Any, channels: int, u: float, v: float, kind: int, weight: Any, fill: Any, line: Any, at: int) -> None:
    """Add the image's color at the point (u, v), times ``weight``, to ``line`` at ``at``."""
    height, width = lines.shape[0], lines.shape[1] // channels
    left, top = math.floor(u - 0.5), math.floor(v - 0.5)
    if kind == 0 and 0 <= left < width - 1 and 0 <= top < height - 1:  # the usual case: all four neighbors are in the image
        x, y = np.float32(u - 0.5 - left), np.float32(v - 0.5 - top)
        above, below = lines[top], lines[top + 1]
        w00, w01 = (np.float32(1) - x) * (np.float32(1) - y) * weight, x * (np.float32(1) - y) * weight
        w10, w11 = (np.float32(1) - x) * y * weight, x * y * weight
        j = left * channels
        for c in range(channels):
            line[at + c] += (
                w00 * np.float32(above[j + c]) + w01 * np.float32(above[j + channels + c])
                + w10 * np.float32(below[j + c]) + w11 * np.float32(below[j + channels + c])
            )  # fmt: skip
        return
    if kind == NEAREST:
        left, top, reach = math.floor(u), math.floor(v), 1
    else:
        reach = 2 if kind == 0 else 4
        left, top = left - (reach // 2 - 1), top - (reach // 2 - 1)
    for i in range(top, top + reach):
        wy = tap_weight(abs(i + 0.5 - v), kind) if reach > 1 else 1.0
        for k in range(left, left + reach):
            w = np.float32(wy * (tap_weight(abs(k + 0.5 - u), kind) if reach > 1 else 1.0)) * weight
            inside = 0 <= i < height and 0 <= k < width
            for c in range(channels):
                line[at + c] += w * (np.float32(lines[i, k * channels + c]) if inside else np.float32(fill[c]))


@lean_jit
def warp(
    source: Any, affine: Any, kind: int, points: Any, fill: Any, mixes: bool, colors: Any, limits: Any, code: int,
    scratch: Any, out: Any, place: Any
) -> None:  # fmt: skip
    """Render ``source`` through an affine map, apply the color matrix, and store.

    Parameters
    ----------
    source
        (height, width, channels), any number type, C-contiguous.
    affine
        Six floats, a to f: output point (x, y) shows source point (a x + b y + c, d x + e y + f). Pixel (0, 0) covers
        0 to 1 both ways.
    kind
        `BILINEAR`, `BICUBIC` or `NEAREST`.
    points
        Two integers: points per output pixel, along x and y.
    fill
        float32, a value for each channel: the color around the image.
    mixes, colors
        See `color_line`.
    limits, code, out
        See `store_line`.
    scratch
        float32 of `line_values`.
    place
        See `resample`.
    """
    channels = source.shape[2]
    at, line_step, step, apart, out_h, out_w = place
    size = out_w * channels
    line, colored = scratch[: size + 4], scratch[size + 4 : 2 * size + 8]
    lines = source.reshape(source.shape[0], source.shape[1] * channels)
    a, b, c, d, e, f = affine
    across, down = points
    weight = np.float32(1.0 / (across * down))
    for y in range(out_h):
        line[:] = np.float32(0.0)
        for j in range(down):
            py = y + (j + 0.5) / down
            for x in range(out_w):
                for i in range(across):
                    px = x + (i + 0.5) / across
                    u, v = a * px + b * py + c, d * px + e * py + f
                    _add_point(lines, channels, u, v, kind, weight, fill, line, x * channels)
        color_line(line, channels, out_w, mixes, colors, colored)
        store_line(colored, channels, out_w, limits, code, out, at + y * line_step, step, apart)


def warp_reference(
    source: NDArray[Any],
    affine: tuple[float, float, float, float, float, float],
    kind: int,
    points: tuple[int, int],
    fill: NDArray[np.float32],
    out: NDArray[Any],
) -> None:
    """Reference of `warp` in NumPy, in float64, without colors, for any float ``out``."""
    height, width = source.shape[:2]
    a, b, c, d, e, f = affine
    out[...] = 0.0
    y, x = np.mgrid[: out.shape[0], : out.shape[1]]
    for j in range(points[1]):
        for i in range(points[0]):
            px, py = x + (i + 0.5) / points[0], y + (j + 0.5) / points[1]
            u, v = a * px + b * py + c, d * px + e * py + f
            reach = 4 if kind == 1 else 2
            lefts = np.floor(u if kind == NEAREST else u - 0.5).astype(int)
            tops = np.floor(v if kind == NEAREST else v - 0.5).astype(int)
            steps = range(1) if kind == NEAREST else range(1 - reach // 2, reach // 2 + 1)
            for row in steps:
                for column in steps:
                    k, m = lefts + column, tops + row
                    inside = (k >= 0) & (k < width) & (m >= 0) & (m < height)
                    values = np.where(inside[..., None], source[m.clip(0, height - 1), k.clip(0, width - 1)], fill)
                    weight = np.ones(k.shape)
                    if kind != NEAREST:
                        weight = weight_reference(k + 0.5 - u, kind) * weight_reference(m + 0.5 - v, kind)
                    out += weight[..., None] * values / (points[0] * points[1])
