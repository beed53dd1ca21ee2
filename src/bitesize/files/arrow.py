"""Metadata of the record batches of Arrow files (Feather version 2), read without Arrow and without the batches.

The message of a batch contains its number of rows and the location of each buffer; a compressed buffer starts with its decompressed
length. So the memory of a batch is known before Arrow allocates it. Format: https://arrow.apache.org/docs/format/Columnar.html, in flatbuffers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into
from bitesize.storage.blocks import BlockFile

T = TypeVar("T")

_MAGIC = b"ARROW1"
_LONGEST = 1 << 26  # maximum bytes of metadata: enough for a million columns
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
_CODECS = ("lz4", "zstd")
_MOST = 1 << 48  # limit on bytes and rows: sums of numbers below it do not overflow


class Block(NamedTuple):
    """Location of a message.

    Attributes
    ----------
    offset, metadata, body : int
        Offset in the file, and the bytes of the metadata and of the body after it.
    """

    offset: int
    metadata: int
    body: int


class RecordBatch(NamedTuple):
    """Metadata of a record batch, or of the values of a dictionary.

    Attributes
    ----------
    rows : int
    version : int
        Version of the format, from 0; 3 is version 4.
    nodes : ndarray of int64, shape (n, 2)
        Number of values of each column or nested level, and how many of them are missing.
    buffers : ndarray of int64, shape (n, 2)
        Offset of each buffer in the file, and its bytes there.
    sizes : ndarray of int64, shape (n,)
        Bytes of each buffer in memory.
    codec : str
        "lz4", "zstd", or "" if buffers are not compressed.
    variadic : ndarray of int64, shape (n,)
        Number of value buffers of each column of views.
    stored : int
        Bytes of the body.
    """

    rows: int
    version: int
    nodes: NDArray[np.int64]
    buffers: NDArray[np.int64]
    sizes: NDArray[np.int64]
    codec: str
    variadic: NDArray[np.int64]
    stored: int

    @property
    def nbytes(self) -> int:
        """Bytes in memory, padded as Arrow pads them, plus the bytes read for them."""
        return int(self.sizes.sum()) + 64 * len(self.sizes) + self.stored


class Blocks(NamedTuple):
    """The messages of a file, by kind, in order; and whether the file is little-endian."""

    dictionaries: list[Block]
    batches: list[Block]
    little: bool


def blocks(fd: Handle, size: int, path: bytes) -> Blocks:
    """Return the index at the end of a file of ``size`` bytes.

    Raises
    ------
    BadFile
        If the metadata is damaged, or points outside the file.
    """

    def read() -> Blocks:
        """Read the footer."""
        end = _bytes(fd, size - 10, 10, size, path)
        length = int.from_bytes(end[:4], "little", signed=True)
        if end[4:] != _MAGIC:
            raise ValueError("the end of the file is missing")
        data = _bytes(fd, size - 10 - length, length, size, path)
        footer = _Table.root(data)
        schema = footer.table(1)
        little = schema is None or schema.number(0, "h") == 0
        return Blocks(_blocks(footer.array(2, "V24"), size), _blocks(footer.array(3, "V24"), size), little)

    return _checked(read, "its index", path)


def batch(fd: Handle, block: Block, size: int, path: bytes) -> RecordBatch:
    """Return the message of a record batch or a dictionary, with the length of each buffer.

    Raises
    ------
    BadFile
        If the metadata is damaged, or points outside the file.
    """

    def read() -> RecordBatch:
        """Read the message before the batch."""
        data = _bytes(fd, block.offset, block.metadata, size, path)
        head = 8 if data[:4] == b"\xff\xff\xff\xff" else 4  # before version 0.15 only the length
        message = _Table.root(data[head:])
        header, kind = message.table(2), message.number(1, "B")
        if kind == _DICTIONARY_BATCH and header is not None:
            header = header.table(1)
        elif kind != _RECORD_BATCH:
            raise ValueError(f"a message of kind {kind}")
        if header is None:
            raise ValueError("an empty message")
        return _batch(fd, block, header, message.number(0, "h"), path)

    return _checked(read, f"the record batch at byte {block.offset:,}", path)


def _batch(fd: Handle, block: Block, header: _Table, version: int, path: bytes) -> RecordBatch:
    rows, nodes = header.number(0, "q"), header.array(1, "V16").view("<i8").reshape(-1, 2)
    buffers = header.array(2, "V16").view("<i8").reshape(-1, 2).astype(np.int64)
    if not 0 <= rows < _MOST or (nodes < 0).any() or (nodes >= _MOST).any():
        raise ValueError("its number of rows is negative or too large")
    if (buffers < 0).any() or (buffers > block.body).any() or (buffers.sum(axis=1) > block.body).any():
        raise ValueError("a buffer extends past its end")
    buffers[:, 0] += block.offset + block.metadata
    compression, sizes, codec = header.table(3), buffers[:, 1].copy(), ""
    if compression is not None:
        codec = _CODECS[compression.number(0, "b")]
        if isinstance(fd, BlockFile):
            fd.hold((int(offset), 8) for offset, nbytes in buffers if nbytes >= 8)
        for i in np.flatnonzero(sizes).tolist():
            sizes[i] = _decompressed(fd, int(buffers[i, 0]), int(buffers[i, 1]), path)
    if int(sizes.sum(dtype=object)) >= _MOST:
        raise ValueError("its decompressed size is larger than any memory")
    variadic = header.array(4, "<i8").astype(np.int64)
    return RecordBatch(rows, version, nodes.astype(np.int64), buffers, sizes, codec, variadic, block.body)


def _decompressed(fd: Handle, offset: int, nbytes: int, path: bytes) -> int:
    """Return the decompressed size of a buffer."""
    if nbytes < 8:
        raise ValueError("a compressed buffer has no length")
    data = bytearray(8)
    read_into(fd, [data], offset, path)
    size = int.from_bytes(data, "little", signed=True)
    if size == -1:  # not compressed
        return nbytes - 8
    if not 0 <= size < _MOST:
        raise ValueError(f"a buffer decompresses to {size:,} bytes")
    return size


def _bytes(fd: Handle, offset: int, nbytes: int, size: int, path: bytes) -> bytes:
    if not 0 <= nbytes <= _LONGEST or offset < 0 or offset + nbytes > size:
        raise ValueError("it extends past the end of the file")
    data = bytearray(nbytes)
    read_into(fd, [data], offset, path)
    return bytes(data)


def _blocks(found: NDArray[Any], size: int) -> list[Block]:
    made = [Block(*struct.unpack("<qi4xq", each.tobytes())) for each in found]
    if any(min(block) < 0 or sum(block) > size for block in made):
        raise ValueError("a batch extends past the end of the file")
    return made


def _checked(read: Callable[[], T], part: str, path: bytes) -> T:
    try:
        return read()
    except (ValueError, IndexError, struct.error) as error:
        raise BadFile(f"{show(path)} cannot be read as an Arrow file: {part} is damaged: {error}") from None


class _Table:
    """A table of a flatbuffer: fields by number, read on access."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._index = at - self._number(at, "<i")
        self._length = self._number(self._index, "<H")

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def number(self, field: int, kind: str) -> int:
        """Return a number, 0 if it is missing."""
        at = self._place(field)
        return self._number(at, f"<{kind}") if at else 0

    def table(self, field: int) -> _Table | None:
        """Return a table, None if it is missing."""
        at = self._place(field)
        return _Table(self._data, at + self._number(at, "<I")) if at else None

    def array(self, field: int, dtype: str) -> NDArray[Any]:
        """Return numbers or structures of one size, an empty array if they are missing."""
        at = self._place(field)
        if not at:
            return np.empty(0, dtype)
        at += self._number(at, "<I")
        count = self._number(at, "<I")
        if at + 4 + count * np.dtype(dtype).itemsize > len(self._data):
            raise ValueError("it ends too early")
        return np.frombuffer(self._data, dtype, count, at + 4) if count else np.empty(0, dtype)

    def _place(self, field: int) -> int:
        """Return the offset of a field, 0 if it is missing."""
        inside = 4 + 2 * field
        offset = self._number(self._index + inside, "<H") if inside + 2 <= self._length else 0
        return self._at + offset if offset else 0

    def _number(self, at: int, kind: str) -> int:
        if at < 0:
            raise ValueError("an offset is negative")
        return int(struct.unpack_from(kind, self._data, at)[0])
