"""Finding the files of a table: in the given folder, next to the table, with another separator or without a suffix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from bitesize.decode.header import SUFFIXES
from bitesize.errors import BadSetting, NotFound
from bitesize.files.names import Names, names_of
from bitesize.sources.choices import Choice
from bitesize.sources.lost_files import hint
from bitesize.storage import paths, remote
from bitesize.storage.url import is_url

# Usual names of folders of files next to a table.
_FOLDERS = ("images", "imgs", "img", "image", "photos", "pictures", "files", "data", "train", "jpg", "png")
_MOST_FOLDERS = 50
_SUFFIXES = (*SUFFIXES, ".npy")
# Maximum number of missing files named in an error.
_NAMED = 10


class ExistingFiles(NamedTuple):
    """Files, and the way they were found.

    Attributes
    ----------
    names : Names
        The files, in the order of the table.
    choices : tuple of Choice
        Choices made if the paths differ from those in the table.
    """

    names: Names
    choices: tuple[Choice, ...]


def files_of(files: Sequence[str], roots: Sequence[str], table: str) -> Names:
    """Return the files that a table names; see `find_files`."""
    return find_files(files, roots, table).names


def find_files(files: Sequence[str], roots: Sequence[str], table: str) -> ExistingFiles:
    """Return the files that a table names, relative to one of several folders.

    A missing file is searched in folders with usual names below them, with ``/`` for a backslash, and as the only file
    with this stem.

    Parameters
    ----------
    files
        Paths as written in the table.
    roots
        Folders, in search order.
    table
        Path of the table.

    Raises
    ------
    NotFound
        If a file is not found; the message names the first ten.
    BadSetting
        If several files match.
    """
    paths.know_files(filter(is_url, files))
    if all(map(is_url, files)) and all(map(paths.isfile, files)):  # without a list of all that lies beside the table
        return ExistingFiles(names_of(files), ())
    finder = Finder(roots, table)
    existing, missing = [], []
    for name in files:
        path = finder.find(name)
        if path is None:
            missing.append(name)
        else:
            existing.append(path)
    if missing:
        below = " or ".join(dict.fromkeys(root or "." for root in roots))
        raise NotFound(
            f"{len(missing)} files of {table} do not exist below {below}: {', '.join(missing[:_NAMED])}{hint(missing[0], roots)}"
        )
    return ExistingFiles(names_of(existing), tuple(Choice(said, "") for said in finder.ways))


class Finder:
    """Finds files by their paths in a table.

    Attributes
    ----------
    ways : dict of str to None
        Descriptions of how paths were changed to find files.
    """

    def __init__(self, roots: Sequence[str], table: str) -> None:
        self._roots = list(dict.fromkeys(roots))
        for root in self._roots:
            paths.know_beside(root)
        stem = os.path.splitext(paths.basename(table))[0]
        own = [f"{stem}{end}" for end in ("", "_images", "_imgs", "_files")]
        self._own = [path for root in self._roots for name in own if paths.isdir(path := paths.join(root, name))]
        self._others = [
            path
            for root in self._roots
            for name in _FOLDERS
            if paths.isdir(path := paths.join(root, name)) and path not in self._own
        ]
        known = {*map(paths.abspath, (*self._own, *self._others))}
        self._rest = [path for root in self._roots for path in _folders_in(root) if paths.abspath(path) not in known]
        self._listed: dict[str, dict[str, list[str]]] = {}
        self.ways: dict[str, None] = {}

    def find(self, name: str) -> str | None:
        """Return the path of a file, or None.

        Raises
        ------
        BadSetting
            If several files match.
        """
        if not name.strip():
            return None
        if is_url(name) and not remote.is_listed(name):  # each other place would be a request
            return name if paths.isfile(name) else None
        found = self._in(self._roots, name)
        if found is not None:
            return found
        for written in dict.fromkeys((name, name.strip(), name.replace("\\", "/").strip())):
            path = self._find(written)
            if path is not None:
                if "\\" in name and "\\" not in written:
                    self.ways["backslashes in paths are read as /"] = None
                return path
        return None

    def _find(self, name: str) -> str | None:
        for folders in (self._roots, self._own, self._others, self._rest):
            hits = [path for folder in folders if paths.isfile(path := paths.join(folder, name))]
            if not hits:
                hits = [path for folder in folders for path in self._of_stem(folder, name)]
                if hits:
                    self.ways[f"{os.path.splitext(hits[0])[1]} is added to paths without a suffix"] = None
            hits = list(dict.fromkeys(map(paths.abspath, hits)))
            if len(hits) > 1 and folders is not self._roots:
                raise BadSetting(
                    f"{name!r} may refer to {' or '.join(hits[:3])}: write the folder and the suffix into the table"
                )
            if hits:
                if folders is not self._roots:
                    folder = next(f for f in folders if paths.abspath(hits[0]).startswith(paths.join(paths.abspath(f), "")))
                    self.ways[f"files are read from {folder}"] = None
                return hits[0]
        return None

    def _in(self, folders: Sequence[str], name: str) -> str | None:
        return next((path for folder in folders if paths.isfile(path := paths.join(folder, name))), None)

    def _of_stem(self, folder: str, name: str) -> list[str]:
        """Return the images and .npy files with this stem."""
        path = paths.join(folder, name)
        if path.lower().endswith(_SUFFIXES):
            return []
        where, stem = paths.split(path)
        if where not in self._listed:
            self._listed[where] = {}
            if paths.isdir(where or "."):
                for entry in paths.scandir(where or "."):
                    base, suffix = os.path.splitext(entry.name)
                    if suffix.lower() in _SUFFIXES and entry.is_file():
                        self._listed[where].setdefault(base, []).append(paths.join(where, entry.name))
        matches = self._listed[where].get(stem, [])
        if len(matches) > 1:
            raise BadSetting(f"{name!r} may refer to {' or '.join(sorted(matches)[:3])}: write the suffix into the table")
        return matches


def _folders_in(root: str) -> list[str]:
    """Return the folders in a folder; empty if there are too many."""
    try:
        entries = paths.scandir(root or ".")
        folders = sorted(entry.path for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return folders if len(folders) <= _MOST_FOLDERS else []


def looks_like_paths(values: Sequence[str]) -> bool:
    """Return whether values end in suffixes of images or .npy files."""
    given = [value for value in values if value.strip()]
    return bool(given) and all(value.strip().lower().endswith(_SUFFIXES) for value in given)
