"""`Patches`: windows of images or volumes as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BitesizeError
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.patches.grid import Grid, Scattered, tiles_of
from bitesize.sources.patches.kept import KeptPatches
from bitesize.sources.patches.layout import block_tiles, cell_tiles
from bitesize.sources.patches.tiles import TileCache, TiledImage
from bitesize.sources.protocol import ChunkStarts, Into, raise_bad
from bitesize.spec import Field

# Tiles in the cache in addition to those that neighbors in a block share: one for each of some threads.
_SPARE_TILES = 8


class Patches(Source):
    """Windows of images or volumes; see `bitesize.patches`.

    Rows are numbered image by image, and block by block in an image: the patches of a block are neighbors, which share tiles. A row
    has the fields ``x``, ``y`` if there are masks, ``at`` (the first pixel), and ``image`` (its number) if several may be given.

    Parameters
    ----------
    images
        Images of equal channels and dtype.
    masks
        A mask for each image, or none.
    layouts
        Where the patches of each image begin.
    size
        Shape of a patch, without channels.
    several
        Whether rows have the field ``image``.
    streams
        Number of swaths that are read at the same time; None if blocks are read alone.

    Attributes
    ----------
    size : tuple of int
        Shape of a patch, without channels.
    shapes : tuple of tuple of int
        Shape of each image, without channels.
    tiles : int
        Number of tiles of all images, without masks.
    reads_per_tile : float
        How often a tile is read in an epoch on average, in the order of a loader.
    """

    title = ""
    layout = "patches"

    def __init__(
        self, images: Sequence[TiledImage], masks: Sequence[TiledImage], layouts: Sequence[Grid | Scattered],
        size: tuple[int, ...], several: bool, streams: int | None = None
    ) -> None:  # fmt: skip
        self._images, self._masks, self.size = tuple(images), tuple(masks), size
        self._layouts: tuple[Grid | Scattered, ...] = tuple(layouts)
        self._several, self._streams = several, streams
        self._kept: KeptPatches | None = None
        counts = np.array([len(each) for each in layouts], np.int64)
        self._ends = np.cumsum(counts)
        first = images[0]
        self.spec = {"x": Field(size + first.channels, first.dtype, axes=first.axes, bands=first.bands)}
        if masks:
            axes = "HW" if len(size) == 2 else "DHW"
            self.spec["y"] = Field(size, masks[0].dtype, mask=True, axes=axes)
        self.spec["at"] = Field((len(size),), np.dtype(np.int64))
        if several:
            self.spec["image"] = Field((), np.dtype(np.int64))
        self.reads_per_tile = 1.0
        starts = [each.starts() + end - len(each) for each, end in zip(layouts, self._ends.tolist(), strict=True)]
        self._starts = np.concatenate([*starts, self._ends[-1:]])
        swaths = [each.swaths() + end - len(each) for each, end in zip(layouts, self._ends.tolist(), strict=True)]
        self._swaths = np.concatenate(swaths) if streams else None
        self._cache = TileCache(self._most_cached(self._images))
        self._mask_cache = TileCache(self._most_cached(self._masks))

    # --- rows --------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._kept is None else len(self._kept)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read patches: each tile that they touch is read once."""
        images, first = self.places(rows)
        if "at" in into:
            into["at"][...] = first
        if "image" in into:
            into["image"][...] = images
        failed: dict[int, Exception] = {}
        for name, tiled, cache in (("x", self._images, self._cache), ("y", self._masks, self._mask_cache)):
            if name in into:
                for number in np.unique(images).tolist():
                    own = np.flatnonzero(images == number)
                    self._read_image(tiled[number], number, cache, own, first[own], into[name], failed)
        raise_bad(failed)

    def places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the image and the first pixel of rows, shapes (k,) and (k, axes)."""
        numbers = rows if self._kept is None else self._kept.numbers(rows)
        images = np.searchsorted(self._ends, numbers, side="right")
        first = np.empty((len(rows), len(self.size)), np.int64)
        for number in np.unique(images).tolist():
            own = images == number
            layout = self._layouts[number]
            first[own] = layout.places(numbers[own] - (self._ends[number] - len(layout)))
        return images, first

    def _read_image(
        self, image: TiledImage, number: int, cache: TileCache, rows: NDArray[np.int64], first: NDArray[np.int64],
        out: NDArray[Any], failed: dict[int, Exception]
    ) -> None:  # fmt: skip
        """Copy the parts of all tiles of an image that patches touch."""
        tiles, patches = tiles_of(first, self.size, image.tile_shape)
        new = np.flatnonzero(np.concatenate([[True], (tiles[1:] != tiles[:-1]).any(axis=1)])).tolist()
        begins, places, extents = first.tolist(), tiles.tolist(), image.tile_shape
        for start, stop in zip(new, [*new[1:], len(tiles)], strict=True):
            at = tuple(places[start])
            those = patches[start:stop].tolist()
            try:
                tile = cache.get((number, at), image.tile_nbytes, lambda at=at: image.tile(at))  # type: ignore[misc]
            except BitesizeError as error:
                failed.update((int(rows[i]), error) for i in those)
                continue
            for i in those:
                of_tile, of_patch = [], []
                for k, t, begin, size in zip(at, extents, begins[i], self.size, strict=True):
                    low, high = max(begin, k * t), min(begin + size, (k + 1) * t)
                    of_tile.append(slice(low - k * t, high - k * t))
                    of_patch.append(slice(low - begin, high - begin))
                part = tile[tuple(of_tile)]
                target = out[rows[i]][tuple(of_patch)]
                target[...] = part if part.ndim == target.ndim else part[..., 0]

    # --- reading by blocks -------------------------------------------------------------------------------------------

    def chunks(self) -> ChunkStarts:
        """Return the blocks: neighbors, whose tiles are read once. The blocks of a swath are a group."""
        if self._kept is None:
            return ChunkStarts(self._starts, None, self._swaths, self._streams)
        groups = None if self._swaths is None else np.unique(self._kept.rows(self._swaths))
        if groups is not None and groups[-1] == len(self._kept):  # swaths at the end without a kept patch
            groups = groups[:-1]
        return ChunkStarts(np.unique(self._kept.rows(self._starts)), None, groups, self._streams)

    @property
    def reads_by_chunk(self) -> bool:
        """Reading a patch alone costs about as much as reading its tiles for all patches of the block."""
        return True

    def _most_cached(self, images: Sequence[TiledImage]) -> int:
        """Return the bytes of tiles to keep: of a row of patches in a block and of the next row, or of the blocks of some swaths."""
        most = 0
        # At the end of a pass, the first blocks of the next one are read as well.
        swaths = None if self._streams is None else self._streams + self._streams // 4
        for image, layout in zip(images, self._layouts, strict=bool(images)):
            tile = image.tile_shape
            if isinstance(layout, Grid):
                block = block_tiles(layout.shape, self.size, layout.stride, tile, layout.block)
                row = -(-(self.size[0] - 1) // tile[0]) + 1
                shared = math.prod(block) * swaths if swaths else row * math.prod(block[1:])
            else:
                shared = cell_tiles(layout.cell, self.size, tile) * (swaths or 0)
            most = max(most, (min(math.prod(image.tile_counts), shared) + _SPARE_TILES) * image.tile_nbytes)
        return most

    @property
    def tiles(self) -> int:
        """Number of tiles of all images."""
        return sum(math.prod(image.tile_counts) for image in self._images)

    @property
    def tiles_read(self) -> int:
        """Number of tiles of images that were read and decoded since the source was opened in this process."""
        return self._cache.reads

    # --- memory ------------------------------------------------------------------------------------------------------

    def scratch(self, rows: int) -> int:
        """Return the bytes of one tile, and of decoding it; and of the list of tiles of some rows."""
        tiles = max(image.tile_nbytes + image.scratch for image in (*self._images, *self._masks))
        touched = math.prod(
            -(-(extent - 1) // t) + 1 for extent, t in zip(self.size, self._images[0].tile_shape, strict=True)
        )
        return tiles + rows * (touched + 1) * 8 * (4 * len(self.size) + 8)

    @property
    def nbytes(self) -> int:
        """Bytes of the cache of tiles, of the index of tiles, and of places."""
        held = self._most_cached(self._images) + self._most_cached(self._masks)
        held += sum(each.nbytes for each in (*self._images, *self._masks, *self._layouts))
        held += 0 if self._swaths is None else self._swaths.nbytes
        return held + self._starts.nbytes + (0 if self._kept is None else self._kept.nbytes)

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def grids(self) -> tuple[Grid, ...] | None:
        """The grid of each image; None if places are random."""
        found = tuple(each for each in self._layouts if isinstance(each, Grid))
        return found if len(found) == len(self._layouts) else None

    def numbers_of(self, image: int) -> NDArray[np.int64] | None:
        """Return the numbers of an image's patches in its layout; None if all are kept."""
        if self._kept is None:
            return None
        end, n = int(self._ends[image]), len(self._layouts[image])
        first, last = self._kept.rows(np.array([end - n, end], np.int64)).tolist()
        found: NDArray[np.int64] = self._kept.numbers(np.arange(first, last, dtype=np.int64)) - (end - n)
        return found

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each image, without channels."""
        return tuple(image.spatial for image in self._images)

    @property
    def files(self) -> tuple[str, ...]:
        """Name of each image: its path, or ``"array"``."""
        return tuple(image.name for image in self._images)

    def keeping(self, kept: KeptPatches, reason: str, choices: tuple[Choice, ...]) -> Patches:
        """Return the same patches without those that are not kept."""
        refused = len(self) - len(kept)
        left_out: Mapping[str, int] = {**self.left_out, **({reason: refused} if refused else {})}
        other = Patches(self._images, self._masks, self._layouts, self.size, self._several, self._streams)
        other._kept, other.left_out, other.reads_per_tile = kept, left_out, self.reads_per_tile
        other.choices = (*self.choices, *choices)
        return other

    def describe(self, row: int) -> str:
        """Return the image and the first pixel."""
        images, first = self.places(np.array([row], np.int64))
        return f"{self._images[int(images[0])].name}, patch at ({', '.join(map(str, first[0].tolist()))})"

    def _identity(self) -> bytes:
        parts = [
            repr((self.size, self._several)),
            *(repr((image.shape, str(image.dtype))) for image in (*self._images, *self._masks)),
        ]
        import xxhash

        places = xxhash.xxh3_128()
        for each in self._layouts:
            places.update(repr(each).encode() if isinstance(each, Grid) else each.places(np.arange(len(each))).tobytes())
        kept = b"" if self._kept is None else self._kept.identity
        return "\0".join(parts).encode() + places.digest() + xxhash.xxh3_128_digest(kept)

    def check_unchanged(self) -> None:
        """Check all files."""
        for each in (*self._images, *self._masks):
            each.check_unchanged()

    def close(self) -> None:
        """Forget all tiles, and close all files."""
        self._cache.clear()
        self._mask_cache.clear()
        for each in (*self._images, *self._masks):
            each.close()
