"""Listing a folder of data: one pass of ``scandir`` that opens no files and calls ``stat`` only for folders and links."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import NoPermission, NotFound
from bitesize.files.listed import ListedFiles, ListedNamesBuilder, large_list, listed_files, may_be_own
from bitesize.files.names import Names, NamesBuilder, show, suffix_of
from bitesize.files.stores import is_store, is_unfinished
from bitesize.storage import paths, patterns, remote
from bitesize.storage.natural import class_key as class_key
from bitesize.storage.natural import natural_key as natural_key
from bitesize.storage.natural import path_key as path_key
from bitesize.storage.object_list import ObjectList
from bitesize.storage.url import is_url, split_url

_SEP = os.fsencode(os.sep)
# Files of operating systems and tools; names that start with a dot are also left out.
_LITTER = frozenset(
    (
        b"thumbs.db", b"desktop.ini", b"__macosx", b"ehthumbs.db", b"__pycache__", b"@eadir", b"$recycle.bin", b"lost+found",
        b"system volume information", b"dicomdir",
    )
)  # fmt: skip
_HIDDEN = "hidden or system files"
# Folders next to class folders that contain no data.
_WORKING = frozenset(
    (
        b"checkpoints", b"runs", b"logs", b"log", b"models", b"model", b"weights", b"outputs", b"output", b"results", b"src", b"scripts",
        b"notebooks", b"docs", b"doc", b"venv", b"env", b"node_modules", b"tmp", b"temp", b"cache", b"figures", b"plots", b"wandb", b"mlruns",
    )
)  # fmt: skip
# A folder with the first of these and one of the others belongs to a training run.
_RUN_MARKS = (b"config.json", b"history.csv", b"checkpoints", b"model.keras")


@dataclass(frozen=True)
class Listing:
    """Result of a scan.

    Parameters
    ----------
    names
        The files, in natural order within each class.
    labels
        Class number of each file, shape (n,), or None for a flat folder.
    classes
        Names of the classes in order, or None.
    kinds
        Number of files of each requested suffix.
    left_out
        Number of entries left out, by reason.
    """

    names: Names
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...] | None
    kinds: Mapping[str, int]
    left_out: Mapping[str, int]


def scan(
    root: str | os.PathLike[str],
    suffixes: Collection[str] | None,
    reasons: Mapping[str, str] | None = None,
    *,
    flat: bool = False,
) -> Listing:
    """List the data files below a folder: one class per subfolder, or a flat folder without classes.

    Files and folders are in natural order (`natural_key`), files of a folder before those of its subfolders. Classes are
    numbered by name, numeric names by value. Links are followed, each folder once. Files deeper in a class folder belong to
    that class. Folders of training runs are left out.

    Parameters
    ----------
    root
        The folder.
    suffixes
        Suffixes of data files, in lower case with the dot: ``{".jpg", ".png"}``; None for all.
    reasons
        Reasons for leaving out files of other suffixes: ``{".heic": "HEIC images (.heic)"}``.
    flat
        Whether to list all files below the folder without labels; subfolders are then not classes.

    Raises
    ------
    NotFound
        If the folder does not exist, or it or a class folder contains no such file.
    NoPermission
        If a folder cannot be read.
    """
    top = _top(root)
    if not paths.isdir(top):
        reason = "is a file, not a folder" if paths.exists(top) else "does not exist"
        raise NotFound(f"{show(top)} {reason}")
    walk = _Scan(top, None if suffixes is None else frozenset(os.fsencode(suffix) for suffix in suffixes), reasons)
    walk.found = large_list(top) if suffixes is not None else None
    return walk.run_flat() if flat else walk.run()


def merge(folders: Mapping[str, str | os.PathLike[str]], suffixes: Collection[str]) -> Listing:
    """List one folder per class: ``{"cat": "cats/", "dog": "dogs/"}``, classes in the given order.

    Raises
    ------
    NotFound
        As `scan`.
    """
    builder = NamesBuilder()
    counts: list[int] = []
    kinds: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for folder in folders.values():
        top = _top(folder)
        if not paths.isdir(top):
            raise NotFound(f"{show(top)} is not a folder")
        walk = _Scan(top, frozenset(os.fsencode(suffix) for suffix in suffixes))
        count = sum(builder.add(paths.join(top, name), files) for name, files in walk.folders(top, top))
        if not count:
            raise NotFound(f"{show(top)} contains no readable file{walk.seen()}")
        counts.append(count)
        walk.count_empty_objects()
        kinds += walk.kinds
        left_out += walk.left_out
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return Listing(builder.build(), labels, tuple(folders), kinds, left_out)


def _top(folder: str | os.PathLike[str]) -> bytes:
    """Return the path of a folder; if it is an address, after all objects below it are listed."""
    path = paths.abspath(folder)
    paths.know_folder(path)
    return os.fsencode(path)


class _Scan:
    def __init__(self, top: bytes, suffixes: frozenset[bytes] | None, reasons: Mapping[str, str] | None = None) -> None:
        self.top = top
        self.suffixes = suffixes
        self.reasons = reasons or {}
        self.kinds: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.visited: set[tuple[int, int]] = set()
        self.found: ObjectList | None = None  # a large list of objects, in which the names stay

    def run(self) -> Listing:
        """List the top folder: its subfolders as classes, or its files."""
        self.count_empty_objects()
        files, folders = self.read(self.top)
        self.enter(self.top)
        own_kinds, self.kinds = self.kinds, Counter()
        builder = self.builder()
        counts: list[int] = []
        folders.sort(key=natural_key)
        empty: list[str] = []
        for name in folders:
            path = paths.join(self.top, name)
            count = sum(builder.add(folder, names) for folder, names in self.folders(path, self.top))
            counts.append(count)
            if not count and name.lower() in _WORKING:
                self.left_out[f"folders without data ({show(name)})"] += 1
            elif not count:
                empty.append(show(path))
        if sum(counts) and empty:
            raise NotFound(f"class folder {empty[0]} contains no readable file: fill it or remove it{self.seen()}")
        if sum(counts):
            if files:
                self.left_out["next to the class folders"] += len(files)
            taken = [os.fsdecode(name) for name, count in zip(folders, counts, strict=True) if count]
            classes = sorted(taken, key=class_key)
            numbers = [classes.index(name) for name in taken]
            counts = [count for count in counts if count]
            labels = np.repeat(np.array(numbers, np.int64), counts)
            shown = tuple(show(os.fsencode(name)) for name in classes)
            return Listing(builder.build(), labels, shown, self.kinds, self.left_out)
        if not files:
            raise NotFound(f"{show(self.top)} contains no readable file{self.seen()}")
        builder = self.builder()
        builder.add(b"", files)
        return Listing(builder.build(), None, None, own_kinds, self.left_out)

    def run_flat(self) -> Listing:
        """List all files below the top folder, without classes."""
        self.count_empty_objects()
        builder = self.builder()
        for folder, names in self.folders(self.top, self.top):
            builder.add(b"" if folder == self.top else folder, names)
        names_found = builder.build()
        if not len(names_found):
            raise NotFound(f"{show(self.top)} contains no readable file{self.seen()}")
        return Listing(names_found, None, None, self.kinds, self.left_out)

    def builder(self) -> NamesBuilder | ListedNamesBuilder:
        """Return a builder of names."""
        return NamesBuilder(self.top) if self.found is None else ListedNamesBuilder(self.top, self.found)

    def seen(self) -> str:
        """Return a note on the entries that were left out."""
        if not self.left_out:
            return " (it is empty)"
        return " (left out: " + ", ".join(f"{count} {why}" for why, count in self.left_out.most_common(5)) + ")"

    def folders(self, path: bytes, relative_to: bytes) -> Iterator[tuple[bytes, Any]]:
        """Yield (relative folder, its data files) for a folder and all folders below it, in natural order."""
        if not self.enter(path):
            return
        files, folders = self.read(path)
        if files:
            yield (
                (paths.relpath(path, relative_to) if path.startswith(relative_to) and path != relative_to else path),
                files,
            )
        for name in sorted(folders, key=natural_key):
            yield from self.folders(paths.join(path, name), relative_to)

    def count_empty_objects(self) -> None:
        """Count empty objects that stand for folders, and those that cannot be requested, if the top folder is an address."""
        if is_url(self.top) and (count := remote.empty_objects(os.fsdecode(self.top))):
            self.left_out["empty objects that stand for folders"] += count
        if is_url(self.top) and (count := remote.refused_objects(os.fsdecode(self.top))):
            self.left_out[remote.REFUSED] += count

    def enter(self, path: bytes) -> bool:
        """Remember per folder; False if a link led here before, so that loops end."""
        if is_url(path):
            return True
        stat = os.stat(path)
        identity = (stat.st_dev, stat.st_ino)
        if identity in self.visited:
            self.left_out["links to a folder already listed"] += 1
            return False
        self.visited.add(identity)
        return True

    def reason(self, name: bytes, suffix: bytes) -> str:
        """Return the reason for leaving out a file: by its last two suffixes, its last one, or the part before a hyphen."""
        both = name.lower()[name.rfind(b".", 0, len(name) - len(suffix)) :] if suffix else b""
        known = next(
            (why for end in (both, suffix, suffix.partition(b"-")[0]) if (why := self.reasons.get(show(end)))), None
        )
        return known or f"other files ({show(suffix) or 'no suffix'})"

    def read(self, path: bytes) -> tuple[Any, list[bytes]]:
        """Return the data files of one folder in natural order, and its subfolders."""
        if self.found is not None:
            return self.read_listed(path, self.found)
        files: list[bytes] = []
        folders: list[bytes] = []
        kinds: Counter[bytes] = Counter()
        suffixes, left_out = self.suffixes, self.left_out
        try:
            entries = paths.scandir(path)
        except PermissionError as error:
            raise NoPermission(f"no permission to list {show(path)}") from error
        for entry in entries:
            name = entry.name
            if is_litter(name):
                left_out[_HIDDEN] += 1
                continue
            suffix = suffix_of(name)
            if (suffixes is None or suffix in suffixes) and entry.is_file():
                files.append(name)
                kinds[suffix] += 1
            elif entry.is_dir():
                if self.is_data(paths.join(path, name)):
                    folders.append(name)
            elif entry.is_file():
                left_out[self.reason(name, suffix)] += 1
            else:  # a FIFO or device would block forever, a broken link has no target
                left_out["not regular files, or broken links"] += 1
        self.kinds.update({os.fsdecode(suffix): count for suffix, count in kinds.items()})
        files.sort(key=natural_key)
        return files, folders

    def read_listed(self, path: bytes, found: ObjectList) -> tuple[ListedFiles, list[bytes]]:
        """Be `read`, for a folder of a large list of objects."""
        assert self.suffixes is not None
        files = listed_files(found, path, self.suffixes, is_litter)
        for name, suffix, count in files.others:
            self.left_out[self.reason(name, suffix)] += count
        if files.litter:
            self.left_out[_HIDDEN] += files.litter
        self.kinds.update(files.kinds)
        folders = []
        for name in map(os.fsencode, found.subfolders(split_url(path).key)):
            inside = paths.join(path, name)
            if is_litter(name):
                self.left_out[_HIDDEN] += 1
            elif not may_be_own(found, inside) or self.is_data(inside):
                folders.append(name)
        return files, folders

    def is_data(self, folder: bytes) -> bool:
        """Return whether a folder holds data; count it if it was written by bitesize."""
        if is_run_folder(folder):
            self.left_out["folders of training runs"] += 1
        elif is_store(folder) or is_unfinished(folder):
            self.left_out["folders of packed stores"] += 1
        else:
            return True
        return False


def is_litter(name: bytes) -> bool:
    """Return whether a file or folder is hidden, or belongs to an operating system or a tool."""
    return name[:1] == b"." or name.lower() in _LITTER


def is_own_folder(path: bytes) -> bool:
    """Return whether a folder was written by bitesize: a training run or a packed store, which is not data of the folder around it.

    Folders at addresses that are not listed are not asked for: that would be some requests for each.
    """
    if is_url(path) and not remote.is_listed(os.fsdecode(path)):
        return False
    found = large_list(path)
    if found is not None and not may_be_own(found, path):
        return False
    return is_run_folder(path) or is_store(path) or is_unfinished(path)


def is_run_folder(path: bytes) -> bool:
    """Return whether a folder belongs to a training run, or contains only folders of training runs."""

    def marked(folder: bytes) -> bool:
        """Return whether a folder contains files that `bitesize train` writes."""
        first, *others = (paths.exists(paths.join(folder, mark)) for mark in _RUN_MARKS)
        return first and any(others)

    if marked(path):
        return True
    if paths.basename(path) != b"runs":
        return False
    inside = [entry.path for entry in paths.scandir(path) if entry.name[:1] != b"."]
    return bool(inside) and all(paths.isdir(folder) and marked(folder) for folder in inside)


def matching(pattern: str) -> list[str]:
    """Return the files that a pattern such as ``"parts/*.npy"`` matches, in natural order; existing paths are unchanged.

    ``**`` matches any number of folders. An existing folder with brackets in its name is matched literally.

    Raises
    ------
    NotFound
        If nothing matches.

    Examples
    --------
    >>> matching("photos/7.jpg")
    ['photos/7.jpg']
    """
    if not glob.has_magic(pattern) or paths.exists(pattern):
        return [pattern]
    matched = patterns.matches(pattern) if is_url(pattern) else glob.glob(_literal_folders(pattern), recursive=True)
    files = sorted((path for path in matched if paths.isfile(path)), key=path_key)
    if not files:
        folders = [path for path in matched if paths.isdir(path)]
        if folders:
            shown = ", ".join(sorted(map(paths.basename, folders))[:5])
            raise NotFound(f"{pattern} matches folders only ({shown}): open the folder {paths.dirname(folders[0]) or '.'}")
        brackets = (
            " ([...] matches one of the characters in it; glob.escape escapes a literal name)" if "[" in pattern else ""
        )
        raise NotFound(f"no file matches {pattern}{brackets}")
    return files


def _literal_folders(pattern: str) -> str:
    """Escape the leading parts of a pattern that exist under exactly this name."""
    drive, rest = os.path.splitdrive(pattern)
    parts = rest.replace(os.altsep or os.sep, os.sep).split(os.sep)
    literal, escaped = drive, glob.escape(drive)
    for i, part in enumerate(parts):
        literal = literal + part if i == 0 else literal + os.sep + part
        if part and not os.path.lexists(literal):
            rest_of_it = os.sep.join(parts[i:])
            return escaped + rest_of_it if i == 0 else escaped + os.sep + rest_of_it
        escaped = escaped + glob.escape(part) if i == 0 else escaped + os.sep + glob.escape(part)
    return escaped
