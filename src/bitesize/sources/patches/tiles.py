"""Images in tiles, each of which is read and decoded as a whole; and the cache of decoded tiles."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import without_frames
from bitesize.spec import check_axes

Coordinates = tuple[int, ...]


class TiledImage(ABC):
    """An image or a volume whose tiles are read one at a time, by several threads; immutable and picklable.

    Attributes
    ----------
    name : str
        File or array, for messages.
    shape, dtype
        Shape with channels, if there are any, and native dtype.
    axes : str
        ``"HW"``, ``"HWC"``, ``"DHW"`` or ``"DHWC"``.
    tile_shape : tuple of int
        Pixels of a tile along each axis, without channels.
    spatial, channels : tuple of int
        Shape without channels, and shape of a pixel: ``(channels,)``, or ``()`` if there is no such axis.
    tile_nbytes : int
        Bytes of a decoded tile.
    bands : bool
        Whether four channels of 8 bits are bands rather than colors with alpha.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    tile_shape: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: tuple[int, ...]
    tile_nbytes: int
    bands: bool = False

    @abstractmethod
    def tile(self, at: Coordinates) -> NDArray[Any]:
        """Read and decode a tile, by its number along each axis. At the end of an axis it may be larger than the image.

        Raises
        ------
        BadFile
            If the tile is damaged.
        FileChanged
            If the file has been replaced.
        """

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if the file has been replaced."""

    def close(self) -> None:
        """Close open files."""

    @property
    def scratch(self) -> int:
        """Bytes that a thread needs for a tile in addition to the tile itself."""
        return 0

    @property
    def nbytes(self) -> int:
        """Bytes of the index of tiles."""
        return 0

    @property
    def tile_counts(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(-(-n // t) for n, t in zip(self.spatial, self.tile_shape, strict=True))

    def _set(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str, tile: tuple[int, ...]) -> None:
        check_axes(axes, len(shape))
        self.name, self.shape, self.dtype, self.axes = name, shape, np.dtype(dtype).newbyteorder("="), axes
        self.tile_shape = tuple(tile)
        self.spatial = self.shape[: len(axes.removesuffix("C"))]
        self.channels = self.shape[len(self.spatial) :]
        self.tile_nbytes = math.prod(self.tile_shape + self.channels) * self.dtype.itemsize


class _Entry:
    """A tile of the cache, or one that a thread reads."""

    __slots__ = ("data", "error", "nbytes", "ready")

    def __init__(self, nbytes: int) -> None:
        self.ready, self.nbytes = threading.Event(), nbytes
        self.data: NDArray[Any] | None = None
        self.error: Exception | None = None


class TileCache:
    """The last decoded tiles. Threads that need the same tile at the same time read it once.

    Parameters
    ----------
    most
        Bytes of tiles to keep.

    Attributes
    ----------
    reads : int
        Number of tiles that were read.
    """

    def __init__(self, most: int) -> None:
        self._most, self._nbytes = most, 0
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}
        self.reads = 0

    def __reduce__(self) -> tuple[type[TileCache], tuple[int]]:
        return TileCache, (self._most,)

    def get(self, key: Hashable, nbytes: int, load: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return a tile of so many bytes, after reading it if needed; raise the error of reading it."""
        with self._lock:
            entry = self._entries.pop(key, None)
            mine = entry is None
            if entry is None:
                entry = _Entry(nbytes)
                self.reads += 1
                while self._entries and self._nbytes + nbytes > self._most:
                    oldest = next(iter(self._entries))
                    if not self._entries[oldest].ready.is_set():
                        break  # a thread reads it
                    self._nbytes -= self._entries.pop(oldest).nbytes
                self._nbytes += nbytes
            self._entries[key] = entry  # as the newest
        if mine:
            self._fill(key, entry, load)
        entry.ready.wait()
        if entry.error is not None:
            raise entry.error
        assert entry.data is not None
        return entry.data

    def _fill(self, key: Hashable, entry: _Entry, load: Callable[[], NDArray[Any]]) -> None:
        try:
            entry.data = load()
        except Exception as error:  # noqa: BLE001 - raised in all threads that need the tile
            entry.error = without_frames(error)
            self._drop(key, entry)
        except BaseException:  # such as Ctrl-C: others read the tile again
            entry.error = RuntimeError("reading this tile was interrupted")
            self._drop(key, entry)
            raise
        finally:
            entry.ready.set()

    def _drop(self, key: Hashable, entry: _Entry) -> None:
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]
                self._nbytes -= entry.nbytes

    def clear(self) -> None:
        """Forget all tiles."""
        with self._lock:
            self._entries = {key: entry for key, entry in self._entries.items() if not entry.ready.is_set()}
            self._nbytes = sum(entry.nbytes for entry in self._entries.values())
