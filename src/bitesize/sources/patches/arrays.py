"""Images in arrays: chunks of Zarr and HDF5, and parts of lazy arrays."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError, FileChanged, one_line
from bitesize.lazy.array import LazyArray
from bitesize.sources.chunks import Chunked, most_stored
from bitesize.sources.hdf5_file import Dataset
from bitesize.sources.hdf5_opening import RAISED, Hdf5File
from bitesize.sources.patches.tiles import Coordinates, TiledImage


class LazyImage(TiledImage):
    """Parts of a lazy array: of values that lie in a file unchanged, or that are computed.

    Parameters
    ----------
    array
        Array with the axes of ``axes``.
    name
        Name for messages.
    axes
        Axes of the array.
    tile
        Pixels of the parts that are read together.
    """

    def __init__(self, array: LazyArray, name: str, axes: str, tile: Coordinates) -> None:
        self._array = array
        self._set(name, tuple(array.shape), array.dtype, axes, _within(tile, array.shape))

    def tile(self, at: Coordinates) -> NDArray[Any]:
        """Read a part."""
        part = self._array[_part(at, self.tile_shape)]
        return np.ascontiguousarray(part)

    def check_unchanged(self) -> None:
        """Check the files."""
        self._array._node.check_unchanged()

    @property
    def scratch(self) -> int:
        """Bytes between two steps of reading."""
        return self.tile_nbytes


class ChunkedImage(TiledImage):
    """The chunks of a Zarr array or an HDF5 dataset.

    Parameters
    ----------
    column
        The array; its first axes, as many as ``first`` has numbers, have length 1.
    name, axes
        Name for messages, and the other axes.
    file
        File of an HDF5 dataset.
    """

    def __init__(self, column: Chunked, name: str, axes: str, first: Coordinates = (), file: Hdf5File | None = None) -> None:
        self._column, self._first, self._file = column, first, file
        skipped, spatial = len(first), len(axes.removesuffix("C"))
        self._set(name, column.shape[skipped:], column.dtype, axes, column.chunk_shape[skipped : skipped + spatial])

    def tile(self, at: Coordinates) -> NDArray[Any]:
        """Read a chunk; if the channels are in several, all of them."""
        column, skipped = self._column, len(self._first)
        last = [(part,) for part in range(-(-self.shape[-1] // column.chunk_shape[-1]))] if self.channels else [()]
        parts = [column.chunk((*self._first, *at, *part)) for part in last]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        whole = whole.reshape(whole.shape[skipped:])
        if self.channels:
            whole = whole[..., : self.shape[-1]]
        return whole.astype(self.dtype, copy=False)

    def check_unchanged(self) -> None:
        """Check the file."""
        (self._column if self._file is None else self._file).check_unchanged()

    def close(self) -> None:
        """Close the file."""
        self._column.close()
        if self._file is not None:
            self._file.close()

    @property
    def scratch(self) -> int:
        """Bytes of a chunk as stored, and between its filters."""
        return self._column.scratch(1) + 2 * self.tile_nbytes


class Hdf5Image(TiledImage):
    """Parts of an HDF5 dataset that HDF5 itself reads, since it is stored in one piece or with other filters."""

    def __init__(self, file: Hdf5File, name: str, column: Dataset, axes: str, tile: Coordinates) -> None:
        self._file, self._member = file, name
        self._set(f"{file.path}::{name}", tuple(column.shape), column.dtype, axes, _within(tile, column.shape))

    def tile(self, at: Coordinates) -> NDArray[Any]:
        """Read a part."""
        self._file.check_unchanged()
        try:
            dataset = self._file.dataset(self._member)
            part = _part(at, self.tile_shape)
            if dataset.chunks is not None:
                size = dataset.id.get_chunk_info_by_coord(
                    tuple(each.start for each in part) + (0,) * len(self.channels)
                ).size
                if size > most_stored(math.prod(dataset.chunks) * self.dtype.itemsize):
                    raise BadFile(f"{self.name}: the tile {at} is stored in {size:,} bytes, more than it can have")
            values = dataset[part]
        except BitesizeError:
            raise
        except RAISED as error:
            if not os.path.exists(self._file.path):
                raise FileChanged(f"{self._file.path} no longer exists") from error
            raise BadFile(f"{self.name}: the tile {at} is damaged: {one_line(error)}") from error
        return np.ascontiguousarray(values, self.dtype)

    def check_unchanged(self) -> None:
        """Check the file."""
        self._file.check_unchanged()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def scratch(self) -> int:
        """Bytes of a tile within HDF5."""
        return 3 * self.tile_nbytes


def _part(at: Coordinates, tile: Coordinates) -> tuple[slice, ...]:
    return tuple(slice(i * t, (i + 1) * t) for i, t in zip(at, tile, strict=True))


def _within(tile: Coordinates, shape: Coordinates) -> Coordinates:
    return tuple(max(1, min(t, n)) for t, n in zip(tile, shape, strict=False))
