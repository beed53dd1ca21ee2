"""Making the list of all objects below a prefix, or using the one on disk.

Policy: a prefix of at most 10,000 objects is listed each time. A larger list is used again for a day, which is said. All processes of one machine
share the folder of lists and its locks, so one of them lists and the others use what it has written, also without knowing of each other.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bitesize.errors import BadFile, DiskFull
from bitesize.storage.base import Entry
from bitesize.storage.listing.place import ListPlace
from bitesize.storage.listing.sorting import Runs
from bitesize.storage.listing.walking import THREADS, pages
from bitesize.storage.object_list import ObjectList
from bitesize.storage.stores import storage_of

SMALL = 10_000  # objects; as many are listed in seconds, and are therefore always listed
DAY = 86_400.0  # seconds that a larger list is reused
_EVERY = 0.1  # seconds between two calls of `progress`
_log = logging.getLogger("bitesize")
# Called with the numbers of objects and of bytes that were listed so far.
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Given:
    """A file that replaces listing.

    Attributes
    ----------
    name : str
        Its path or address.
    identity : str
        Text that changes when the file does.
    top : str
        Address of the prefix that it is for, with a slash at its end.
    pages : callable
        Returns an iterator of all objects below the prefix, in pages.
    """

    name: str
    identity: str
    top: str
    pages: Callable[[], Iterator[Sequence[Entry]]]


@dataclass(frozen=True)
class Making:
    """Settings of making lists.

    Parameters
    ----------
    new
        Whether lists on disk are ignored.
    given
        What replaces listing of the prefix that it is for.
    progress
        Called about ten times a second while objects are listed, with the numbers of objects and bytes so far.
    folder
        Folder of lists; by default, one in the user's cache folder.
    threads
        Number of requests at the same time.
    """

    new: bool = False
    given: Given | None = None
    progress: Progress | None = None
    folder: str | os.PathLike[str] | None = None
    threads: int = THREADS


def make_list(root: str, prefix: str, settings: Making) -> ObjectList:
    """Return the list of all objects below a prefix.

    Raises
    ------
    DiskFull
        If the disk of the folder has no room for the list.
    """
    since = time.time()  # before waiting for a lock: what another process lists from now on is as good as an own list
    address = f"{root}/{prefix}"
    given = settings.given if settings.given is not None and settings.given.top == address else None
    identity = (getattr(storage_of(address), "server", ""), "" if given is None else given.identity)
    place = ListPlace(settings.folder, address, " ".join(identity))
    with place.locked():
        found = _reusable(place, since, new=settings.new, given=given is not None)
        if found is not None:
            return found
        counted = _Counted(settings.progress, getattr(storage_of(address), "refuses", None))

        def fill(runs: Runs) -> dict[str, Any]:
            source = pages(storage_of(address), prefix, settings.threads) if given is None else given.pages()
            with closing(source):  # type: ignore[type-var]
                for page in counted.of(source):
                    runs.add(page)
            facts = {"seconds": time.time() - since, "pages": counted.pages, "given": "" if given is None else given.name}
            return {**facts, "refused": counted.refused}

        try:
            made = place.write(fill, {"root": root, "prefix": prefix, "listed_at": since})
        except OSError as error:
            if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
                raise
            raise DiskFull(
                f"no space on the disk for the list of {address} in {place.path}: free some, or choose another folder"
            ) from error
        found = ObjectList.open(*made, made_new=True)
        found.place = place  # a temporary folder lives as long as the list
        return found


class _Counted:
    """Pages without the objects that their storage refuses to request, with their number and that of their objects."""

    def __init__(self, progress: Progress | None, refuses: Callable[[str], bool] | None) -> None:
        self._progress, self._refuses, self._last = progress, refuses, 0.0
        self.pages = self.objects = self.nbytes = self.refused = 0

    def of(self, source: Iterator[Sequence[Entry]]) -> Iterator[Sequence[Entry]]:
        for page in source:
            self.pages += 1
            if self._refuses is not None:
                before = len(page)
                page = [entry for entry in page if not self._refuses(entry.key)]
                self.refused += before - len(page)
            self.objects += len(page)
            self.nbytes += sum(max(0, entry.size) for entry in page)
            if self._progress is not None and time.monotonic() - self._last > _EVERY:
                self._progress(self.objects, self.nbytes)
                self._last = time.monotonic()
            yield page
        if self._progress is not None:
            self._progress(self.objects, self.nbytes)


def _reusable(place: ListPlace, since: float, *, new: bool, given: bool) -> ObjectList | None:
    """Return the list on disk, if there is one that may be used."""
    try:
        current = place.current()
        if current is None or not (given or _is_young(current[1], since, new=new)):
            return None
        found = ObjectList.open(*current)
    except (BadFile, OSError, LookupError, TypeError, ValueError) as error:
        _log.warning("%s; it is made again", str(error))
        return None
    _log.info("%s: %s", found.prefix_address, found.statement())
    return found


def _is_young(head: dict[str, Any], since: float, *, new: bool) -> bool:
    """Return whether a list is used in place of listing: made while this process waited, or large and of the last day."""
    now = time.time()
    if since <= head["finished_at"] <= now:
        return True
    return not new and head["objects"] > SMALL and 0 <= now - head["listed_at"] < DAY
