"""Where the patches of an image begin, and in which order: block by block, so that the patches of a block share their tiles.

Blocks that lie beside each other along the last axis form a swath. Blocks are large enough to be read alone, or they are narrow, and the
blocks of a swath are read one after another: see `sources.patches.layout`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitesize.order.mix64 import keys, mix64

# Part of the keys of random places, so that they do not collide with other random numbers of the seed.
_PLACES = 0x9A7C
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """Patches on a grid. The last one of each axis is moved inside, so that all pixels are covered.

    Patches are numbered block by block; blocks, and the patches of a block, are in C order.

    Parameters
    ----------
    shape
        Shape of the image, without channels.
    size, stride
        Shape of a patch, and distance of neighbors.
    block
        Number of patches in a block along each axis.
    """

    shape: Sizes
    size: Sizes
    stride: Sizes
    block: Sizes

    @property
    def counts(self) -> Sizes:
        """Number of patches along each axis."""
        return tuple(map(count, self.shape, self.size, self.stride))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def indices(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index along each axis of some patches, shape (k, axes)."""
        rest, inner = rows.copy(), np.ones(len(rows), np.int64)
        firsts, extents = [], []
        for axis, (n, b) in enumerate(zip(self.counts, self.block, strict=True)):
            # Neighboring blocks along the axes before this one have as many patches as these.
            slab = inner * b * math.prod(self.counts[axis + 1 :])
            number = rest // slab
            rest -= number * slab
            firsts.append(number * b)
            extents.append(np.minimum(b, n - number * b))
            inner = inner * extents[-1]
        found = np.empty((len(rows), len(self.shape)), np.int64)
        for axis in reversed(range(len(self.shape))):
            found[:, axis] = firsts[axis] + rest % extents[axis]
            rest //= extents[axis]
        return found

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first pixel of some patches, shape (k, axes)."""
        last = np.array(self.shape) - self.size
        found: NDArray[np.int64] = np.minimum(self.indices(rows) * np.array(self.stride), last)
        return found

    def starts(self) -> NDArray[np.int64]:
        """Return the first patch of each block."""
        sizes = np.ones(1, np.int64)
        for n, b in zip(self.counts, self.block, strict=True):
            extents = np.minimum(b, n - np.arange(0, n, b, dtype=np.int64))
            sizes = (sizes[:, None] * extents).reshape(-1)
        return np.cumsum(sizes) - sizes

    def swaths(self) -> NDArray[np.int64]:
        """Return the first patch of each swath: blocks beside each other along the last axis."""
        along = -(-self.counts[-1] // self.block[-1])
        return self.starts()[::along]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return 0


class Scattered:
    """Patches at random places, which depend on the seed only; sorted into cells of neighbors.

    Parameters
    ----------
    shape, size
        Shape of the image without channels, and of a patch.
    cell
        Pixels along each axis within which patches begin that are read together.
    seed, number
        Seed, and number of the image.
    n
        Number of patches.
    """

    def __init__(self, shape: Sizes, size: Sizes, cell: Sizes, seed: int, number: int, n: int) -> None:
        self.shape, self.size, self.cell = shape, size, cell
        columns = []
        for axis, (length, extent) in enumerate(zip(shape, size, strict=True)):
            key = np.uint64(keys((seed, _PLACES, number, axis), 1)[0])
            bits = mix64(np.arange(n, dtype=np.uint64) + key) >> np.uint64(11)
            columns.append((bits.astype(np.float64) * 2.0**-53 * (length - extent + 1)).astype(np.int64))
        cells = np.zeros(n, np.int64)
        for column, length, extent in zip(columns, shape, cell, strict=True):
            along = -(-length // extent)
            cells = cells * along + column // extent
        order = np.lexsort((*columns[::-1], cells))
        self._places = np.stack(columns, axis=1)[order]
        cells = cells[order]
        self._starts, self._swaths = _changes(cells), _changes(cells // along)

    def __len__(self) -> int:
        return len(self._places)

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first pixel of some patches, shape (k, axes)."""
        found: NDArray[np.int64] = self._places[rows]
        return found

    def starts(self) -> NDArray[np.int64]:
        """Return the first patch of each cell."""
        return self._starts

    def swaths(self) -> NDArray[np.int64]:
        """Return the first patch of each swath: cells beside each other along the last axis."""
        return self._swaths

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self._places.nbytes + self._starts.nbytes + self._swaths.nbytes


def _changes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where values begin that differ from those before."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.empty(0, np.int64)


def count(length: int, size: int, stride: int) -> int:
    """Return the number of patches along an axis.

    Examples
    --------
    >>> count(10, 4, 3), count(11, 4, 3), count(4, 4, 9)
    (3, 4, 1)
    """
    return -(-(length - size) // stride) + 1


def tiles_of(first: NDArray[np.int64], size: Sizes, tile: Sizes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tiles that patches touch, and the patch of each: shapes (pairs, axes) and (pairs,); sorted by tile."""
    low = first // tile
    high = (first + np.array(size) - 1) // tile
    most = (high - low).max(axis=0) if len(first) else np.zeros(len(tile), np.int64)
    found, patches = [], []
    for offset in product(*(range(int(n) + 1) for n in most)):
        at = low + np.array(offset)
        inside = np.flatnonzero((at <= high).all(axis=1))
        found.append(at[inside])
        patches.append(inside)
    at, which = np.concatenate(found), np.concatenate(patches)
    order = np.lexsort((which, *at.T[::-1]))
    return at[order], which[order]
