"""Arrays of Zarr, of format 2 and 3, sharded or not: read chunk by chunk."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError, FileChanged, one_line
from bitesize.files.held import held_starts
from bitesize.files.names import show
from bitesize.files.pread import Handle, open_object, read_into, size_of, with_file
from bitesize.files.state import FileState
from bitesize.memory.limits import available
from bitesize.sources.chunks import Chunked, Coordinates, most_stored
from bitesize.sources.column import Column, UnsupportedColumn
from bitesize.sources.zarr_codecs import Codecs, check_size, codecs_of, decompress, is_regular, stored_dtype
from bitesize.storage import paths
from bitesize.storage.blocks import hold_parts, holding
from bitesize.storage.url import is_url

# Files that identify a folder of Zarr.
MARKS = ("zarr.json", ".zgroup", ".zarray")
# The only filters of format 2 that make objects of text; another runs code (pickle) or guesses.
_TEXT_FILTERS = frozenset(("vlen-utf8", "vlen-bytes"))
# A chunk as it is stored, and as its codecs leave it.
_COPIES = 2


class ZarrStore:
    """A folder of Zarr, opened on first use in a process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._root: Any = None
        self._pid = 0

    def array(self, name: str) -> Any:
        """Return an array of the folder."""
        with self._lock:
            if self._pid != os.getpid():
                self._root, self._pid = open_zarr(self.path), os.getpid()
            try:
                return self._root[name] if name else self._root
            except BitesizeError:
                raise
            except Exception as error:
                raise damaged(self.path, error) from error

    def __reduce__(self) -> tuple[type[ZarrStore], tuple[str]]:
        return ZarrStore, (self.path,)


class _About:
    """The metadata of an array, to detect a replaced array."""

    def __init__(self, store: ZarrStore, name: str) -> None:
        marks = [paths.join(_inside(store.path, name), mark) for mark in MARKS]
        self._path = os.fsencode(next((mark for mark in marks if paths.isfile(mark)), marks[0]))
        self._state = FileState.of(self._path)

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if the metadata has changed."""
        self._state.check(self._path)


def _inside(folder: str, name: str) -> str:
    """Return the folder of an array, by its name in a group."""
    return paths.join(folder, *name.split("/")) if name else folder


def is_folder(path: str) -> bool:
    """Return whether a folder is an array or a group of Zarr."""
    return any(paths.isfile(paths.join(path, mark)) for mark in MARKS)


def open_zarr(path: str) -> Any:
    """Open an array or a group for reading.

    Raises
    ------
    BadFile
        If it is damaged.
    """
    import zarr

    try:
        if is_url(path):
            from bitesize.storage.zarr_store import ObjectStore

            return zarr.open(ObjectStore(path), mode="r")
        return zarr.open(path, mode="r")
    except BitesizeError:
        raise
    except Exception as error:  # Zarr and its codecs raise whatever they like for damaged metadata
        raise damaged(path, error) from error


def damaged(path: str, error: Exception) -> BadFile:
    """Return the error of a folder that Zarr cannot read."""
    return BadFile(f"{path} cannot be read as Zarr: {type(error).__name__} {one_line(error)}")


class ZarrArray(Column):
    """An array that Zarr itself reads, after checking the declared sizes of its chunks."""

    def __init__(self, store: ZarrStore, name: str, stored: Any, codecs: Codecs) -> None:
        self._store, self._name, self._about = store, name, _About(store, name)
        self._compressor = codecs.compressor
        if stored.shape:
            self.unbounded = f"its chunks are read by Zarr itself, whose memory use has no limit: {codecs.others}"
        self.shape, self.dtype = tuple(stored.shape), np.dtype(stored.dtype)
        self._chunks: tuple[int, ...] = tuple(map(int, stored.chunks)) or (1,)
        self._row_nbytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        beside = math.prod(-(-n // c) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True))
        self._band_nbytes = beside * math.prod(self._chunks) * self.dtype.itemsize
        # Shards are files of several chunks.
        self._in_file = tuple(map(int, stored.shards or self._chunks))
        self._key = stored.metadata.encode_chunk_key

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighboring rows; Zarr reads their chunks concurrently."""
        self.check_unchanged()
        self._check_sizes(start, stop, math.prod(self._in_file) * self.dtype.itemsize)
        try:
            out[...] = self._store.array(self._name)[start:stop]
        except BitesizeError:
            raise
        except Exception as error:  # whatever a codec raises for damaged chunks
            raise BadFile(
                f"{self._store.path}: rows {start} to {stop - 1} of {self._name or 'the array'!r} cannot be read: "
                f"{one_line(f'{type(error).__name__} {error}')}"
            ) from error

    def value(self) -> Any:
        """Read an array of a single value."""
        path = paths.join(_inside(self._store.path, self._name), *self._key(()).split("/"))
        if paths.isfile(path):
            check_size(os.fsencode(path), self._compressor, most_stored(self.dtype.itemsize))
        return np.asarray(self._store.array(self._name)[()])

    def _check_sizes(self, start: int, stop: int, nbytes: int) -> None:
        """Raise `BadFile` if a file of chunks is larger than possible, or declares a larger decompressed size."""
        files = [range(-(-n // c)) for n, c in zip(self.shape[1:], self._in_file[1:], strict=True)]
        folder = _inside(self._store.path, self._name)
        all_files = product(range(start // self._in_file[0], -(-stop // self._in_file[0])), *files)
        names = (paths.join(folder, *self._key(at).split("/")) for at in all_files)
        written = [os.fsencode(path) for path in names if paths.isfile(path)]  # chunks of the fill value alone are not
        for some in held_starts(written):
            for number in some:
                check_size(written[number], self._compressor, most_stored(nbytes))

    def check_unchanged(self) -> None:
        """Check the metadata of the array."""
        self._about.check_unchanged()

    def texts(self) -> list[str]:
        """Read all rows as text."""
        self._check_sizes(0, self.shape[0], available().room // 4)
        try:
            cells = self._store.array(self._name)[:]
        except BitesizeError:
            raise
        except Exception as error:  # whatever a codec raises for damaged chunks
            raise damaged(self._store.path, error) from error
        return [
            each.decode("utf-8", "backslashreplace") if isinstance(each, bytes) else str(each)
            for each in cells.ravel().tolist()
        ]

    @property
    def chunk_rows(self) -> int | None:
        """Rows of a chunk."""
        return self._chunks[0]

    def scratch(self, rows: int) -> int:
        """Return the bytes of rows in an array of Zarr, and of their chunks."""
        bands = -(-rows // self._chunks[0]) + 1
        return rows * self._row_nbytes + _COPIES * bands * self._band_nbytes


class ChunkedArray(Chunked):
    """An array in a folder whose chunks are files, or lie in files of several; stored as in memory, or compressed by one codec.

    Zarr reads through a loop of events that all threads share; chunks are read and decompressed concurrently here, to at most
    the size of a chunk, regardless of what they declare.
    """

    def __init__(self, store: ZarrStore, name: str, stored: Any, codecs: Codecs) -> None:
        super().__init__(tuple(stored.shape), stored_dtype(stored), tuple(stored.chunks))
        self._fill = 0 if stored.fill_value is None else stored.fill_value
        self._store, self._about = store, _About(store, name)
        self._name, self._codec, self._shards = name, codecs.compressor, codecs.shards
        self._key = stored.metadata.encode_chunk_key
        self._folder = _inside(store.path, name)
        self.is_remote = is_url(store.path)

    def check_unchanged(self) -> None:
        """Check the metadata of the array."""
        self._about.check_unchanged()

    def _path_of(self, at: Coordinates) -> bytes:
        """Return the file of a chunk."""
        in_file = self._shards.chunks if self._shards else (1,) * len(at)
        key = self._key(tuple(i // n for i, n in zip(at, in_file, strict=True)))
        return os.fsencode(paths.join(self._folder, *key.split("/")))

    def _spans(self, chunks: Sequence[Coordinates]) -> dict[bytes, list[tuple[int, int]]]:
        """Return where chunks are stored: as whole objects, or as parts of shards, whose indexes are in memory."""
        spans: dict[bytes, list[tuple[int, int]]] = {}
        for at in chunks:
            path = self._path_of(at)
            with suppress(BitesizeError):  # raised where the chunk is read
                found = (0, self._most) if self._shards is None else with_file(path, partial(self._find, at=at, path=path))
                if found is not None and found[1] <= self._most:
                    spans.setdefault(path, []).append(found)
        return spans

    @contextmanager
    def _holding(self, chunks: Sequence[Coordinates]) -> Iterator[None]:
        """Read chunks at the same time; before them the indexes of their shards."""
        if self._shards is None or not chunks:
            with super()._holding(chunks):
                yield
            return
        nbytes, shards = self._shards.index_nbytes, []
        for path in dict.fromkeys(map(self._path_of, chunks)):
            with suppress(BitesizeError):
                shards.append(open_object(path))
        hold_parts(shards, [[(max(0, file.size - nbytes) if self._shards.at_end else 0, nbytes)] for file in shards])
        with holding(shards), super()._holding(chunks):
            yield

    def _find(self, file: Handle, at: Coordinates, path: bytes) -> tuple[int, int] | None:
        assert self._shards is not None
        nbytes = self._shards.index_nbytes
        return self._shards.find(file, at, self._buffer("index", nbytes, nbytes), path)

    def _load(self, at: Coordinates, most: int, out: NDArray[np.uint8]) -> bool:
        self.check_unchanged()
        path = self._path_of(at)
        try:
            data = with_file(path, partial(self._stored, at=at, path=path, most=most))
        except FileChanged:
            if paths.exists(path) or not any(paths.exists(paths.join(self._folder, mark)) for mark in MARKS):
                raise
            return False  # chunks of the fill value alone are not written
        if data is None:
            return False
        try:
            decompress(data, self._codec, out)
        except BadFile as error:
            where = f", the chunk {at}" if self._shards else ""
            raise BadFile(f"{show(path)}{where}: {error}") from error
        return True

    def _fill_value(self) -> Any:
        return self._fill

    def _stored(self, fd: Handle, at: Coordinates, path: bytes, most: int) -> NDArray[np.uint8] | None:
        """Read a chunk of at most this many bytes from its file; None where a shard does not have it."""
        if self._shards is None:
            offset, size = 0, size_of(fd)
        else:
            index = self._buffer("index", self._shards.index_nbytes, self._shards.index_nbytes)
            position = self._shards.find(fd, at, index, path)
            if position is None:
                return None
            offset, size = position
        if size > most:
            raise BadFile(f"{show(path)} has {size:,} bytes, but a chunk has at most {most:,}")
        data = self._buffer("stored", size, self._most)
        read_into(fd, [data], offset, path)
        return data

    def scratch(self, rows: int) -> int:
        """Bytes that a thread takes: those of any array in chunks, and the index of a shard."""
        return super().scratch(rows) + (self._shards.index_nbytes if self._shards else 0)


def columns_of(root: Any, store: ZarrStore) -> Iterator[tuple[str, Column]]:
    """List the arrays; what would need code of the file's choice is listed as refused."""
    import zarr

    if isinstance(root, zarr.Array):
        yield "x", column_of(store, "", root)
        return
    for name, found in sorted(root.members(max_depth=None)):
        if isinstance(found, zarr.Array):
            yield name, column_of(store, name, found)


def column_of(store: ZarrStore, name: str, array: Any) -> Column:
    """Return the column that reads an array, here or with Zarr; refuse arrays whose decoding could run code."""
    if np.dtype(array.dtype).kind == "O":
        filters = {str(getattr(each, "codec_id", each)) for each in (getattr(array, "filters", None) or ())}
        if not filters & _TEXT_FILTERS or filters - _TEXT_FILTERS:
            return UnsupportedColumn("an array of Python objects, which could run code when read")
    if not is_regular(array):
        return UnsupportedColumn("an array of chunks of different sizes: save it again with chunks of one size")
    codecs = codecs_of(array)
    return ZarrArray(store, name, array, codecs) if codecs.others else ChunkedArray(store, name, array, codecs)
