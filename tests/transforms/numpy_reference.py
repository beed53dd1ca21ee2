"""Transforms of images and volumes in NumPy and SciPy, written independently of the kernels: channels last, in float64."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage


def triangle(x):
    return np.maximum(0.0, 1.0 - np.abs(x))


def cubic(x):
    x = np.abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0.0))


FILTERS = {"bilinear": (triangle, 1.0), "bicubic": (cubic, 2.0)}


def weights(source, size, interpolation, start=0.0, end=None):
    """Return a matrix (size, source): the antialiased filter for each of ``size`` pixels that cover ``start`` to ``end``."""
    step = ((source if end is None else end) - start) / size
    centers = start + (np.arange(size) + 0.5) * step
    if interpolation == "nearest":
        return np.eye(source)[np.floor(centers).astype(int).clip(0, source - 1)]
    kernel, support = FILTERS[interpolation]
    stretch = max(1.0, step)
    pixels = np.arange(source) + 0.5
    near = np.abs(pixels[None] - centers[:, None]) < support * stretch
    matrix = np.where(near, kernel((pixels[None] - centers[:, None]) / stretch), 0.0)
    total = matrix.sum(axis=1, keepdims=True)
    return matrix / np.where(total == 0, 1.0, total)


def resize(x, sides, interpolation="bilinear", boxes=None):
    """Resize the first axes of ``x`` one after another, of boxes (start, end) of each."""
    y = x.astype(np.float64)
    for axis, side in enumerate(sides):
        start, end = boxes[axis] if boxes else (0.0, y.shape[axis])
        y = np.moveaxis(np.tensordot(weights(y.shape[axis], side, interpolation, start, end), y, (1, axis)), 0, axis)
    return y


def crop(x, starts, sides, fill=0.0):
    """Crop the first axes of ``x``; what lies outside is ``fill``."""
    out = np.empty((*sides, *x.shape[len(sides) :]))
    out[...] = fill
    inside = [slice(max(0, s), max(0, min(s + n, x.shape[a]))) for a, (s, n) in enumerate(zip(starts, sides, strict=True))]
    target = [slice(i.start - s, i.stop - s) for i, s in zip(inside, starts, strict=True)]
    out[tuple(target)] = x[tuple(inside)]
    return out


def placed(x, start, step, fill):
    """Resample height and width at ``start + (i + 0.5) * step``; pixels with their center outside are ``fill``."""
    boxes = [(s, s + f * n) for s, f, n in zip(start, step, x.shape, strict=False)]
    y = resize(x, x.shape[:2], "bilinear", boxes)
    for axis in range(2):
        centers = start[axis] + (np.arange(x.shape[axis]) + 0.5) * step[axis]
        np.moveaxis(y, axis, 0)[(centers < 0) | (centers > x.shape[axis])] = fill
    return y


def warp(x, matrix, fill):
    """Show what an inverse map about the center finds: output (row, column) to source, bilinear; shrinking averages a grid of points."""
    matrix = np.asarray(matrix, np.float64)
    down, across = (max(1, math.ceil(np.hypot(*matrix[:, i]) - 1e-6)) for i in range(2))
    center = np.array(x.shape[:2]) / 2
    rows, columns = np.mgrid[: x.shape[0], : x.shape[1]]
    out = np.zeros(x.shape)
    for j in range(down):
        for i in range(across):
            at = np.stack([rows + (j + 0.5) / down - center[0], columns + (i + 0.5) / across - center[1]])
            found = np.tensordot(matrix, at, 1) + center[:, None, None] - 0.5
            for c in range(x.shape[2]):
                out[..., c] += ndimage.map_coordinates(
                    x[..., c].astype(np.float64), found, order=1, mode="grid-constant", cval=fill
                )
    return out / (down * across)


def rotate(x, degrees, fill):
    turn = math.radians(degrees)
    return warp(x, [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]], fill)


def shear(x, degrees, fill):
    return warp(x, [[1.0, 0.0], [-math.tan(math.radians(degrees)), 1.0]], fill)


def percentiles(x, low, high):
    """Stretch each channel between its percentiles, and clip."""
    axes = tuple(range(x.ndim - 1))
    lows, highs = np.percentile(x.astype(np.float64), (low, high), axis=axes)
    width = np.where(highs > lows, highs - lows, 1.0)
    return ((x - lows) / width).clip(0, 1)
