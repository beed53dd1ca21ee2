"""Outlines of objects in images, and drawing them as masks of class numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.sources.rle import area, check_lengths, fill_runs, run_lengths

# Crossings of polygons with rows of pixels that are computed at a time, and the most bytes for them.
_CROSSINGS = 1 << 15
SCRATCH = 4 << 20


class Shape(NamedTuple):
    """One object of an image.

    Attributes
    ----------
    number : int
        Class number, from 1; 0 is the background.
    polygons : list of list of float
        Outlines, ``x, y, x, y, ...`` in pixels, or in shares of width and height.
    counts : str or list of int or None
        Run lengths, in place of polygons.
    """

    number: int
    polygons: list[list[float]]
    counts: str | list[int] | None = None


class Shapes:
    """Objects of many images, as compact text in memory.

    Parameters
    ----------
    images
        Objects of each image.
    sizes
        Width and height of each image in pixels, shape (images, 2); None if coordinates are shares of width and height.
    """

    def __init__(self, images: Iterable[Sequence[Shape]], sizes: NDArray[np.int64] | None) -> None:
        parts = [json.dumps(shapes, separators=(",", ":")).encode() for shapes in images]
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        self._text = b"".join(parts)
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def nbytes(self) -> int:
        """Bytes of the text."""
        return len(self._text) + self._ends.nbytes + (0 if self.sizes is None else self.sizes.nbytes)

    @property
    def identity(self) -> bytes:
        """Bytes that identify the objects."""
        return self._text + (b"" if self.sizes is None else self.sizes.tobytes())

    def of(self, row: int) -> list[Shape]:
        """Return the objects of an image."""
        start = int(self._ends[row - 1]) if row else 0
        return [Shape(*each) for each in json.loads(self._text[start : int(self._ends[row])])]


def draw(shapes: Sequence[Shape], out: NDArray[Any], scale: tuple[float, float] = (1.0, 1.0)) -> None:
    """Draw objects into a mask of shape (height, width), the smaller ones over the larger; of equal ones, the later.

    Pixels whose centers are inside a polygon belong to the object; the center of the first pixel is at (0.5, 0.5).

    Parameters
    ----------
    shapes
        The objects.
    out
        uint8 or uint16, C-contiguous; it is set to 0 first.
    scale
        Factors of x and y coordinates.

    Raises
    ------
    BadFile
        If run lengths do not fit the image.
    """
    out[...] = 0
    height, width = out.shape
    known = [(shape, None if shape.counts is None else run_lengths(shape.counts)) for shape in shapes]
    for _, lengths in known:
        if lengths is not None:
            check_lengths(lengths, height, width)
    for shape, lengths in sorted(known, key=lambda pair: -_area(pair[0], pair[1], scale)):
        if lengths is not None:
            fill_runs(lengths, shape.number, out)
            continue
        for polygon in shape.polygons:
            fill_polygon(np.array(polygon, np.float64).reshape(-1, 2) * scale, shape.number, out)


def _area(shape: Shape, lengths: list[int] | None, scale: tuple[float, float]) -> float:
    """Return the area of an object in pixels."""
    if lengths is not None:
        return area(lengths)
    total = 0.0
    for polygon in shape.polygons:
        x, y = np.array(polygon, np.float64).reshape(-1, 2).T
        total += abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2 * scale[0] * scale[1]
    return total


def fill_polygon(points: NDArray[np.float64], number: int, out: NDArray[Any]) -> None:
    """Write a number into pixels whose centers are inside a polygon, by the even-odd rule.

    Pillow rounds the corners of polygons, and adds the pixels at their edges: objects of 10 pixels become a third larger.

    Parameters
    ----------
    points
        Corners, shape (corners, 2), x and y in pixels; the center of the first pixel is at (0.5, 0.5).
    number
        The number.
    out
        Shape (height, width).

    Examples
    --------
    >>> mask = np.zeros((3, 4), np.uint8)
    >>> fill_polygon(np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]]), 7, mask)
    >>> mask.tolist()
    [[0, 7, 7, 0], [0, 7, 7, 0], [0, 0, 0, 0]]
    """
    height, width = out.shape
    ends = np.roll(points, -1, axis=0)
    rising = points[:, 1] <= ends[:, 1]
    upper, lower = np.where(rising[:, None], points, ends), np.where(rising[:, None], ends, points)
    run, rise = (lower - upper).T
    slopes = np.divide(run, rise, out=np.zeros(len(points)), where=rise > 0)
    band = max(1, _CROSSINGS // len(points))
    for top in range(max(0, int(upper[:, 1].min())), min(height, int(np.ceil(lower[:, 1].max()))), band):
        bottom = min(top + band, height)
        first, stop = (np.clip(np.ceil(each[:, 1] - 0.5), top, bottom).astype(np.int64) for each in (upper, lower))
        count = stop - first
        edge = np.repeat(np.arange(len(points)), count)
        y = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count - first, count)
        x = upper[edge, 0] + (y + 0.5 - upper[edge, 1]) * slopes[edge]
        order = np.lexsort((x, y))
        x = np.clip(np.ceil(x[order] - 0.5), 0, width).astype(np.int64)
        for row, left, right in zip(y[order][::2].tolist(), x[::2].tolist(), x[1::2].tolist(), strict=True):
            out[row, left:right] = number


def check_polygon(polygon: Any, where: str) -> list[float]:
    """Return the coordinates of a polygon.

    Raises
    ------
    BadFile
        If there are no three points, or coordinates are not finite numbers.
    """
    fine = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
    if not fine or not all(isinstance(value, int | float) for value in polygon) or not np.isfinite(polygon).all():
        raise BadFile(f"{where}: a polygon needs at least three points x, y, x, y, ..., not {str(polygon)[:80]}")
    return [round(float(value), 6) for value in polygon]
