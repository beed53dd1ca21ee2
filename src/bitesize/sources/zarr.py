"""Zarr arrays and groups, of format 2 and 3, sharded or not: read chunk by chunk."""

from __future__ import annotations

import math
import os
import threading
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError, FileChanged
from bitesize.files.names import show
from bitesize.files.pread import read_into, with_file
from bitesize.files.state import FileState
from bitesize.sources.base import Asked, Source
from bitesize.sources.chunks import Chunked, Coordinates, inflate
from bitesize.sources.columns import Column, ColumnSource, Refused

# Files that tell a folder of Zarr from others.
_MARKS = ("zarr.json", ".zgroup", ".zarray")
# The only filters of format 2 that make objects of text; another runs code (pickle) or guesses.
_TEXT_FILTERS = frozenset(("vlen-utf8", "vlen-bytes"))
# A chunk as it is stored, and as its codecs leave it.
_COPIES = 2


class _Store:
    """A folder of Zarr, opened where it is first needed in a process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._root: Any = None
        self._pid = 0

    def array(self, name: str) -> Any:
        """Give an array of it."""
        with self._lock:
            if self._pid != os.getpid():
                self._root, self._pid = _open(self.path), os.getpid()
            try:
                return self._root[name] if name else self._root
            except Exception as error:
                raise _damaged(self.path, error) from error

    def __reduce__(self) -> tuple[type[_Store], tuple[str]]:
        return _Store, (self.path,)


class _About:
    """The metadata of an array, by which it is noticed if another is in its place."""

    def __init__(self, store: _Store, name: str) -> None:
        folder = os.path.join(store.path, name)
        marks = [os.path.join(folder, mark) for mark in _MARKS]
        self._path = os.fsencode(next((mark for mark in marks if os.path.isfile(mark)), marks[0]))
        self._state = FileState.of(self._path)

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if they are others."""
        self._state.check(self._path)


def _open(path: str) -> Any:
    import zarr

    try:
        return zarr.open(path, mode="r")
    except Exception as error:  # Zarr and its codecs raise whatever they like for damaged metadata
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> BadFile:
    return BadFile(f"{path} cannot be read as Zarr: {type(error).__name__} {' '.join(str(error).split())[:200]}")


class ZarrArray(Column):
    """An array of a Zarr store."""

    def __init__(self, store: _Store, name: str, stored: Any) -> None:
        self._store, self._name, self._about = store, name, _About(store, name)
        self.shape, self.dtype = tuple(stored.shape), np.dtype(stored.dtype)
        self._chunks: tuple[int, ...] = tuple(map(int, stored.chunks)) or (1,)
        self._row_nbytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        beside = math.prod(-(-n // c) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True))
        self._band_nbytes = beside * math.prod(self._chunks) * self.dtype.itemsize

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighbouring rows; Zarr reads their chunks side by side."""
        self.check_unchanged()
        try:
            out[...] = self._store.array(self._name)[start:stop]
        except BadFile:
            raise
        except Exception as error:  # whatever a codec raises for damaged chunks
            raise BadFile(
                f"{self._store.path}: rows {start} to {stop - 1} of {self._name or 'the array'!r} cannot be read: "
                f"{' '.join(f'{type(error).__name__} {error}'.split())[:200]}"
            ) from error

    def check_unchanged(self) -> None:
        """Look at its metadata."""
        self._about.check_unchanged()

    def texts(self) -> list[str]:
        """Read all rows as text."""
        try:
            found = self._store.array(self._name)[:]
        except Exception as error:  # whatever a codec raises for damaged chunks
            raise _damaged(self._store.path, error) from error
        return [
            each.decode("utf-8", "backslashreplace") if isinstance(each, bytes) else str(each) for each in found.tolist()
        ]

    @property
    def run_rows(self) -> int | None:
        """Rows of a chunk."""
        return self._chunks[0]

    def scratch(self, rows: int) -> int:
        """Rows in an array of Zarr's, and the chunks they are in."""
        bands = -(-rows // self._chunks[0]) + 1
        return rows * self._row_nbytes + _COPIES * bands * self._band_nbytes


class ChunkedArray(Chunked):
    """An array in a folder whose chunks are files, as they are or compressed by one codec that says what it becomes.

    Zarr reads through a loop of events that all threads share; files of chunks are read and decompressed side by side here, and to
    no more than a chunk, whatever they say.
    """

    def __init__(self, store: _Store, name: str, stored: Any, codec: str | None) -> None:
        super().__init__(tuple(stored.shape), _stored_dtype(stored), tuple(stored.chunks))
        self._fill = 0 if stored.fill_value is None else stored.fill_value
        self._store, self._about = store, _About(store, name)
        self._name, self._codec, self._key = name, codec, stored.metadata.encode_chunk_key
        self._folder = os.path.join(store.path, name)

    def check_unchanged(self) -> None:
        """Look at its metadata."""
        self._about.check_unchanged()

    def _load(self, at: Coordinates, most: int, out: NDArray[np.uint8]) -> bool:
        self.check_unchanged()
        path = os.fsencode(os.path.join(self._folder, *self._key(at).split("/")))
        try:
            data = with_file(path, partial(self._whole, path=path, most=most))
        except FileChanged:
            if os.path.exists(path) or not any(os.path.exists(os.path.join(self._folder, mark)) for mark in _MARKS):
                raise
            return False  # chunks of the fill value alone are not written
        if (
            self._codec == "zstd"
            and len(data) > 4
            and bytes(data[:4]) == _ZSTD
            and _zstd_nbytes(bytes(data[:_START]), len(data)) < 0
        ):
            self._load_by_zarr(at, path, out)
            return True
        try:
            decompress(data, self._codec, out)
        except BadFile as error:
            raise BadFile(f"{show(path)}: {error}") from error
        return True

    def _fill_value(self) -> Any:
        return self._fill

    def _whole(self, fd: int, path: bytes, most: int) -> NDArray[np.uint8]:
        """Read a file of at most so many bytes."""
        size = os.fstat(fd).st_size
        if size > most:
            raise BadFile(f"{show(path)} has {size:,} bytes, where a chunk has {most:,} at most")
        data = self._buffer("stored", size, self._most)
        read_into(fd, [data], 0, path)
        return data

    def _load_by_zarr(self, at: Coordinates, path: bytes, into: NDArray[np.uint8]) -> None:
        """Read a chunk that does not say what it becomes, as some programs write them."""
        region = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(at, self._chunks, self.shape, strict=True))
        try:
            part = np.asarray(self._store.array(self._name)[region])
        except Exception as error:  # whatever a codec raises for damaged chunks
            raise BadFile(f"{show(path)} is damaged: {type(error).__name__} {error}") from error
        into.view(self.dtype).reshape(self._chunks)[tuple(slice(0, n) for n in part.shape)] = part


def decompress(data: NDArray[np.uint8], codec: str | None, out: NDArray[np.uint8]) -> None:
    """Decompress a chunk, which must become exactly the bytes of ``out``.

    Raises
    ------
    BadFile
        If it is damaged, or says that it becomes something else.
    """
    if codec in _WBITS:
        inflate(data, out, _WBITS[codec])
        return
    declared = len(data) if codec is None else _DECLARED[codec](bytes(data[:_START]), len(data))
    if declared != len(out):
        says = "is damaged" if declared < 0 else f"says that it has {declared:,} bytes, and must have {len(out):,}"
        raise BadFile(f"a chunk {says}")
    if codec is None:
        out[...] = data
        return
    import numcodecs

    try:
        numcodecs.get_codec({"id": codec}).decode(data, out=out)
    except Exception as error:  # whatever a codec raises for damaged chunks
        raise BadFile(f"a chunk is damaged: {error}") from error


_START = 32  # bytes with which a chunk says what it becomes
_WBITS: dict[str | None, int] = {"gzip": zlib.MAX_WBITS | 16, "zlib": zlib.MAX_WBITS}
_ZSTD = b"\x28\xb5\x2f\xfd"


def _zstd_nbytes(data: bytes, stored: int) -> int:
    """Read what a Zstandard frame says that it becomes (RFC 8878, section 3.1.1.1); -1 where it says nothing."""
    if len(data) < 5 or data[:4] != _ZSTD:
        return -1
    flag, single = data[4] >> 6, data[4] >> 5 & 1
    size = (1 if single else 0, 2, 4, 8)[flag]
    at = 5 + (not single) + (0, 1, 2, 4)[data[4] & 3]
    if not size or len(data) < at + size:
        return -1
    return int.from_bytes(data[at : at + size], "little") + (256 if size == 2 else 0)


def _blosc_nbytes(data: bytes, stored: int) -> int:
    # Blosc believes what the header says of its own length, and reads on behind the end of shorter ones.
    whole = len(data) >= 16 and int.from_bytes(data[12:16], "little") == stored
    return int.from_bytes(data[4:8], "little") if whole else -1


def _lz4_nbytes(data: bytes, stored: int) -> int:
    return int.from_bytes(data[:4], "little") if stored >= 4 else -1


_DECLARED = {"zstd": _zstd_nbytes, "blosc": _blosc_nbytes, "lz4": _lz4_nbytes}
# Names of the codecs of format 3, and those that they are.
_BYTES_CODECS = {"ZstdCodec": "zstd", "GzipCodec": "gzip", "BloscCodec": "blosc"}
_OTHER = "another"


def _codec_of(stored: Any) -> str | None:
    """Give the one codec of an array's chunks, None where they are stored as they are, or `_OTHER` where Zarr must read them."""
    about = stored.metadata
    if not stored.shape or np.dtype(stored.dtype).kind not in "biufc":
        return _OTHER
    if about.zarr_format == 2:
        found = about.compressor
        name = None if found is None else str(found.codec_id)
        plain = not about.filters and about.order == "C" and (name is None or name in (*_DECLARED, "zlib", "gzip"))
        return name if plain else _OTHER
    first, *rest = about.codecs
    plain = type(first).__name__ == "BytesCodec" and len(rest) <= 1 and type(about.chunk_grid).__name__ == "RegularChunkGrid"
    if not plain or not rest:
        return None if plain else _OTHER
    return _BYTES_CODECS.get(type(rest[0]).__name__, _OTHER)


def _stored_dtype(stored: Any) -> np.dtype[Any]:
    """Give the dtype with the byte order in which values are stored."""
    dtype = np.dtype(stored.dtype)
    if stored.metadata.zarr_format == 2:
        return dtype  # type: ignore[no-any-return]
    endian = stored.metadata.codecs[0].endian
    swapped: np.dtype[Any] = dtype if endian is None else dtype.newbyteorder("<" if endian.value == "little" else ">")
    return swapped


class Zarr(ColumnSource):
    """Arrays of equal length of a Zarr group, each a field under its name; of a single array the field is ``x``."""

    title = "Zarr folders, of format 2 and 3"
    package, extra = "zarr", "zarr"

    @classmethod
    def takes(cls, what: Any) -> bool:
        """Tell whether this is a folder of Zarr."""
        return isinstance(what, str) and any(os.path.isfile(os.path.join(what, mark)) for mark in _MARKS)

    @classmethod
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Open a group or an array."""
        path = os.path.abspath(what)
        root, store = _open(path), _Store(path)
        try:
            columns = dict(_columns(root, store))
        except BitesizeError:
            raise
        except Exception as error:  # of a member, as of the whole
            raise _damaged(path, error) from error
        return cls(columns, asked, path)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write images in compressed chunks, and labels."""
        import zarr

        random = np.random.default_rng(0)
        path = str(folder / "data.zarr")
        group = zarr.open_group(path, mode="w")
        x = random.integers(0, 256, (rows, 5, 4, 3), np.uint8)
        group.create_array("x", data=x, chunks=(min(rows, 4), 5, 4, 3))
        group.create_array("y", data=np.arange(rows) % 2)
        return cls.opened(path, Asked())


def _columns(root: Any, store: _Store) -> Iterator[tuple[str, Column]]:
    """List the arrays; what would need code of the file's choice is listed as refused."""
    import zarr

    if isinstance(root, zarr.Array):
        yield "x", _column(store, "", root)
        return
    for name, found in sorted(root.members(max_depth=None)):
        if isinstance(found, zarr.Array):
            yield name, _column(store, name, found)


def _column(store: _Store, name: str, found: Any) -> Column:
    if np.dtype(found.dtype).kind == "O":
        filters = {str(getattr(each, "codec_id", each)) for each in (getattr(found, "filters", None) or ())}
        if not filters & _TEXT_FILTERS or filters - _TEXT_FILTERS:
            return Refused("an array of Python objects, which could run code when read")
    codec = _codec_of(found)
    return ZarrArray(store, name, found) if codec == _OTHER else ChunkedArray(store, name, found, codec)
