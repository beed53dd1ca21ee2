"""Open files and objects as file objects that libraries read, with positioned reads of their own."""

from __future__ import annotations

import io
from typing import Any

from bitesize.files.pread import Handle, read_into, size_of
from bitesize.storage.blocks import HELD_NBYTES

# Bytes that are read at a time from a file; of objects more, because each read is a request.
_AT_ONCE = 64 << 10
_OF_MEMORY = 4 << 10


class _Seekable(io.RawIOBase):
    """Bytes of a known number, of which the next ones are those from an offset on."""

    name = ""  # some libraries ask for it

    def __init__(self, size: int, offset: int = 0) -> None:
        self.size, self._at = size, offset

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, from here, or from the end."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence])
        return self._at

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at


class Cursor(_Seekable):
    """An open file that is read from an offset on. Several may read one file at the same time.

    Parameters
    ----------
    fd, path
        The open file, and its path for messages.
    offset
        Where to start.
    """

    def __init__(self, fd: Handle, path: bytes, offset: int = 0) -> None:
        super().__init__(size_of(fd), offset)
        self._fd, self._path = fd, path

    def readinto(self, into: Any) -> int:
        """Fill a buffer with the next bytes, and return their number: fewer only at the end."""
        view = memoryview(into)[: max(0, self.size - self._at)]
        read_into(self._fd, [view], self._at, self._path)
        self._at += view.nbytes
        return view.nbytes


class Reader(io.BufferedReader):
    """A buffered file object whose memory is that of bytes that exist, however many a library asks for."""

    def __init__(self, raw: Cursor | Memory, nbytes: int) -> None:
        super().__init__(raw, nbytes)
        self._size = raw.size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes: fewer only at the end."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


class Memory(_Seekable):
    """Bytes in memory as a file object, without a copy."""

    def __init__(self, data: memoryview) -> None:
        super().__init__(len(data))
        self._data = data

    def readinto(self, into: Any) -> int:
        """Fill a buffer with the next bytes, and return their number: fewer only at the end."""
        part = self._data[self._at : self._at + len(into)]
        into[: len(part)] = part
        self._at += len(part)
        return len(part)


def file_in_memory(data: memoryview) -> Reader:
    """Return a file object of bytes, which are not copied."""
    return Reader(Memory(data), _OF_MEMORY)


def file_of(fd: Handle, path: bytes, offset: int = 0, *, whole: bool = False) -> Reader:
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
    return Reader(Cursor(fd, path, offset), nbytes)
