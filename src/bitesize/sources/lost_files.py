"""Hints for files that a table names and that do not exist: the data instead."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import islice

from bitesize.errors import BitesizeError
from bitesize.storage import paths
from bitesize.storage.url import is_url

_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/]|[\\/]")
_MOST_FOLDERS = 50


def hint(name: str, roots: Sequence[str]) -> str:
    """Return a hint about a missing file, for a message; empty if there is no similar file.

    Parameters
    ----------
    name
        Path as written in the table.
    roots
        Folders that were searched.
    """
    name = name.strip()
    if is_url(name):
        folder = paths.dirname(name)
        last = [paths.basename(name)]
        similar = _alike(folder, last)
        return f". {similar} exists, which differs in {_difference(similar, last, 0)}: write this address" if similar else ""
    absolute = _ABSOLUTE.match(name)
    parts = [part for part in re.split(r"[\\/]+", name[absolute.end() :] if absolute else name) if part not in ("", ".")]
    for start in range(len(parts)):
        for folder in _with_subfolders(roots):
            similar = _alike(folder, parts[start:])
            if similar is None:
                continue
            if absolute:
                return f". {name!r} seems to be a path of another machine, but {similar} exists: write paths relative to the table's folder"
            return (
                f". {similar} exists, which differs in {_difference(similar, parts, start)}: write this path into the table"
            )
    return ""


def _with_subfolders(roots: Sequence[str]) -> list[str]:
    folders = []
    for root in dict.fromkeys(root or "." for root in roots):
        folders.append(root)
        try:
            entries = paths.scandir(root)
            folders += sorted(entry.path for entry in islice(entries, 10_000) if entry.is_dir())[:_MOST_FOLDERS]
        except (OSError, BitesizeError):  # the folder does not exist, or has no list
            continue
    return folders


def _alike(folder: str, parts: Sequence[str]) -> str | None:
    """Return the file below a folder whose path differs from these parts only in case and suffix."""
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        try:
            names = sorted(paths.listdir(folder))
        except (OSError, BitesizeError):
            return None
        same = [name for name in names if name == part] or [name for name in names if name.casefold() == part.casefold()]
        if last and not same:
            stem = os.path.splitext(part)[0].casefold()
            same = [name for name in names if os.path.splitext(name)[0].casefold() == stem]
        same = [name for name in same if paths.isfile(paths.join(folder, name)) == last]
        if not same:
            return None
        folder = paths.join(folder, same[0])
    return folder


def _difference(similar: str, parts: Sequence[str], start: int) -> str:
    """Return a description of the difference between a file and the missing one."""
    here, there = paths.basename(similar), parts[-1]
    if here.casefold() != there.casefold():
        return "the suffix"
    below = re.split(r"[\\/]+", similar)[-len(parts) :]
    return "the folder" if start or below == list(parts) else "case"
