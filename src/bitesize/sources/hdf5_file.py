"""Datasets of HDF5 files, read chunk by chunk with bounded memory, or by HDF5 itself, which is reported."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError, one_line
from bitesize.files.pread import Handle, joined, read_into, with_file
from bitesize.sources.chunks import Chunked, Coordinates, inflate, most_stored, unshuffle
from bitesize.sources.column import Column, UnsupportedColumn
from bitesize.sources.hdf5_opening import RAISED, Hdf5File, damaged
from bitesize.sources.protocol import Located
from bitesize.storage.blocks import BLOCKS_NBYTES
from bitesize.storage.url import is_url

# Number of chunks of a dataset that HDF5 caches: one for each of two threads.
_CHUNKS_KEPT = 2
# Bytes of HDF5's structures and chunk index for an open dataset.
_OPEN_NBYTES = 1 << 18
# Maximum number of listed datasets of a file: hard links can multiply them.
_MOST = 10_000
# Numbers of the filters that are decoded here.
_DEFLATE, _SHUFFLE = 1, 2


class Dataset(Column):
    """A dataset of an HDF5 file."""

    def __init__(self, file: Hdf5File, name: str, stored: Any) -> None:
        self._file, self._name = file, name
        self.shape, self.dtype = tuple(stored.shape), stored.dtype
        self._chunks = stored.chunks
        self._row_nbytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._chunk_nbytes = 0 if self._chunks is None else math.prod(self._chunks) * self.dtype.itemsize
        # Chunks that are adjacent along other axes than the first are read together.
        self._beside = (
            math.prod(-(-n // c) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True)) if self._chunks else 1
        )
        filters = filter_names(stored)
        if filters and self._chunks is not None:
            self.unbounded = (
                f"its chunks are read by HDF5 itself, whose memory use has no limit: {', '.join(filters)}, type {self.dtype}"
            )
        plain = self._chunks is None and self.dtype.isnative and _as_in_memory(stored)
        self._offset = stored.id.get_offset() if plain else None
        self._path, self.checks_files = [os.fsencode(file.path)], plain

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighboring rows directly into ``out``."""
        if self._offset is not None:  # HDF5 returns zeros for missing data of a truncated file
            offset, path = self._offset + start * self._row_nbytes, self._path[0]

            def work(fd: Handle) -> None:
                """Read from the file whose offset is known."""
                self._file.check_unchanged(fd)
                read_into(fd, [out.reshape(-1).view(np.uint8)], offset, path)

            with_file(path, work)
            return
        dataset = self._file.dataset(self._name, self._cache)
        self._check_stored(dataset, start, stop)
        try:
            dataset.read_direct(out, np.s_[start:stop], np.s_[0 : stop - start])
        except BitesizeError:
            raise
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise BadFile(
                f"{self._file.path}: rows {start} to {stop - 1} of {self._name!r} cannot be read: {one_line(error)}"
            ) from error
        self._file.check_unchanged()

    def _check_stored(self, dataset: Any, start: int, stop: int) -> None:
        """Raise `BadFile` if a filtered chunk has more bytes than possible."""
        if not self.unbounded or self._chunks is None:
            return
        across = [range(0, n, c) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True)]
        first = start // self._chunks[0] * self._chunks[0]
        for at in product(range(first, stop, self._chunks[0]), *across):
            try:
                size = dataset.id.get_chunk_info_by_coord(at).size
            except BitesizeError:
                raise
            except RAISED as error:
                raise damaged(self._file.path, error) from error
            if size > most_stored(self._chunk_nbytes):
                raise BadFile(
                    f"{self._file.path}: the chunk of {self._name!r} at {at} is stored in {size:,} bytes, but decompresses to {self._chunk_nbytes:,}"
                )

    def texts(self) -> list[str]:
        """Read all rows as text."""
        import h5py

        dataset = self._file.dataset(self._name, self._cache)
        self._check_stored(dataset, 0, self.shape[0])
        try:
            text = dataset.asstr(errors="backslashreplace")[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]
        except BitesizeError:
            raise
        except RAISED as error:
            raise damaged(self._file.path, error) from error
        return [each.decode("utf-8", "backslashreplace") if isinstance(each, bytes) else str(each) for each in text.ravel()]

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the locations of rows in the file, if they are contiguous."""
        if self._offset is None:
            return None
        return Located(
            self._path, np.zeros(len(rows), np.int64), self._offset + rows * self._row_nbytes, joined=joined(self._path)
        )

    @property
    def chunk_rows(self) -> int | None:
        """Number of rows of a chunk."""
        return None if self._chunks is None else int(self._chunks[0])

    @property
    def _cache(self) -> int:
        return _CHUNKS_KEPT * self._beside * self._chunk_nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of HDF5: cached chunks, one chunk in the filters (HDF5 runs one thread at a time), and its structures."""
        blocks = BLOCKS_NBYTES if is_url(self._file.path) else 0
        return self._cache + 2 * self._chunk_nbytes + _OPEN_NBYTES + blocks


class ChunkedDataset(Chunked):
    """A dataset whose chunks are uncompressed or compressed with gzip, with or without byte shuffling.

    HDF5 only locates chunks: reading and decompressing several at a time here is faster, and stops at the size of a chunk
    for any stream.
    """

    def __init__(self, file: Hdf5File, name: str, stored: Any, filters: list[int]) -> None:
        super().__init__(tuple(stored.shape), stored.dtype, stored.chunks)
        self._file, self._name, self._filters = file, name, filters
        self._path = os.fsencode(file.path)
        self.is_remote = is_url(file.path)

    def _spans(self, chunks: Sequence[Coordinates]) -> dict[bytes, list[tuple[int, int]]]:
        """Return where chunks are stored in the object."""
        spans = []
        for at in chunks:
            with suppress(BitesizeError, *RAISED):  # raised where the chunk is read
                dataset = self._file.dataset(self._name).id
                info = dataset.get_chunk_info_by_coord(tuple(i * c for i, c in zip(at, self._chunks, strict=True)))
                if info.byte_offset is not None and info.size <= self._most:
                    spans.append((info.byte_offset, info.size))
        return {self._path: spans}

    def _load(self, at: Coordinates, most: int, out: NDArray[np.uint8]) -> bool:
        try:
            offset = tuple(i * c for i, c in zip(at, self._chunks, strict=True))
            info = self._file.dataset(self._name).id.get_chunk_info_by_coord(offset)
        except BitesizeError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise BadFile(f"{self._where(at)} cannot be found: {one_line(error)}") from error
        if info.byte_offset is None:
            return False
        if info.size > most:
            raise BadFile(f"{self._where(at)} is stored in {info.size:,} bytes, but decompresses to {self._chunk_nbytes:,}")
        # Filters are undone in reverse order, except those that this chunk skipped.
        undo = [code for i, code in enumerate(self._filters) if not info.filter_mask >> i & 1][::-1]
        data = self._buffer("stored", info.size, self._most) if undo else out
        if not undo and info.size != len(out):
            raise BadFile(f"{self._where(at)} has {info.size:,} bytes; {len(out):,} are expected")

        def load(fd: Handle) -> None:
            """Read the chunk from the file in which it was located."""
            self._file.check_unchanged(fd)
            read_into(fd, [data], info.byte_offset, self._path)

        with_file(self._path, load)
        try:
            for i, code in enumerate(undo):
                into = out if i == len(undo) - 1 else self._buffer("between", len(out), len(out))
                if code == _DEFLATE:
                    inflate(data, into, zlib.MAX_WBITS)
                elif len(data) == len(into):
                    unshuffle(data, self.dtype.itemsize, into)
                else:
                    raise BadFile(f"it has {len(data):,} bytes; {len(into):,} are expected")
                data = into
        except BadFile as error:
            raise BadFile(f"{self._where(at)}: {error}") from error
        return True

    def _fill_value(self) -> Any:
        try:  # only when needed: damaged chunks can crash HDF5
            return self._file.dataset(self._name).fillvalue
        except BitesizeError:
            raise
        except RAISED as error:
            raise damaged(self._file.path, error) from error

    @property
    def _between(self) -> int:
        return len(self._filters) - 1 if self._filters else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the cached chunks, and of the blocks in which the structures of an object are read."""
        return super().nbytes + (BLOCKS_NBYTES if self.is_remote else 0)

    def _where(self, at: Coordinates) -> str:
        return f"{self._file.path}: the chunk {at} of {self._name!r}"


def _as_in_memory(stored: Any) -> bool:
    """Return whether values are stored as in NumPy, so that HDF5 would not convert them."""
    import h5py

    return bool(stored.id.get_type().equal(h5py.h5t.py_create(stored.dtype, logical=True)))


def filter_names(stored: Any) -> list[str]:
    """Return the names of a dataset's filters, such as ``"deflate"`` and ``"lzf"``."""
    known = stored.id.get_create_plist()
    return [
        known.get_filter(i)[3].decode("ascii", "replace") or f"filter {known.get_filter(i)[0]}"
        for i in range(known.get_nfilters())
    ]


def _plain_filters(file: Any, stored: Any) -> list[int] | None:
    """Return the filters of a dataset if its chunks can be read without HDF5, or None."""
    if stored.chunks is None or stored.dtype.kind not in "biufc" or file.userblock_size:
        return None
    if not _as_in_memory(stored):
        return None
    known = stored.id.get_create_plist()
    filters = [known.get_filter(i)[0] for i in range(known.get_nfilters())]
    return filters if set(filters) <= {_DEFLATE, _SHUFFLE} and len(set(filters)) == len(filters) else None


def columns_of(group: Any, file: Hdf5File, prefix: str = "") -> Iterator[tuple[str, Column]]:
    """Yield the datasets of a group and its subgroups; links to other files are listed as unsupported.

    Parameters
    ----------
    group
        An open group of h5py.
    file
        File that the columns read from.
    prefix
        Path of the group in the file, with a trailing slash; names do not include it.
    """
    import h5py

    for count, (name, member) in enumerate(_members(group, "", {h5py.h5o.get_info(group.id).addr})):
        if count == _MOST:
            raise BadFile(f"{file.path} lists more than {_MOST} datasets")
        column = UnsupportedColumn(member) if isinstance(member, str) else column_of(member, file, prefix + name)
        if column is not None:
            yield name, column


def column_of(stored: Any, file: Hdf5File, name: str) -> Column | None:
    """Return the column that reads a dataset; None if the dataset is empty (null dataspace)."""
    import h5py

    if stored.external or stored.is_virtual:
        return UnsupportedColumn("a dataset whose values are in other files")
    if stored.dtype.kind == "O" and not h5py.check_string_dtype(stored.dtype):
        return UnsupportedColumn("neither numbers nor text")
    if stored.shape is None:
        return None
    filters = _plain_filters(stored.file, stored)
    return Dataset(file, name, stored) if filters is None else ChunkedDataset(file, name, stored, filters)


def _members(group: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the datasets of a group and its subgroups, or the reason for refusing one; visits each group once."""
    import h5py

    for name in group:
        link, full = group.get(name, getlink=True), f"{prefix}{name}"
        if isinstance(link, h5py.ExternalLink):
            yield full, f"a link into another file, {link.filename!r}"
            continue
        try:
            member = group[name]
        except BitesizeError:
            raise
        except (KeyError, OSError, RuntimeError) as error:
            yield full, f"damaged, or a link without a target ({one_line(error, 100)})"
            continue
        if isinstance(member, h5py.Dataset):
            yield full, member
        elif isinstance(member, h5py.Group):
            number = h5py.h5o.get_info(member.id).addr
            if number not in seen:
                seen.add(number)
                yield from _members(member, f"{full}/", seen)
