"""Compact lists of paths: names in one blob of bytes with offsets and folders, without a Python object per file."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bitesize.storage import paths
from bitesize.storage.url import is_url

_SEP = os.fsencode(os.sep)


@dataclass(frozen=True)
class Names:
    """Paths of files, by number, stored as bytes, because file names need not be text.

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

    def relative(self, i: int) -> bytes:
        """Return the path of file ``i``, relative to the root."""
        folder, name = self.parts(i)
        return folder + self._separator + name if folder else name

    def path(self, i: int) -> bytes:
        """Return the path of file ``i`` for system calls."""
        return self._prefix + self.relative(i)

    @cached_property
    def _separator(self) -> bytes:
        """Separator of this system, or of addresses."""
        return b"/" if _SEP == b"/" or is_url(self.root) or any(map(is_url, self.folders)) else _SEP

    @cached_property
    def _prefix(self) -> bytes:
        return paths.join(self.root, b"") if self.root else b""

    def show(self, i: int) -> str:
        """Return the path of file ``i`` for messages and JSON, with undecodable bytes escaped."""
        return show(self.path(i))


@dataclass
class NamesBuilder:
    """Builder of `Names`, folder by folder."""

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

    def build(self) -> Names:
        """Return the added files as `Names`."""
        return Names(
            root=self.root,
            folders=tuple(self.folders),
            folder=np.frombuffer(self.folder, np.int32) if self.folder else np.empty(0, np.int32),
            blob=bytes(self.blob),
            ends=np.frombuffer(self.ends, np.int64) if self.ends else np.empty(0, np.int64),
        )


def names_of(files: Sequence[str | bytes | os.PathLike[str]]) -> Names:
    """Return a list of paths as `Names`, in the given order."""
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
