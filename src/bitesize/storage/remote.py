"""Objects as files and folders: answers from lists of objects, and files that read ranges."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.memory.sizes import format_size
from bitesize.storage.ahead import Part, take
from bitesize.storage.base import Entry
from bitesize.storage.making import Making, make_list
from bitesize.storage.object_list import ObjectList
from bitesize.storage.stores import add_list, listed, storage_of
from bitesize.storage.url import split_key, split_url

BUFFER = 1 << 20  # bytes that a file of `open` reads at once
AT_ONCE, _WAITING = 64, 4096  # requests for small objects in flight, and those that wait for them
A = TypeVar("A")
B = TypeVar("B")


@dataclass
class _Asked:
    """Lists and objects that were asked for within one `listing`: older answers may be out of date."""

    lists: list[ObjectList] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    def covers(self, address: str) -> bool:
        """Return whether one of the lists has the answer about an address."""
        found = listed(address)
        return found is not None and any(found is each for each in self.lists)


_asked: ContextVar[_Asked | None] = ContextVar("_asked", default=None)
_making: ContextVar[Making | None] = ContextVar("_making", default=None)
_entries: dict[str, Entry] = {}  # single objects that were asked for and are in no list
_missing: set[str] = set()  # objects that do not exist; forgotten with the end of `listing`
_lock = threading.Lock()


def entry(address: str) -> Entry:
    """Return size and version of an object.

    The first answer is remembered: an object that is replaced later is noticed when it is read.

    Raises
    ------
    NotFound
        If there is none.
    """
    with _lock:
        remembered = _entries.get(address)
    found = listed(address) if remembered is None else None
    if found is not None:
        known = found.entry(split_url(address).key)
        if known is None:
            raise NotFound(f"{address} does not exist: it is not in the list of {found.prefix_address}")
        if known.size >= 0:  # a list from a table may have no sizes
            return known
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
        _missing.discard(address)


@contextmanager
def listing() -> Iterator[list[ObjectList]]:
    """List each folder at most once within this context, and collect the lists; contexts within share those of the outermost."""
    outer = _asked.get()
    if outer is not None:
        yield outer.lists
        return
    asked = _Asked()
    token = _asked.set(asked)
    try:
        yield asked.lists
    finally:
        _asked.reset(token)
        _missing.clear()


@contextmanager
def making(settings: Making) -> Iterator[None]:
    """Make all lists within this context with these settings."""
    token = _making.set(settings)
    try:
        yield
    finally:
        _making.reset(token)


def list_folder(address: str) -> ObjectList:
    """List all objects below a folder, so that all questions about it are answered without requests.

    The list replaces an older one, except within `listing`. Nothing is remembered of a folder without objects.

    Raises
    ------
    BadSetting
        If the address ends with several slashes.
    """
    url = split_url(address)
    prefix = url.key.removesuffix("/")
    if prefix.endswith("/"):
        raise BadSetting(f"{address} ends with several slashes, so it names no folder: open the folder above it")
    prefix = f"{prefix}/" if prefix else ""
    asked, known = _asked.get(), listed(f"{url.root}/{prefix}")
    if known is not None and asked is not None and asked.covers(known.prefix_address):
        return known
    found = make_list(url.root, prefix, _making.get() or Making())
    if len(found):
        add_list(found)
        with _lock:
            for old in [old for old in _entries if old.startswith(found.prefix_address)]:
                del _entries[old]
        if asked is not None:
            asked.lists.append(found)
        if found.made_new:
            logging.getLogger("bitesize").info(summary(found))
    return found


def know_folder(address: str) -> None:
    """List a folder unless it is listed; within `listing`, older lists do not count."""
    asked = _asked.get()
    if listed(address) is None or (asked is not None and not asked.covers(address)):
        list_folder(address)


def summary(found: ObjectList) -> str:
    """Return what a user should know of a list: its objects, and its age if it is not of now."""
    if found.made_new and not found.facts.get("given"):
        return f"listed {len(found):,} objects ({format_size(found.total_size)}) below {found.prefix_address}"
    return f"{found.prefix_address}: {found.statement()}"


def is_listed(address: str) -> bool:
    """Return whether questions about an address are answered from a list, without requests."""
    return listed(address) is not None


def is_web(address: str) -> bool:
    """Return whether an address is of a web server, which has no lists."""
    return split_url(address).scheme in ("http", "https")


def know_files(addresses: Iterable[str]) -> None:
    """Ask for many objects at the same time, unless they are listed; within `listing`, older answers do not count."""
    asked = _asked.get()
    if asked is None:
        unknown = [each for each in dict.fromkeys(addresses) if listed(each) is None and each not in _entries]
    else:
        unknown = [each for each in dict.fromkeys(addresses) if each not in asked.files and not asked.covers(each)]
        asked.files.update(unknown)
    for_each(_ask, unknown)


def _ask(address: str) -> None:
    """Ask for an object, also if there is an older answer, and remember the new one."""
    forget(address)
    url = split_url(address)
    if not url.key or url.key.endswith("/"):
        return
    try:
        found = storage_of(address).entry(url.key)
    except NotFound:
        with _lock:
            _missing.add(address)
    else:
        with _lock:
            _entries[address] = found


def for_each(function: Callable[[A], B], values: Sequence[A]) -> list[B]:
    """Return the results of a function that sends requests, for each value, in order; many requests are sent at the same time."""
    results: list[B] = []
    if len(values) < 2:
        return list(map(function, values))
    with ThreadPoolExecutor(min(AT_ONCE, len(values)), "bitesize-requests") as pool:
        for start in range(0, len(values), _WAITING):
            results += pool.map(function, values[start : start + _WAITING])
    return results


def empty_objects(address: str) -> int:
    """Return the number of empty objects that stand for a listed folder, or for one below it."""
    found = listed(address)
    return 0 if found is None else found.stand_for_folders(split_url(address).key.removesuffix("/"))


def stands_for_folder(address: str) -> None:
    """Take an empty object for a folder, within `listing`."""
    with _lock:
        _entries.pop(address, None)
        _missing.add(address)


def _is_known(address: str) -> bool:
    """Return whether an address was asked for and is an object, which may not stand for a folder."""
    known = _entries.get(address)
    return known is not None and known.size != 0


def is_file(address: str) -> bool:
    """Return whether an address is an object."""
    url = split_url(address)
    if not url.key or url.key.endswith("/") or address in _missing:
        return False
    if _is_known(f"{url.root}/{split_key(url.key)[0]}"):  # in an object
        return False
    try:
        entry(address)
    except NotFound:
        return False
    return True


def is_folder(address: str) -> bool:
    """Return whether an address is a prefix of objects."""
    found = listed(address)
    key = split_url(address).key.removesuffix("/")
    if found is not None:
        return found.is_folder(key)
    if key.endswith("/") or _is_known(address) or (is_web(address) and not address.endswith("/")):
        return False
    level = storage_of(address).level(f"{key}/" if key else "")
    return bool(level.folders or level.entries)


def children(address: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a folder, and whether each is a folder.

    Raises
    ------
    NotFound
        If there are none.
    """
    found, key = listed(address), split_url(address).key.removesuffix("/")
    if found is not None:
        yield from found.children(key)
        return
    prefix = f"{key}/" if key else ""
    level = storage_of(address).level(prefix)
    if not level.folders and not level.entries:
        raise NotFound(f"{address} does not exist")
    for folder in level.folders:
        if name := folder[len(prefix) :].rstrip("/"):
            yield name, True
    for each in level.entries:
        if (name := each.key[len(prefix) :]) and not name.endswith("/"):
            yield name, False


def subfolders(address: str) -> Iterator[str]:
    """Yield the names of the folders in a folder, which a web server does not tell; a list is not searched for files.

    Raises
    ------
    NotFound
        If the folder does not exist.
    """
    found = listed(address)
    if found is not None:
        yield from found.subfolders(split_url(address).key.removesuffix("/"))
        return
    if is_web(address):
        return
    for name, is_folder in children(address):
        if is_folder:
            yield name


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
        if not take(Part(self.address, offset, sum(buffer.nbytes for buffer in into)), into, self.entry.version):
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
