"""Objects as files and folders: answers from lists of objects, and files that read ranges."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

from bitesize.errors import NotFound
from bitesize.storage.base import Entry
from bitesize.storage.stores import listed, storage_of
from bitesize.storage.url import split_url

BUFFER = 1 << 20  # bytes that a file of `open` reads at once
_entries: dict[str, Entry] = {}  # single objects that were asked for and are in no list
_lock = threading.Lock()


def entry(address: str) -> Entry:
    """Return size and version of an object.

    The first answer is remembered: an object that is replaced later is noticed when it is read.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = listed(address)
    if found is not None:
        known = found.entry(split_url(address).key)
        if known is None:
            raise NotFound(f"{address} does not exist: it is not in the list of {found.prefix_address}")
        if known.size >= 0:  # a list from a table may have no sizes
            return known
    with _lock:
        remembered = _entries.get(address)
    if remembered is None:
        url = split_url(address)
        remembered = storage_of(address).entry(url.key)
        with _lock:
            _entries[address] = remembered
    return remembered


def forget(address: str) -> None:
    """Forget what is remembered of an object, because it was written or removed."""
    with _lock:
        _entries.pop(address, None)


def is_file(address: str) -> bool:
    """Return whether an address is an object."""
    key = split_url(address).key
    if not key or key.endswith("/"):
        return False
    try:
        entry(address)
    except NotFound:
        return False
    return True


def is_folder(address: str) -> bool:
    """Return whether an address is a prefix of objects."""
    found = listed(address)
    key = split_url(address).key.rstrip("/")
    if found is not None:
        return found.is_folder(key)
    level = storage_of(address).level(f"{key}/" if key else "")
    return bool(level.folders or level.entries)


def children(address: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a folder, and whether each is a folder.

    Raises
    ------
    NotFound
        If there are none.
    """
    found, key = listed(address), split_url(address).key.rstrip("/")
    if found is not None:
        yield from found.children(key)
        return
    prefix = f"{key}/" if key else ""
    level = storage_of(address).level(prefix)
    if not level.folders and not level.entries:
        raise NotFound(f"{address} does not exist")
    for folder in level.folders:
        yield folder[len(prefix) :].rstrip("/"), True
    for each in level.entries:
        yield each.key[len(prefix) :], False


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

    def read_at(self, offset: int, into: memoryview) -> None:
        """Fill a buffer with the bytes from an offset on; thread-safe."""
        self._storage.read(self._key, offset, into, self.entry.version)

    def whole(self, most: int) -> bytes:
        """Return the whole content, of at most ``most`` bytes."""
        from bitesize.errors import BadFile

        if self.size > most:
            raise BadFile(f"{self.address} has {self.size:,} bytes, more than {most:,}")
        content = bytearray(self.size)
        if content:
            self.read_at(0, memoryview(content))
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
            self.read_at(self._at, view[:count])
            self._at += count
        return count
