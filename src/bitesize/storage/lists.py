"""`list_folder`: the list of all objects below an address, made or reused."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from bitesize.errors import BadFile, DiskFull
from bitesize.storage import given_list
from bitesize.storage.base import Entry
from bitesize.storage.listing.place import ListPlace
from bitesize.storage.listing.sorting import Runs
from bitesize.storage.listing.walking import THREADS, pages
from bitesize.storage.object_list import ObjectList
from bitesize.storage.stores import storage_of
from bitesize.storage.url import split_url

SMALL = 10_000  # objects; as many are listed in seconds, and are therefore always listed
DAY = 86_400.0  # seconds that a larger list is reused
_EVERY = 0.1  # seconds between two calls of `progress`
_log = logging.getLogger("bitesize")
# Called with the numbers of objects and of bytes that were listed so far.
Progress = Callable[[int, int], object]


def list_folder(
    address: str,
    progress: Progress | None = None,
    *,
    listing: str | os.PathLike[str] = "auto",
    folder: str | os.PathLike[str] | None = None,
    threads: int = THREADS,
) -> ObjectList:
    """Return the list of all objects below an address.

    Processes of one machine that need the same list at the same time wait for the one that makes it.

    Parameters
    ----------
    address
        A prefix, ``s3://bucket/photos/``; a slash at its end is added.
    progress
        Called about ten times a second while objects are listed, with the numbers of objects and bytes so far.
    listing
        ``"auto"``: a list of more than 10,000 objects that is less than a day old is reused; others are made again. ``"new"``: the objects
        are listed. Otherwise, path or address of a file that replaces listing: an S3 inventory (its ``manifest.json``), or a CSV, Parquet or
        JSON Lines file with a column of names, see `given_list`.
    folder
        Folder of lists; by default, one in the user's cache folder.
    threads
        Number of requests at the same time.

    Raises
    ------
    BadSetting
        If ``listing`` is no setting or file.
    DiskFull
        If the disk of the folder has no room for the list.

    Examples
    --------
    >>> import tempfile
    >>> from bitesize.storage.local import LocalStorage
    >>> from bitesize.storage.stores import register_storage
    >>> storage = LocalStorage(tempfile.mkdtemp(), "shelf://photos")
    >>> _ = storage.write("cat/1.jpg", [b"..."])
    >>> register_storage("shelf", lambda root, options: storage)
    >>> found = list_folder("shelf://photos/", folder=tempfile.mkdtemp())
    >>> len(found), found.object(0).key
    (1, 'cat/1.jpg')
    """
    since = time.time()  # before waiting for a lock: what another process lists from now on is as good as an own list
    url = split_url(address if address.endswith("/") else f"{address}/")
    given = given_list.find(listing, str(url)) if listing not in ("auto", "new") else None
    place = ListPlace(folder, str(url) if given is None else f"{url} {given.identity}")
    with place.locked():
        found = _reusable(place, since, new=listing == "new", given=given is not None)
        if found is not None:
            return found
        counted = _Counted(progress)

        def fill(runs: Runs) -> dict[str, Any]:
            source = pages(storage_of(str(url)), url.key, threads) if given is None else given.pages()
            with closing(source):  # type: ignore[type-var]
                for page in counted.of(source):
                    runs.add(page)
            return {"seconds": time.time() - since, "pages": counted.pages, "given": "" if given is None else given.name}

        try:
            made = place.write(fill, {"root": url.root, "prefix": url.key, "listed_at": since})
        except OSError as error:
            if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
                raise
            raise DiskFull(
                f"no space on the disk for the list of {url} in {place.path}: free some, or choose another folder"
            ) from error
        found = ObjectList.open(*made, made_new=True)
        found.place = place  # a temporary folder lives as long as the list
        return found


class _Counted:
    """Pages, with their number and that of their objects."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._last = progress, 0.0
        self.pages = self.objects = self.nbytes = 0

    def of(self, source: Iterator[Sequence[Entry]]) -> Iterator[Sequence[Entry]]:
        for page in source:
            self.pages += 1
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
        _log.warning("%s; it is made again", error)
        return None
    _log.info("%s: %s", found.prefix_address, found.statement())
    return found


def _is_young(head: dict[str, Any], since: float, *, new: bool) -> bool:
    """Return whether a list is used in place of listing: made while this process waited, or large and of the last day."""
    now = time.time()
    if since <= head["finished_at"] <= now:
        return True
    return not new and head["objects"] > SMALL and 0 <= now - head["listed_at"] < DAY
