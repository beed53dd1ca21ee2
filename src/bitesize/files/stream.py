"""Open files and objects as file objects that libraries read, with positioned reads of their own."""

from __future__ import annotations

import io
from typing import Any

from bitesize.files.pread import Handle, read_into, size_of
from bitesize.storage.blocks import HELD_NBYTES

# Bytes that are read at a time from a file; of objects more, because each read is a request.
_AT_ONCE = 64 << 10


class Cursor(io.RawIOBase):
    """An open file that is read from an offset on. Several may read one file at the same time.

    Parameters
    ----------
    fd, path
        The open file, and its path for messages.
    offset
        Where to start.
    """

    name = ""  # some libraries ask for it

    def __init__(self, fd: Handle, path: bytes, offset: int = 0) -> None:
        self._fd, self._at, self._path, self._size = fd, offset, path, size_of(fd)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, from here, or from the end."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at

    def readinto(self, into: Any) -> int:
        """Fill a buffer with the next bytes, and return their number: fewer only at the end."""
        view = memoryview(into)[: max(0, self._size - self._at)]
        read_into(self._fd, [view], self._at, self._path)
        self._at += view.nbytes
        return view.nbytes


def file_of(fd: Handle, path: bytes, offset: int = 0, *, whole: bool = False) -> io.BufferedReader:
    """Return a buffered file object of an open file, which the caller closes.

    Parameters
    ----------
    fd, path
        The open file, and its path for messages.
    offset
        Where to start.
    whole
        Whether most of the file will be read: objects are then requested in parts of `HELD_NBYTES`.
    """
    nbytes = HELD_NBYTES if whole and not isinstance(fd, int) else _AT_ONCE
    return io.BufferedReader(Cursor(fd, path, offset), nbytes)
