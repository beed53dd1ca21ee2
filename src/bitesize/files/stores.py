"""Folders of packed stores, recognized by a file, so that they are not read as data of the folder that they are in."""

from __future__ import annotations

import os

from bitesize.storage import paths
from bitesize.storage.url import is_url

MANIFEST, PACKING = "manifest.json", "packing.json"  # of a complete store, and of one that is being packed
STORE, UNFINISHED = "bitesize store", "bitesize packing"  # their formats
_LOOK = 200  # bytes of a file that name its format


def is_store(folder: str | bytes | os.PathLike[str]) -> bool:
    """Return whether a folder has the manifest of a packed store, which may be damaged."""
    return _names(folder, MANIFEST, STORE)


def is_unfinished(folder: str | bytes | os.PathLike[str]) -> bool:
    """Return whether a folder is a store that was not packed to its end."""
    return _names(folder, PACKING, UNFINISHED)


def _names(folder: str | bytes | os.PathLike[str], name: str, kind: str) -> bool:
    path = paths.join(os.fsencode(folder), name.encode())
    if is_url(path) and not paths.isfile(path):  # most often known from a list, without a request
        return False
    try:
        with paths.open(path) as file:
            return f'"format": "{kind}"'.encode() in file.read(_LOOK)
    except OSError:
        return False
