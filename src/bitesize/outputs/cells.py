"""The image that predictions of patches are joined to: cells, which are written as soon as all their patches have come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.sources.patches.grid import Grid

Blend = Literal["linear", "flat"]
Box = tuple[slice, ...]
Write = Callable[[Box, NDArray[Any]], None]
# Rows that are counted together.
_MANY = 65_536


class _Axis:
    """An axis that is cut where patches begin or end: each cell between two cuts is in the same patches as a whole."""

    def __init__(self, length: int, size: int, stride: int, count: int) -> None:
        begins = np.minimum(np.arange(count, dtype=np.int64) * stride, length - size)
        self.cuts = np.unique(np.concatenate([begins, begins + size, [0, length]]))
        self.first = np.searchsorted(self.cuts, begins)
        self.stop = np.searchsorted(self.cuts, begins + size)
        self.begins = begins


class Cells:
    """The cells of an image, and the patches that each waits for.

    Parameters
    ----------
    grid
        Grid of the image.
    rows
        Numbers of the patches of the grid that will come, ascending; None for all.
    """

    def __init__(self, grid: Grid, rows: NDArray[np.int64] | None) -> None:
        self._grid, self._rows = grid, rows
        self.axes = [_Axis(*each) for each in zip(grid.shape, grid.size, grid.stride, grid.counts, strict=True)]
        self.shape = tuple(len(axis.cuts) - 1 for axis in self.axes)
        self.waiting = np.zeros(self.shape, np.int32)
        for _, cells in self._touched():
            np.add.at(self.waiting, cells, 1)
        self.empty = self.waiting == 0

    @staticmethod
    def request(grid: Grid) -> int:
        """Return the bytes for the cells of a grid, and for planning."""
        return math.prod(2 * n + 1 for n in grid.counts) * 32 + _MANY * 64

    def _touched(self) -> Iterator[tuple[NDArray[np.int64], tuple[NDArray[np.int64], ...]]]:
        """Yield positions of patches in the sequence, and a cell of each; each pair once."""
        total = len(self._grid) if self._rows is None else len(self._rows)
        spans = [range(int((axis.stop - axis.first).max())) for axis in self.axes]
        for start in range(0, total, _MANY):
            positions = np.arange(start, min(start + _MANY, total), dtype=np.int64)
            indices = self._grid.indices(positions if self._rows is None else self._rows[positions])
            for offsets in product(*spans):
                cells = [axis.first[i] + offset for axis, i, offset in zip(self.axes, indices.T, offsets, strict=True)]
                inside = np.logical_and.reduce(
                    [cell < axis.stop[i] for axis, i, cell in zip(self.axes, indices.T, cells, strict=True)]
                )
                yield positions[inside], tuple(cell[inside] for cell in cells)

    def most_open(self, pixel_nbytes: int) -> int:
        """Return the most bytes of all cells that wait for patches at one time."""
        total = len(self._grid) if self._rows is None else len(self._rows)
        first, last = np.full(self.shape, total, np.int64), np.full(self.shape, -1, np.int64)
        for positions, cells in self._touched():
            np.minimum.at(first, cells, positions)
            np.maximum.at(last, cells, positions)
        pixels = np.ones((), np.int64)
        for axis in self.axes:
            pixels = np.multiply.outer(pixels, np.diff(axis.cuts))
        several = last > first
        change = np.zeros(total + 2, np.int64)
        np.add.at(change, first[several], pixels[several] * pixel_nbytes)
        np.add.at(change, last[several] + 1, -pixels[several] * pixel_nbytes)
        return int(np.cumsum(change).max())

    def of_patch(self, number: int) -> Iterator[tuple[tuple[int, ...], Box, Box]]:
        """Yield the cells of a patch, by its number in the grid: the cell, its box in the image, and its box in the patch."""
        index = self._grid.indices(np.array([number], np.int64))[0].tolist()
        ranges = [range(axis.first[i], axis.stop[i]) for axis, i in zip(self.axes, index, strict=True)]
        begins = [int(axis.begins[i]) for axis, i in zip(self.axes, index, strict=True)]
        for cell in product(*ranges):
            box = self.box(cell)
            yield cell, box, tuple(slice(each.start - b, each.stop - b) for each, b in zip(box, begins, strict=True))

    def box(self, cell: tuple[int, ...]) -> Box:
        """Return the pixels of a cell."""
        return tuple(slice(int(axis.cuts[i]), int(axis.cuts[i + 1])) for axis, i in zip(self.axes, cell, strict=True))


class Blending:
    """Joins predictions: the mean of those of a pixel, by weight; of whole numbers, the one of the largest weight.

    A mean is updated by differences, so that equal predictions stay exactly what they are.

    Parameters
    ----------
    cells
        Cells of the image.
    write
        Called with the pixels of each finished cell.
    weights
        Weight of each pixel of a patch.
    dtype
        Dtype of predictions.
    """

    def __init__(self, cells: Cells, write: Write, weights: NDArray[np.float32], dtype: np.dtype[Any]) -> None:
        self._cells, self._write, self._weights, self._dtype = cells, write, weights, dtype
        self._open: dict[tuple[int, ...], tuple[NDArray[Any], NDArray[np.float32]]] = {}

    def add(self, number: int, prediction: NDArray[Any]) -> None:
        """Add the prediction of a patch, by its number in the grid."""
        for cell, box, part in self._cells.of_patch(number):
            values = prediction[part]
            self._cells.waiting[cell] -= 1
            done = self._cells.waiting[cell] == 0
            if cell not in self._open:
                if done:  # of this patch alone
                    self._write(box, values)
                else:
                    self._open[cell] = values.astype(sum_dtype(self._dtype)), self._weights[part].copy()
                continue
            mean, total = self._open[cell]
            self._join(mean, total, values, self._weights[part])
            if done:
                del self._open[cell]
                self._write(box, mean.astype(self._dtype, copy=False))

    def _join(
        self, mean: NDArray[Any], total: NDArray[np.float32], values: NDArray[Any], weights: NDArray[np.float32]
    ) -> None:
        beside = (..., *([None] * (mean.ndim - total.ndim)))
        if self._dtype.kind in "bui":
            better = weights > total
            mean[better] = values[better]
            np.maximum(total, weights, out=total)
            return
        total += weights
        differences = np.zeros_like(mean)
        np.subtract(values, mean, out=differences, where=values != mean, casting="unsafe")  # equal infinities stay
        differences *= (weights / total)[beside]
        mean += differences


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which predictions are joined."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def weights_of(size: tuple[int, ...], blend: Blend) -> NDArray[np.float32]:
    """Return the weight of each pixel of a patch.

    Examples
    --------
    >>> weights_of((5,), "linear").tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0]
    """
    weights = np.ones((), np.float32)
    for n in size:
        i = np.arange(n)
        axis = np.minimum(i + 1, n - i) if blend == "linear" else np.ones(n)
        weights = np.multiply.outer(weights, axis.astype(np.float32))
    return weights
