"""How the patches of an image are read, so that each tile is read about once: in blocks, or in swaths of narrow blocks.

A block is read alone, and all blocks are shuffled. The tiles at its border are read again for its neighbors, which is little if the block
is large. Patches that overlap by half need blocks that are too large for memory: eleven tiles along each axis for 1.2 reads of a tile.

A swath is as wide as the image. Its blocks are read one after another, and what neighbors share stays in memory, so that tiles are read
again only above and below the swath. Swaths are shuffled, and a batch is from several of them (streams).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.sources.patches.grid import Sizes, count

# Reads per tile that should not be exceeded, and sizes of blocks that are all tried; larger ones are tried in steps.
_ENOUGH, _ALL_TRIED, _STEP = 1.15, 64, 1.1
# Fewest patches of a block.
_FEWEST = 8
# Most swaths that are read at the same time: powers of two, which numbers of ranks divide.
_STREAMS = (8, 4, 2)
# Most bytes of the blocks and tiles of all streams, as a multiple of ``block=``, for blocks wider than a patch.
_WIDE = 1.25
# Patches in the largest cell of random places, as a multiple of the mean.
_UNEVEN = 1.5


class Tile(NamedTuple):
    """Shape of a tile without channels, and its bytes."""

    shape: Sizes
    nbytes: int


class Reading(NamedTuple):
    """How patches are read.

    Attributes
    ----------
    extent : tuple of int
        Patches along each axis of a block of a grid, or pixels along each axis of a cell of random places.
    reads : float
        How often a tile is read in an epoch on average.
    streams : int or None
        Number of swaths that are read at the same time; None if blocks are read alone.
    """

    extent: Sizes
    reads: float
    streams: int | None


def choose_grid(shape: Sizes, size: Sizes, stride: Sizes, tiles: Sequence[Tile], row: int, most: int) -> Reading:
    """Choose how patches on a grid are read.

    Parameters
    ----------
    shape, size, stride
        Those of a `Grid`.
    tiles
        Tiles of all that is read: the image, and its mask.
    row
        Bytes of a patch.
    most
        Most bytes of the patches of a block, and of a swath's block and its tiles.

    Examples
    --------
    >>> tiles = [Tile((256, 256), 3 << 16)]
    >>> choose_grid((7168, 7168), (224, 224), (224, 224), tiles, 3 * 224**2, 20 << 20)
    Reading(extent=(4, 8), reads=1.1428571428571428, streams=None)
    >>> choose_grid((8192, 8192), (256, 256), (128, 128), tiles, 3 << 16, 20 << 20)
    Reading(extent=(13, 1), reads=1.125, streams=4)
    """
    block, reads = choose_block(shape, size, stride, [tile.shape for tile in tiles], max(1, most // row))
    swaths = None if reads <= _ENOUGH else choose_swaths(shape, size, stride, tiles, row, most)
    return swaths if swaths is not None and swaths.reads < reads else Reading(block, reads, None)


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
    """
    tried = [_candidates(count(*of_axis), most) for of_axis in zip(shape, size, stride, strict=True)]
    rows, reads = _outer(tried), _reads(shape, size, stride, tiles, tried)
    reads[rows > most] = np.inf
    # Each block costs some time of its own. Not every number of patches is that of a block: of 2 x 3 patches, 5 is not.
    reads[rows < min(_FEWEST, rows[rows <= most].max())] = np.inf
    return _best(tried, rows, reads)


def choose_swaths(shape: Sizes, size: Sizes, stride: Sizes, tiles: Sequence[Tile], row: int, most: int) -> Reading | None:
    """Choose the height of swaths (and their depth), with the parameters of `choose_grid`.

    None if a block of a swath and its tiles do not fit ``most`` bytes.
    """
    heights = shape[:-1], size[:-1], stride[:-1]
    tried = [_candidates(count(*of_axis), max(1, most // row)) for of_axis in zip(*heights, strict=True)]
    rows, reads = _outer(tried), _reads(*heights, [tile.shape[:-1] for tile in tiles], tried)

    def held(width: int) -> NDArray[np.float64]:
        """Return the bytes of the tiles of a block, for each height."""
        total = np.zeros(rows.shape)
        for tile in tiles:
            across = int(_touched(shape[-1], size[-1], stride[-1], tile.shape[-1], width).max())
            each = [
                np.array([_touched(n, s, d, t, b).max() for b in blocks])
                for n, s, d, t, blocks in zip(*heights, tile.shape[:-1], tried, strict=True)
            ]
            total += _outer(each) * across * tile.nbytes
        return total

    reads[rows * row + held(1) > most] = np.inf
    if not np.isfinite(reads).any():
        return None
    block, ratio = _best(tried, rows, reads)
    at = tuple(int(np.searchsorted(blocks, b)) for blocks, b in zip(tried, block, strict=True))

    def need(width: int) -> float:
        """Return the bytes of a block and its tiles."""
        return float(rows[at] * width * row + held(width)[at])

    streams = next(n for n in _STREAMS if n * need(1) <= 2 * most)
    widths = _candidates(count(shape[-1], size[-1], stride[-1]), max(1, int(most // (streams * rows[at] * row))))
    # Wider blocks have more patches to select from. More of them than this would not leave room for batches of float32 in 128 MiB.
    width = next((int(w) for w in widths[::-1] if streams * need(int(w)) <= _WIDE * most), 1)
    return Reading((*block, width), ratio, streams)


def choose_cells(shape: Sizes, size: Sizes, n: int, tiles: Sequence[Tile], row: int, most: int) -> Reading:
    """Choose how ``n`` patches at random places are read, with the other parameters of `choose_grid`."""
    tile = tiles[0].shape
    # Tiles that a patch touches beyond the one in which it begins, and the tiles of the image.
    beyond = [-(-(s - 1) // t) for s, t in zip(size, tile, strict=True)]
    along = [-(-length // t) for length, t in zip(shape, tile, strict=True)]
    alone = n * math.prod(1 + (s - 1) / t for s, t in zip(size, tile, strict=True)) / math.prod(along)
    hit = 1 - math.exp(-alone)  # share of tiles that a patch touches
    share = min(1.0, max(1, most // 2 // row) / max(1, n)) ** (1 / len(shape))
    cell = tuple(max(1, round(share * length / t)) * t for length, t in zip(shape, tile, strict=True))
    again = math.prod(min(1 + e / (c // t), k) for e, c, t, k in zip(beyond, cell, tile, along, strict=True))
    found = Reading(cell, min(alone, again * hit), None)
    if found.reads <= _ENOUGH:
        return found
    for height in range(1, max(along[:-1]) + 1):
        heights = [min(height, k) for k in along[:-1]]
        reads = math.prod(1 + e / h if h < k else 1.0 for e, h, k in zip(beyond, heights, along, strict=False))
        pixels = math.prod(min(h * t, length) for h, t, length in zip(heights, tile, shape, strict=False))
        of_column = n * pixels / math.prod(shape[:-1]) / along[-1]  # patches
        parts = max(1, min(tile[-1], math.ceil(_UNEVEN * of_column * row / (most / 8))))
        width = tile[-1] // parts if parts > 1 else math.ceil(_FEWEST / max(of_column, 1e-9)) * tile[-1]
        cell = (*(h * t for h, t in zip(heights, tile, strict=False)), min(width, along[-1] * tile[-1]))
        rows = of_column * cell[-1] / tile[-1]
        need = _UNEVEN * rows * row + sum(cell_tiles(cell, size, each.shape) * each.nbytes for each in tiles)
        if need > most:
            break
        if reads * hit < found.reads:
            found = Reading(cell, min(alone, reads * hit), next(each for each in _STREAMS if each * need <= 2 * most))
        if reads <= _ENOUGH:
            break
    return found


def cell_tiles(cell: Sizes, size: Sizes, tile: Sizes) -> int:
    """Return the most tiles that the patches of a cell touch."""
    return math.prod((c + s - 2) // t + (1 if c % t == 0 else 2) for c, s, t in zip(cell, size, tile, strict=True))


def block_tiles(shape: Sizes, size: Sizes, stride: Sizes, tile: Sizes, block: Sizes) -> tuple[int, ...]:
    """Return the most tiles that the patches of a block touch along each axis.

    Examples
    --------
    >>> block_tiles((1024, 1024), (256, 256), (128, 128), (256, 256), (4, 1))
    (3, 2)
    """
    return tuple(int(_touched(*of_axis).max()) for of_axis in zip(shape, size, stride, tile, block, strict=True))


def _best(tried: Sequence[NDArray[np.int64]], rows: NDArray[np.float64], reads: NDArray[np.float64]) -> tuple[Sizes, float]:
    """Return the block of the fewest patches whose tiles are read about once, or as rarely as possible."""
    good = reads <= max(_ENOUGH, float(reads.min()) * 1.001)
    # The fewest patches, then the fewest reads; then the most even block.
    order = np.lexsort((-_outer(tried, np.minimum).ravel(), reads.ravel(), rows.ravel(), ~good.ravel()))
    at = np.unravel_index(order[0], rows.shape)
    return tuple(int(blocks[i]) for blocks, i in zip(tried, at, strict=True)), float(reads[at])


def _candidates(n: int, most: int) -> NDArray[np.int64]:
    top = max(1, min(n, most))
    tried, b = set(range(1, min(top, _ALL_TRIED) + 1)), float(_ALL_TRIED)
    while b < top:
        tried.add(int(b))
        b *= _STEP
    return np.array(sorted(tried | {top}), np.int64)


def _reads(
    shape: Sizes, size: Sizes, stride: Sizes, tiles: Sequence[Sizes], tried: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Return how often a tile is read on average, for each block that is tried: shape (blocks along each axis)."""
    reads = np.zeros(tuple(map(len, tried)))
    for tile in tiles:
        each = [
            np.array([_touched(n, s, d, t, b).sum() / -(-n // t) for b in blocks])
            for n, s, d, t, blocks in zip(shape, size, stride, tile, tried, strict=True)
        ]
        reads = np.maximum(reads, _outer(each))
    return reads


def _touched(length: int, size: int, stride: int, tile: int, block: int) -> NDArray[np.int64]:
    """Return how many tiles each block touches along one axis."""
    firsts = np.arange(0, count(length, size, stride), block, dtype=np.int64)
    lasts = np.minimum(firsts + block, count(length, size, stride)) - 1
    begins, ends = np.minimum(firsts * stride, length - size), np.minimum(lasts * stride, length - size) + size - 1
    touched: NDArray[np.int64] = ends // tile - begins // tile + 1
    return touched


def _outer(each: Sequence[NDArray[np.generic]], join: np.ufunc = np.multiply) -> NDArray[np.float64]:
    result = np.asarray(each[0], np.float64)
    for values in each[1:]:
        result = join.outer(result, np.asarray(values, np.float64))
    return result
