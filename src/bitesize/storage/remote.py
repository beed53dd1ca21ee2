"""Objects as files and folders: answers from lists of objects."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from bitesize.errors import BadSetting, NotFound
from bitesize.memory.sizes import format_size
from bitesize.storage.base import Entry
from bitesize.storage.making import Making, make_list
from bitesize.storage.object_list import ObjectList
from bitesize.storage.stores import add_list, forget_list, listed, storage_of
from bitesize.storage.url import split_key, split_url

REFUSED = "names with empty parts, or . or .. as parts, which cannot be requested"
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


def remember(address: str, written: Entry) -> None:
    """Remember an object that was written: lists of objects are older."""
    with _lock:
        _entries[address] = written
        _missing.discard(address)


def forget(address: str) -> None:
    """Forget what is remembered of an object, because it was removed."""
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


def current_making() -> Making:
    """Return the settings with which lists are made now."""
    return _making.get() or Making()


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

    The list replaces an older one, except within `listing`. Nothing is remembered of a folder without objects; older lists in which it
    has some are forgotten.

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
    if not len(found):
        while (older := listed(found.prefix_address)) is not None and older.is_folder(prefix.removesuffix("/")):
            forget_list(older)
    else:
        add_list(found)
        with _lock:
            for known_alone in [name for name in _entries if name.startswith(found.prefix_address)]:
                del _entries[known_alone]
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
    refused = found.facts.get("refused", 0)
    more = f"; {refused:,} more have {REFUSED}" if refused else ""
    if found.made_new and not found.facts.get("given"):
        return f"listed {len(found):,} objects ({format_size(found.total_size)}) below {found.prefix_address}{more}"
    return f"{found.prefix_address}: {found.statement()}{more}"


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


def refused_objects(address: str) -> int:
    """Return the number of objects that were left out of the list of exactly this folder, because their names cannot be requested."""
    found = listed(address)
    return (
        found.facts.get("refused", 0) if found is not None and found.prefix_address.rstrip("/") == address.rstrip("/") else 0
    )


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
