"""Objects as files that read ranges."""

from __future__ import annotations

import io
from collections.abc import Sequence

from bitesize.errors import BadFile
from bitesize.storage.ahead import Part, take
from bitesize.storage.remote import entry
from bitesize.storage.stores import storage_of
from bitesize.storage.url import split_url

BUFFER = 1 << 20  # bytes that a file of `paths.open` reads at once


def read_bytes(address: str, most: int = 1 << 30) -> bytes:
    """Return the content of a small object.

    Raises
    ------
    BadFile
        If it is larger than ``most`` bytes.
    """
    with RemoteFile(address) as file:
        return file.whole(most)


class RemoteFile(io.RawIOBase):
    """An object as a file that is open for reading bytes: each read is one request.

    Parameters
    ----------
    address
        The object. Its size and version are those of the list of objects, or of now.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address, self.entry = address, entry(address)
        self._storage, self._key, self._at = storage_of(address), split_url(address).key, 0

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.entry.size

    def read_at(self, offset: int, into: Sequence[memoryview]) -> None:
        """Fill consecutive buffers with the bytes from an offset on, with bytes that were requested ahead if there are any; thread-safe.

        Raises
        ------
        BadFile
            If the object is too short: no request is made then.
        """
        part = Part(self.address, offset, sum(buffer.nbytes for buffer in into), self.entry.version)
        if not take(part, into):
            self.fetch(offset, into)

    def fetch(self, offset: int, into: Sequence[memoryview]) -> None:
        """Be `read_at`, always with a request."""
        end = offset + sum(buffer.nbytes for buffer in into)
        if end > self.size:
            raise BadFile(f"{self.address} ends after {self.size:,} bytes; {end:,} are needed")
        self._storage.read(self._key, offset, into, self.entry.version)

    def whole(self, most: int) -> bytes:
        """Return the whole content, of at most ``most`` bytes."""
        if self.size > most:
            raise BadFile(f"{self.address} has {self.size:,} bytes, more than {most:,}")
        content = bytearray(self.size)
        if content:
            self.read_at(0, [memoryview(content)])
        return bytes(content)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, from here, or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes, and return their number: fewer only at the end."""
        view = memoryview(into).cast("B")
        count = max(0, min(view.nbytes, self.size - self._at))
        if count:
            self.read_at(self._at, [view[:count]])
            self._at += count
        return count
