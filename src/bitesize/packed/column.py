"""One file of a shard while it is written: sequential writes, with the checksum updated on the way."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import xxhash

from bitesize.errors import DiskFull, NoPermission
from bitesize.files.atomic import NO_ROOM
from bitesize.files.npy import header_bytes

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_WRITING = {errno.EACCES, errno.EPERM, errno.EROFS}
# Buffers for one call to the system; the least that systems guarantee is 16, and common is 1024.
_AT_ONCE = 512
PIECE = 1 << 20  # bytes read at a time for a checksum
# Fewer bytes are collected before they are written: a label or an offset a row would be a call to the system each.
_SMALL = 8 << 10


class FileInfo(NamedTuple):
    """Size and checksum of a file.

    Attributes
    ----------
    nbytes : int
        Size in bytes.
    xxh3_128 : str
        Hash of all bytes of the file, in hexadecimal digits.
    """

    nbytes: int
    xxh3_128: str


class Column:
    """A file of a shard: bytes one after another, or a `.npy` file that grows by rows.

    Parameters
    ----------
    path
        New file.
    shape, dtype
        Of a row of a `.npy` file. Without a dtype, the file has no header.
    rows
        Expected number of rows. If it is wrong, the header is corrected at the end, and the file is read for its checksum.
    """

    def __init__(self, path: Path, shape: tuple[int, ...] = (), dtype: np.dtype[Any] | None = None, rows: int = 0) -> None:
        self.path, self._shape, self._dtype, self._expected = path, shape, dtype, rows
        self._fd = _opened(path)
        self._digest = xxhash.xxh3_128()
        self._small = bytearray()
        self.nbytes = 0
        self._header = self._header_of(rows)
        if self._header:
            self.write([self._header])

    def _header_of(self, rows: int) -> bytes:
        return b"" if self._dtype is None else header_bytes((rows, *self._shape), self._dtype)

    def write(self, buffers: Sequence[Any]) -> None:
        """Append buffers of bytes.

        Raises
        ------
        DiskFull
            If the disk has no more space.
        """
        views = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if view.nbytes]
        total = sum(view.nbytes for view in views)
        if len(self._small) + total <= _SMALL:
            for view in views:
                self._small += view
        else:
            self._flush(views)
        for view in views:
            self._digest.update(view)
        self.nbytes += total

    def _flush(self, views: Sequence[memoryview] = ()) -> None:
        """Write the bytes that were collected, and then others."""
        small, self._small = self._small, bytearray()
        views = [memoryview(small), *views] if small else views
        for start in range(0, len(views), _AT_ONCE):
            try:
                _write_all(self._fd, list(views[start : start + _AT_ONCE]))
            except OSError as error:
                raise_typed(error, self.path)

    def seal(self, rows: int) -> FileInfo:
        """Correct the header, flush the file to the disk, close it, and return its size and checksum."""
        header = self._header_of(rows)
        self._flush()
        try:
            if header != self._header:
                assert len(header) == len(self._header)  # NumPy leaves room for the growth of the first axis
                os.lseek(self._fd, 0, os.SEEK_SET)
                _write_all(self._fd, [memoryview(header)])
                self._digest = self._read_digest()
            os.fsync(self._fd)
        except OSError as error:
            raise_typed(error, self.path)
        self.close()
        return FileInfo(self.nbytes, self._digest.hexdigest())

    def _read_digest(self) -> Any:
        digest = xxhash.xxh3_128()
        os.lseek(self._fd, 0, os.SEEK_SET)
        while piece := os.read(self._fd, PIECE):
            digest.update(piece)
        return digest

    def close(self) -> None:
        """Close the file; more than once is allowed."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # the file was flushed, or is dropped
                os.close(self._fd)
            self._fd = -1


def _opened(path: Path) -> int:
    try:
        return os.open(path, _FLAGS, 0o666)
    except OSError as error:
        raise_typed(error, path)


def _write_all(fd: int, views: list[memoryview]) -> None:
    views = list(views)
    while views:
        done = os.writev(fd, views) if hasattr(os, "writev") and len(views) > 1 else os.write(fd, views[0])
        while views and done >= views[0].nbytes:
            done -= views.pop(0).nbytes
        if done:  # a write may be shorter than asked for
            views[0] = views[0][done:]


def raise_typed(error: OSError, path: Path) -> NoReturn:
    """Raise an error of the system as `DiskFull` or `NoPermission` where it is one, otherwise unchanged."""
    if error.errno in NO_ROOM:
        raise DiskFull(f"no space on the disk for {path} ({error.strerror})") from error
    if error.errno in _NO_WRITING:
        raise NoPermission(f"{path} cannot be written ({error.strerror}): choose another folder") from error
    raise error
