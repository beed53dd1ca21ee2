"""`list_folder`: the list of all objects below an address, made as the user wants it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bitesize.storage import remote
from bitesize.storage.given_list import find
from bitesize.storage.making import Making, Progress
from bitesize.storage.object_list import ObjectList


def list_folder(
    address: str,
    progress: Progress | None = None,
    *,
    listing: str | os.PathLike[str] = "auto",
    folder: str | os.PathLike[str] | None = None,
) -> ObjectList:
    """Return the list of all objects below an address, and use it for all questions about addresses below it.

    Parameters
    ----------
    address
        A prefix, ``s3://bucket/photos/``.
    progress
        Called about ten times a second while objects are listed, with the numbers of objects and bytes so far.
    listing
        ``"auto"``: a list of more than 10,000 objects that is less than a day old is used again; others are made again. ``"new"``: the objects
        are listed. Otherwise, path or address of a file that replaces listing: an S3 inventory (its ``manifest.json``), or a CSV, Parquet or
        JSON Lines file with a column of names, see `given_list`.
    folder
        Folder of lists; by default, one in the user's cache folder.

    Raises
    ------
    BadSetting
        If ``listing`` is no setting or file, or the address ends with several slashes.
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
    with listing_as(listing, address, progress, folder=folder):
        return remote.list_folder(address)


@contextmanager
def listing_as(
    listing: str | os.PathLike[str],
    address: str,
    progress: Progress | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
) -> Iterator[None]:
    """Make all lists within this context as these settings of `list_folder` say; a file that replaces listing is for this address.

    Raises
    ------
    BadSetting
        If ``listing`` is no setting or file.
    """
    given = None
    if listing not in ("auto", "new"):
        given = find(listing, address if address.endswith("/") else f"{address}/")
    progress = progress or remote.current_making().progress
    with remote.making(Making(new=listing == "new", given=given, progress=progress, folder=folder)):
        yield
