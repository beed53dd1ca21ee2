"""Objects that are read from the beginning to the end, with jumps forward."""

from __future__ import annotations

import io

from bitesize.storage.remote_file import RemoteFile
from bitesize.storage.requests import LARGEST, Piece, read_all

_LEAST = 64 << 10


class SequentialFile(io.RawIOBase):
    """An object that is requested in pieces: larger ones the further it is read without jumps, small ones after a jump.

    Parameters
    ----------
    address
        The object.
    most
        Most bytes in memory; more than 8 MiB are several requests at the same time.

    Attributes
    ----------
    requested : int
        Bytes that were requested.
    """

    def __init__(self, address: str, most: int = 4 * LARGEST) -> None:
        super().__init__()
        self._file, self._most = RemoteFile(address), max(_LEAST, most)
        self._next, self._at, self._start = _LEAST, 0, 0
        self._piece = memoryview(b"")
        self.requested = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, from here, or from the end."""
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence] + offset
        return self._at

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes, and return their number: fewer only at the end of the object."""
        view, done = memoryview(into).cast("B"), 0
        while done < view.nbytes and self._at < self._file.size:
            stop = self._start + self._piece.nbytes
            if not self._start <= self._at < stop:
                near = stop <= self._at <= stop + self._piece.nbytes
                self._next = min(self._most, 4 * self._next) if near else max(_LEAST, self._next // 4)
                self._request()
            begin = self._at - self._start
            count = min(view.nbytes - done, self._piece.nbytes - begin)
            view[done : done + count] = self._piece[begin : begin + count]
            self._at, done = self._at + count, done + count
        return done

    def _request(self) -> None:
        """Read the piece that begins here."""
        self._start, self._piece = (
            self._at,
            memoryview(b""),
        )  # the memory of the last one is free before that of the next is taken
        data = memoryview(bytearray(min(self._next, self._file.size - self._at)))
        for error in read_all([Piece(self._file, self._at, data)]).values():
            raise error
        self._piece = data
        self.requested += data.nbytes
