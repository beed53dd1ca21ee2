"""TIFF and BigTIFF in tiles or strips: tifffile reads the index and decodes, the bytes of a tile are read here."""

from __future__ import annotations

import io
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import read_info
from bitesize.errors import BadFile, BadSetting, BitesizeError, MissingPackage, UnsupportedFile, one_line
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into, stream_from, with_file
from bitesize.files.state import FileState
from bitesize.lazy.array import LazyArray
from bitesize.lazy.disk import OnDisk
from bitesize.sources.chunks import most_stored
from bitesize.sources.patches.arrays import LazyImage
from bitesize.sources.patches.tiles import Coordinates, TiledImage

# Bytes that one tag may have: offsets of two million tiles. tifffile turns them into Python objects.
_MOST_IN_TAG = 16 << 20
# Compressions whose decoders stop at the size of a tile, and those of images, whose headers have the size.
_STOPPING = frozenset((1, 5, 8, 32773, 32946, 34925, 50000, 50013))
_JPEG = 7
_IMAGES = frozenset((_JPEG, 33003, 33005, 34712, 34933, 50001))
_DIRECTORY_TAGS = (273, 279, 324, 325)  # offsets and byte counts of strips and tiles
# A tile is decompressed, then differences are summed, and colors are converted.
_COPIES = 3


class _Index(NamedTuple):
    """Where the tiles of an image are stored, by page and number in the page, and how they are decoded."""

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    decode: Callable[..., Any]
    options: dict[str, Any]  # of decode
    compression: int
    fill: Any


# Photometric interpretation of colors, and fourth samples that are alpha.
_RGB, _ALPHA = 2, ((1,), (2,))


@dataclass(frozen=True)
class _Opened:
    """An image of a file: its axes as tifffile names them, its tiles, and values that lie in the file unchanged."""

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tile: tuple[int, int]
    planes: int  # channels that are stored as tiles of their own
    index: _Index | None
    plain: OnDisk | None
    bands: bool = True


class TiffImage(TiledImage):
    """The tiles or strips of an image in a TIFF; see `open_tiff`."""

    def __init__(self, path: bytes, level: int, state: FileState, opened: _Opened, axes: str) -> None:
        self._path, self._level, self._state = path, level, state
        assert opened.index is not None
        self._index: _Index | None = opened.index
        self._planes = opened.planes
        self._lock = threading.Lock()
        self._by_page = len(axes) > 2 and axes[0] == "D"
        self._segment = opened.tile
        channels = opened.shape[opened.axes.index("C")] if "C" in opened.axes else None
        height, width = (opened.shape[opened.axes.index(axis)] for axis in "HW")
        shape: tuple[int, ...] = (height, width) if channels is None else (height, width, channels)
        depth = (opened.shape[opened.axes.index("D")],) if self._by_page else ()
        tile = (1, *opened.tile) if self._by_page else opened.tile
        self._set(show(path), depth + shape, opened.dtype, axes, tile)
        self._across = -(-width // opened.tile[1])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"} | {"_index": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _found(self) -> _Index:
        """Return the index, which is read again in another process."""
        with self._lock:
            if self._index is None:
                self.check_unchanged()
                self._index = _read_file(self._path, self._level).index
            assert self._index is not None
            return self._index

    def tile(self, at: Coordinates) -> NDArray[Any]:
        """Read and decode a tile, or the tiles of all channels at this place."""
        index = self._found()
        page, (row, column) = (at[0], at[1:]) if self._by_page else (0, at)
        number = row * self._across + column
        if self._planes == 1:
            data = self._segment_at(index, page, number)
        elif not self._by_page and index.offsets.shape[0] > 1:  # each channel is a page
            data = np.concatenate([self._segment_at(index, plane, number) for plane in range(self._planes)], axis=-1)
        else:
            each = index.offsets.shape[1] // self._planes
            planes = [self._segment_at(index, page, plane * each + number) for plane in range(self._planes)]
            data = np.concatenate(planes, axis=-1)
        data = data.reshape(data.shape[:2] + self.channels)
        return data[None] if self._by_page else data

    def _segment_at(self, index: _Index, page: int, number: int) -> NDArray[Any]:
        """Return a decoded tile or strip, shape (height, width, channels)."""
        offset, size = int(index.offsets[page, number]), int(index.sizes[page, number])
        channels = 1 if self._planes > 1 else math.prod(self.channels)
        if not size or not offset:
            return np.full((*self._segment, channels), index.fill, self.dtype)
        where = f"{self.name}: tile {number}" + (f" of page {page}" if index.offsets.shape[0] > 1 else "")
        most = most_stored(self.tile_nbytes)
        if size > most:
            raise BadFile(f"{where} has {size:,} bytes in the index, but a tile has at most {most:,}")
        if offset + size > self._state.size:
            raise BadFile(f"{where} lies at {offset:,} to {offset + size:,}, but the file has {self._state.size:,} bytes")
        data = np.empty(size, np.uint8)

        def read(file: Handle) -> None:
            """Read the bytes from the file in which the tile was located."""
            self._state.check(self._path, file)
            read_into(file, [data], offset, self._path)

        with_file(self._path, read)
        try:
            decoded = self._decoded(index, data, number)
        except BitesizeError as error:
            raise BadFile(f"{where} is damaged: {one_line(error)}") from error
        except Exception as error:  # whatever a codec raises for damaged bytes
            raise BadFile(f"{where} is damaged: {type(error).__name__} {one_line(error)}") from error
        row, column = divmod(number % (self._across * -(-self.spatial[-2] // self._segment[0])), self._across)
        height, width = (
            min(extent, n - i * extent) for extent, n, i in zip(self._segment, self.spatial[-2:], (row, column), strict=True)
        )
        if decoded.shape[2:] != (channels,) or decoded.shape[0] < height or decoded.shape[1] < width:
            raise BadFile(f"{where} decodes to {decoded.shape}, but its shape is {(*self._segment, channels)}")
        return decoded

    def _decoded(self, index: _Index, data: NDArray[np.uint8], number: int) -> NDArray[Any]:
        if index.compression in _IMAGES and not index.options.get("jpegheader"):
            size = frame_size(data) if index.compression == _JPEG else None
            info = size or read_info(memoryview(data))  # type: ignore[arg-type]
            if info.height > self._segment[0] or info.width > self._segment[1]:
                raise BadFile(f"its image is {info.height} x {info.width}, the tile {self._segment[0]} x {self._segment[1]}")
        decoded = index.decode(data, number, **index.options)[0]
        if decoded is None:
            raise BadFile("it has no pixels")
        return np.asarray(decoded[0], self.dtype)

    def check_unchanged(self) -> None:
        """Check the file."""
        self._state.check(self._path)

    @property
    def scratch(self) -> int:
        """Bytes of a tile as stored, and between its decoders."""
        return 2 * most_stored(self.tile_nbytes) + _COPIES * self.tile_nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of offsets and sizes of the tiles."""
        return 0 if self._index is None else self._index.offsets.nbytes + self._index.sizes.nbytes


def open_tiff(path: str, level: int, axes: str | None, tile: Callable[[int], Coordinates]) -> TiledImage:
    """Open a level of the first image of a TIFF; its pages are the depth of a volume, unless they are channels.

    Parameters
    ----------
    path
        File or address.
    level
        Level of the pyramid, 0 for all pixels.
    axes
        Axes that the user expects, or None.
    tile
        Function of the number of axes that returns the shape of tiles to read an uncompressed image in.

    Raises
    ------
    BadFile, UnsupportedFile
        If it is damaged, or stored in a way that cannot be read with bounded memory.
    BadSetting
        If it has no such level, or other axes.
    MissingPackage
        If tifffile is not installed.
    """
    name = os.fsencode(path)
    state = FileState.of(name)
    opened = _read_file(name, level)
    order = "".join(axis for axis in "DHWC" if axis in opened.axes)
    if axes not in (None, order):
        raise BadSetting(f"{path} has the axes {order}, not axes={axes!r}: leave axes out, its tags say them")
    if opened.plain is not None:
        array = LazyArray(opened.plain)
        turned = array.transpose([opened.axes.index(axis) for axis in order])
        image: TiledImage = LazyImage(turned, path, order, tile(len(order.removesuffix("C"))))
    else:
        image = TiffImage(name, level, state, opened, order)
    image.bands = opened.bands
    return image


def _read_file(path: bytes, level: int) -> _Opened:
    try:
        import imagecodecs  # noqa: F401 - tifffile decodes with it
        import tifffile
    except ImportError as error:
        raise MissingPackage(f'{show(path)}: TIFF is read by tifffile ({error}): pip install "bitesize[tiff]"') from error

    def read(file: Handle) -> _Opened:
        """Read the index from the open file."""
        with stream_from(file, 0) as stream, tifffile.TiffFile(_Bounded(stream, path), name=show(path)) as tiff:  # type: ignore[arg-type]
            return _read_index(tiff, path, level)

    try:
        return with_file(path, read)
    except BitesizeError:
        raise
    except Exception as error:  # tifffile raises errors of many types for damaged tags
        raise BadFile(f"{show(path)} cannot be read as TIFF: {type(error).__name__} {one_line(error)}") from error


class FrameSize(NamedTuple):
    """Size of a JPEG."""

    height: int
    width: int


def frame_size(data: NDArray[np.uint8]) -> FrameSize | None:
    """Return the size of a baseline JPEG, or None if its start is unusual: `read_info` then examines it."""
    start = data[:4096].tobytes()
    at = 2
    while at + 9 <= len(start) and start[at] == 0xFF and start[at + 1] not in (0xD8, 0xD9, 0xDA):
        if start[at + 1] in (0xC0, 0xC1):
            return FrameSize(int.from_bytes(start[at + 5 : at + 7], "big"), int.from_bytes(start[at + 7 : at + 9], "big"))
        if 0xC0 < start[at + 1] < 0xD0 and start[at + 1] not in (0xC4, 0xC8, 0xCC):
            return None  # progressive, lossless
        at += 2 + int.from_bytes(start[at + 2 : at + 4], "big")
    return None


class _Bounded(io.RawIOBase):
    """A stream that refuses to read more at once than the values of a tag may have."""

    def __init__(self, stream: Any, path: bytes) -> None:
        super().__init__()
        self._stream, self._path = stream, path

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset."""
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Return the offset."""
        return int(self._stream.tell())

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It has offsets."""
        return True

    def read(self, nbytes: int = -1) -> bytes:
        """Read at most this many bytes."""
        if not 0 <= nbytes <= _MOST_IN_TAG:
            raise BadFile(f"{show(self._path)} has a tag of {nbytes:,} bytes; at most {_MOST_IN_TAG:,} are read")
        return bytes(self._stream.read(nbytes))

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer of the caller."""
        data = self.read(memoryview(buffer).nbytes)
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)


def _read_index(tiff: Any, path: bytes, level: int) -> _Opened:
    """Return the tiles of a level of the first image."""
    series = tiff.series[0]
    if not 0 <= level < len(series.levels):
        raise BadSetting(f"level={level}, but {show(path)} has the levels 0 to {len(series.levels) - 1}")
    series = series.levels[level]
    page = series.keyframe
    axes, shape = _axes_of(series, path)
    dtype = page.dtype
    bands = page.photometric != _RGB or tuple(page.extrasamples)[:1] not in _ALPHA
    if dtype is None or dtype.kind not in "buif":
        raise UnsupportedFile(f"{show(path)} has values of type {page.sampleformat} with {page.bitspersample} bits")
    if (
        series.dataoffset is not None
        and page.compression == 1
        and page.bitspersample == 8 * dtype.itemsize
        and page.fillorder == 1
    ):
        stored = np.dtype(tiff.byteorder + dtype.char)
        _check_size(tiff, series.dataoffset, math.prod(shape) * dtype.itemsize, path)
        return _Opened(axes, shape, dtype, (1, 1), 1, None, OnDisk(path, series.dataoffset, shape, stored), bands)
    if page.compression not in _STOPPING | _IMAGES:
        raise UnsupportedFile(
            f"{show(path)} is compressed by {page.compression!r}, whose tiles cannot be read with bounded memory: save it with "
            "JPEG, deflate, LZW or Zstandard"
        )
    if page.imagedepth > 1 or (page.is_tiled and page.tiledepth > 1):
        raise UnsupportedFile(f"{show(path)} has tiles of several slices: save each slice as a page")
    tile = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, page.imagelength), page.imagewidth)
    )
    if not all(tile):
        raise BadFile(f"{show(path)} has tiles of {tile} pixels")
    pages = list(series.pages)
    separate = page.samplesperpixel if page.planarconfig == 2 else 1
    tiles = math.prod(-(-n // t) for n, t in zip((page.imagelength, page.imagewidth), tile, strict=True)) * separate
    by_page = "C" in axes and len(pages) == shape[axes.index("C")] > 1 and separate == 1 and page.samplesperpixel == 1
    index = _Index(
        _table([each and each.dataoffsets for each in pages], tiles, path),
        _table([each and each.databytecounts for each in pages], tiles, path),
        page.decode,
        {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.compression in (6, 7) else {},
        int(page.compression),
        page.nodata,
    )
    for each in pages:  # the index has all of it as arrays
        _forget(each)
    return _Opened(axes, shape, dtype, tile, len(pages) if by_page else separate, index, None, bands)


def _table(each: list[Any], tiles: int, path: bytes) -> NDArray[np.int64]:
    """Return offsets or sizes as an array, shape (pages, tiles); pages that are missing have no tiles."""
    table = np.zeros((len(each), tiles), np.int64)
    for row, values in zip(table, each, strict=True):
        if values:
            if len(values) != tiles:
                raise BadFile(f"{show(path)} lists {len(values):,} tiles; {tiles:,} are expected")
            numbers = np.array(values, np.uint64)
            if (numbers > np.uint64(np.iinfo(np.int64).max)).any():
                raise BadFile(f"{show(path)} lists a tile at {int(numbers.max()):,}")
            row[:] = numbers.astype(np.int64)
    return table


def _forget(page: Any) -> None:
    """Drop the lists of tiles of a page, which are large as Python objects."""
    if page is not None:
        page.dataoffsets = page.databytecounts = ()
        for tag in _DIRECTORY_TAGS:
            if tag in getattr(page, "tags", ()):
                del page.tags[tag]


def _axes_of(series: Any, path: bytes) -> tuple[str, tuple[int, ...]]:
    """Return the axes and the shape of a series, without axes of length 1: height, width, channels, and one other as depth."""
    kept = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if n != 1 or axis in "YX"]
    names = "".join({"Y": "H", "X": "W", "S": "C", "C": "C"}.get(axis, "D") for axis, _ in kept)
    if sorted(names) not in (sorted("HW"), sorted("HWC"), sorted("DHW"), sorted("DHWC")):
        raise BadSetting(
            f"{show(path)} has the axes {series.axes} {series.shape}, but patches have height and width, depth and channels: "
            "save the image that is needed in a file of its own"
        )
    return names, tuple(int(n) for _, n in kept)


def _check_size(tiff: Any, offset: int, nbytes: int, path: bytes) -> None:
    if offset + nbytes > tiff.filehandle.size:
        raise BadFile(
            f"{show(path)} ends early: its values end at {offset + nbytes:,}, the file at {tiff.filehandle.size:,}"
        )
