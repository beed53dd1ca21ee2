"""Folders of packed stores, recognized by a file, so that they are not read as data of the folder that they are in."""

from __future__ import annotations

import functools
import os

from bitesize.storage import paths, remote
from bitesize.storage.base import Entry
from bitesize.storage.url import is_url

MANIFEST, PACKING = "manifest.json", "packing.json"  # of a complete store, and of one that is being packed
STORE, UNFINISHED = "bitesize store", "bitesize packing"  # their formats
_LOOK = 200  # bytes of a file that name its format
_KEPT = 1_000  # beginnings of objects that are remembered


def is_store(folder: str | bytes | os.PathLike[str]) -> bool:
    """Return whether a folder has the manifest of a packed store, which may be damaged."""
    return _names(folder, MANIFEST, STORE)


def is_unfinished(folder: str | bytes | os.PathLike[str]) -> bool:
    """Return whether a folder is a store that was not packed to its end."""
    return _names(folder, PACKING, UNFINISHED)


def _names(folder: str | bytes | os.PathLike[str], name: str, kind: str) -> bool:
    path = paths.join(os.fsencode(folder), name.encode())
    mark = f'"format": "{kind}"'.encode()
    try:
        if not is_url(path):
            with open(path, "rb") as file:
                return mark in file.read(_LOOK)
        address = os.fsdecode(path)
        return remote.is_file(address) and mark in _beginning(address, remote.entry(address))
    except OSError:
        return False


@functools.lru_cache(_KEPT)
def _beginning(address: str, entry: Entry) -> bytes:
    """Return the beginning of an object, of which this version is read once."""
    with paths.open(address) as file:
        return file.read(_LOOK)
