"""Compact lists of paths, without a Python object per file."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bitesize.storage import paths
from bitesize.storage.url import is_url

_SEP = os.fsencode(os.sep)
_TWO_PARTS = b".nii.gz"


class Names(ABC):
    """Paths of files, by number, as bytes, because file names need not be text.

    Subclasses keep the names: `NameTable` in memory, `listed.ListedNames` in a list of objects on disk.

    Attributes
    ----------
    root : bytes
        Folder of relative names; empty if the paths have no common root.
    """

    root: bytes

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Number of bytes in memory."""

    @abstractmethod
    def parts(self, i: int) -> tuple[bytes, bytes]:
        """Return the folder of file ``i``, relative to the root, and its name."""

    def relative(self, i: int) -> bytes:
        """Return the path of file ``i``, relative to the root."""
        folder, name = self.parts(i)
        return folder + self._separator + name if folder else name

    def path(self, i: int) -> bytes:
        """Return the path of file ``i`` for system calls."""
        return self._prefix + self.relative(i)

    def show(self, i: int) -> str:
        """Return the path of file ``i`` for messages and JSON, with undecodable bytes escaped."""
        return show(self.path(i))

    @abstractmethod
    def common_root(self) -> bytes:
        """Return the deepest known folder that contains all files; empty if there is none."""

    @abstractmethod
    def identity(self) -> Iterator[bytes]:
        """Yield bytes that are different for different paths below `common_root`."""

    @abstractmethod
    def may_match(self, pattern: re.Pattern[bytes]) -> bool:
        """Return False if no name contains a pattern."""

    @abstractmethod
    def ending(self, ends: tuple[bytes, ...], most: int) -> list[int]:
        """Return up to ``most`` evenly spaced files whose names end with one of these four bytes, in lower case."""

    def picked(self, rows: Sequence[int]) -> Names:
        """Return some of the files, in the order of the rows."""
        if len(rows) == len(self):
            return self
        builder = NamesBuilder(self.root)
        for row in rows:
            folder, name = self.parts(row)
            builder.add(folder, (name,))
        return builder.build()

    @cached_property
    def _separator(self) -> bytes:
        """Separator of this system, or of addresses."""
        return b"/" if _SEP == b"/" or is_url(self.root) else _SEP

    @cached_property
    def _prefix(self) -> bytes:
        return paths.join(self.root, b"") if self.root else b""


@dataclass(frozen=True)
class NameTable(Names):
    """Paths of files in memory: names in one blob of bytes with offsets and folders.

    Parameters
    ----------
    root
        Folder of relative names; empty if the paths have no common root.
    folders
        Folders, relative to the root.
    folder
        For each file the index of its folder, shape (n,).
    blob, ends
        All names, concatenated, and the end of each, shape (n,).
    """

    root: bytes
    folders: tuple[bytes, ...]
    folder: NDArray[np.int32]
    blob: bytes
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory."""
        return len(self.blob) + self.ends.nbytes + self.folder.nbytes + sum(map(len, self.folders))

    def parts(self, i: int) -> tuple[bytes, bytes]:
        """Return the folder of file ``i``, relative to the root, and its name."""
        start = int(self.ends[i - 1]) if i else 0
        return self.folders[self.folder[i]], self.blob[start : int(self.ends[i])]

    def common_root(self) -> bytes:
        """Return the deepest known folder that contains all files; empty if there is none."""
        return self.root or common_folder(self.folders)

    def identity(self) -> Iterator[bytes]:
        """Yield the names, their ends, and the folders with slashes on every system."""
        folders, root = self.folders, self.common_root()
        if root and not self.root:
            folders = tuple(paths.relpath(folder, root) for folder in folders)
        yield from (self.blob, self.ends.tobytes(), *(folder.replace(_SEP, b"/") for folder in folders))

    def may_match(self, pattern: re.Pattern[bytes]) -> bool:
        """Return False if no name contains a pattern."""
        return pattern.search(self.blob) is not None

    def ending(self, ends: tuple[bytes, ...], most: int) -> list[int]:
        """Return up to ``most`` evenly spaced files with these suffixes, without a Python object per name."""
        blob = np.frombuffer(self.blob, np.uint8)
        matches = np.zeros(len(self), np.bool_)
        if len(blob) >= 4:
            ends_of_names = np.maximum(self.ends, 4)
            last = np.stack([blob[ends_of_names - i] for i in (4, 3, 2, 1)], axis=1)
            last |= 32 * ((last >= 65) & (last <= 90)).astype(np.uint8)  # in lower case
            for end in ends:
                matches |= (last == np.frombuffer(end, np.uint8)).all(axis=1)
        chosen = np.flatnonzero(matches)
        if not len(chosen):
            return []
        sample = np.linspace(0, len(chosen) - 1, min(most, len(chosen))).astype(np.int64)
        return [int(number) for number in chosen[np.unique(sample)]]

    @cached_property
    def _separator(self) -> bytes:
        """Separator of this system, or of addresses."""
        return b"/" if _SEP == b"/" or is_url(self.root) or any(map(is_url, self.folders)) else _SEP


@dataclass
class NamesBuilder:
    """Builder of a `NameTable`, folder by folder."""

    root: bytes = b""
    folders: dict[bytes, int] = field(default_factory=dict)
    folder: array[int] = field(default_factory=lambda: array("i"))
    blob: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("q"))

    def add(self, folder: bytes, names: Iterable[bytes]) -> int:
        """Add files of one folder in the given order; return their number."""
        index = self.folders.setdefault(folder, len(self.folders))
        before, end = len(self.ends), len(self.blob)
        for name in names:
            end += len(name)
            self.ends.append(end)
            self.blob += name
        count = len(self.ends) - before
        self.folder.extend([index] * count)
        return count

    def build(self) -> NameTable:
        """Return the added files."""
        return NameTable(
            root=self.root,
            folders=tuple(self.folders),
            folder=np.frombuffer(self.folder, np.int32) if self.folder else np.empty(0, np.int32),
            blob=bytes(self.blob),
            ends=np.frombuffer(self.ends, np.int64) if self.ends else np.empty(0, np.int64),
        )


def suffix_of(name: bytes) -> bytes:
    """Return the suffix of a file name in lower case, with the dot; that of compressed volumes has two parts.

    Examples
    --------
    >>> suffix_of(b"a.b.JPG"), suffix_of(b"scan.nii.gz"), suffix_of(b"table.csv.gz"), suffix_of(b".hidden")
    (b'.jpg', b'.nii.gz', b'.gz', b'')
    """
    dot = name.rfind(b".")
    suffix = name[dot:].lower() if dot > 0 else b""
    return _TWO_PARTS if suffix == b".gz" and name[-len(_TWO_PARTS) :].lower() == _TWO_PARTS else suffix


def stem_of(path: bytes) -> bytes:
    """Return a path without its suffix.

    Examples
    --------
    >>> stem_of(b"ill/scan.1.nii.gz")
    b'ill/scan.1'
    """
    name = path[max(path.rfind(b"/"), path.rfind(_SEP)) + 1 :]
    return path[: len(path) - len(suffix_of(name))]


def names_of(files: Sequence[str | bytes | os.PathLike[str]]) -> NameTable:
    """Return a list of paths as names, in the given order."""
    builder = NamesBuilder()
    for path in files:
        folder, name = paths.split(
            paths.abspath(os.fsencode(path))
        )  # must stay valid after a change of the working directory
        builder.add(folder, (name,))
    return builder.build()


def common_folder(folders: Collection[bytes]) -> bytes:
    """Return the deepest folder that contains all folders; empty if there is none.

    Examples
    --------
    >>> common_folder([b"scans/ill/p1", b"scans/ill/p2", b"scans/well"])
    b'scans'
    """
    if not folders:
        return b""
    try:
        return paths.commonpath([min(folders), max(folders)])  # of all, since the others sort between these two
    except ValueError:  # on several drives, or some are relative
        return b""


def show(path: bytes) -> str:
    """Return a path for messages; bytes that are not text and control characters are escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
