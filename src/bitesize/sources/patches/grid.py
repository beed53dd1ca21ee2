"""Where the patches of an image begin, and in which order: block by block, so that the patches of a block share their tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitesize.order.mix64 import keys, mix64

# Reads per tile that a block should not exceed, and sizes of blocks that are all tried; larger ones are tried in steps.
_ENOUGH, _ALL_TRIED, _STEP = 1.15, 64, 1.1
# Fewest patches of a block.
_FEWEST = 8
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
        self.shape, self.size = shape, size
        columns = []
        for axis, (length, extent) in enumerate(zip(shape, size, strict=True)):
            key = np.uint64(keys((seed, _PLACES, number, axis), 1)[0])
            bits = mix64(np.arange(n, dtype=np.uint64) + key) >> np.uint64(11)
            columns.append((bits.astype(np.float64) * 2.0**-53 * (length - extent + 1)).astype(np.int64))
        cells = np.zeros(n, np.int64)
        for column, length, extent in zip(columns, shape, cell, strict=True):
            cells = cells * -(-length // extent) + column // extent
        order = np.lexsort((*columns[::-1], cells))
        self._places = np.stack(columns, axis=1)[order]
        cells = cells[order]
        self._starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]])) if n else np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first pixel of some patches, shape (k, axes)."""
        found: NDArray[np.int64] = self._places[rows]
        return found

    def starts(self) -> NDArray[np.int64]:
        """Return the first patch of each cell."""
        return self._starts

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self._places.nbytes + self._starts.nbytes


def count(length: int, size: int, stride: int) -> int:
    """Return the number of patches along an axis.

    Examples
    --------
    >>> count(10, 4, 3), count(11, 4, 3), count(4, 4, 9)
    (3, 4, 1)
    """
    return -(-(length - size) // stride) + 1


def choose_block(shape: Sizes, size: Sizes, stride: Sizes, tiles: Sequence[Sizes], most: int) -> tuple[Sizes, float]:
    """Choose the number of patches along each axis that are read together, and return it with the reads per tile.

    The smallest block whose tiles are read about once is chosen: patches are shuffled block by block.

    Parameters
    ----------
    shape, size, stride
        Those of a `Grid`.
    tiles
        Shapes of the tiles of all that is read: the image, and its masks.
    most
        Largest number of patches in a block.

    Examples
    --------
    >>> choose_block((4096, 4096), (256, 256), (256, 256), [(256, 256)], 100)
    ((2, 4), 1.0)
    >>> choose_block((7168, 7168), (224, 224), (224, 224), [(256, 256)], 100)
    ((4, 8), 1.1428571428571428)
    """
    tried = [_candidates(count(*of_axis), most) for of_axis in zip(shape, size, stride, strict=True)]
    rows = _outer(tried)
    reads = np.zeros(rows.shape)
    for tile in tiles:
        each = [
            np.array([_reads(n, s, d, t, b) for b in blocks]) for n, s, d, t, blocks in zip(shape, size, stride, tile, tried, strict=True)
        ]  # fmt: skip
        reads = np.maximum(reads, _outer(each))
    reads[rows > most] = np.inf
    # Each block costs some time of its own.
    least = min(_FEWEST, most, math.prod(count(*of_axis) for of_axis in zip(shape, size, stride, strict=True)))
    reads[rows < least] = np.inf
    good = reads <= max(_ENOUGH, float(reads.min()) * 1.001)
    # The fewest patches, then the fewest reads; then the most even block.
    order = np.lexsort((-_outer(tried, np.minimum).ravel(), reads.ravel(), rows.ravel(), ~good.ravel()))
    at = np.unravel_index(order[0], rows.shape)
    return tuple(int(blocks[i]) for blocks, i in zip(tried, at, strict=True)), float(reads[at])


def choose_cell(shape: Sizes, tile: Sizes, n: int, rows: int) -> Sizes:
    """Return the pixels along each axis of a cell with about ``rows`` of ``n`` random patches, in whole tiles."""
    share = min(1.0, rows / max(1, n)) ** (1 / len(shape))
    return tuple(max(1, round(share * length / t)) * t for length, t in zip(shape, tile, strict=True))


def _candidates(n: int, most: int) -> NDArray[np.int64]:
    top = max(1, min(n, most))
    tried, b = set(range(1, min(top, _ALL_TRIED) + 1)), float(_ALL_TRIED)
    while b < top:
        tried.add(int(b))
        b *= _STEP
    return np.array(sorted(tried | {top}), np.int64)


def _reads(length: int, size: int, stride: int, tile: int, block: int) -> float:
    """Return how often a tile is read on average along one axis, if patches are read in blocks."""
    firsts = np.arange(0, count(length, size, stride), block, dtype=np.int64)
    lasts = np.minimum(firsts + block, count(length, size, stride)) - 1
    begins, ends = np.minimum(firsts * stride, length - size), np.minimum(lasts * stride, length - size) + size - 1
    touched = int((ends // tile - begins // tile + 1).sum())
    return touched / -(-length // tile)


def _outer(each: Sequence[NDArray[np.generic]], join: np.ufunc = np.multiply) -> NDArray[np.float64]:
    result = np.asarray(each[0], np.float64)
    for values in each[1:]:
        result = join.outer(result, np.asarray(values, np.float64))
    return result


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
