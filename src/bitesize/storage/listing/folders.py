"""The folders of a list of objects: where each starts, and how many objects of which suffix it has."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bitesize.storage.natural import split_bytes

# In place of suffixes: of names that start with a dot; of empty objects that stand for folders; of suffixes that are not counted.
HIDDEN, MARKER, VARIOUS = "/", "//", "*"
_MOST = 1000  # different suffixes that are counted
_LONGEST = 16


@dataclass(frozen=True)
class FolderTable:
    """All folders that have objects of their own, in the order of the list.

    Attributes
    ----------
    first, count, nbytes : NDArray[np.int64]
        Number of the first object, number of objects, and sum of their known sizes, shape (n,).
    paths, ends : NDArray
        Paths after the prefix, without a slash at the end, concatenated; and the end of each, shape (n,). That of the prefix itself is empty.
    suffixes : tuple of str
        All suffixes in lower case, with the dot; also ``""``, `HIDDEN`, `MARKER` and `VARIOUS`.
    kinds : NDArray[np.int64]
        For each folder and suffix in it: number of the folder, of the suffix, number of objects, sum of sizes; shape (m, 4), sorted by folder.
    """

    first: NDArray[np.int64]
    count: NDArray[np.int64]
    nbytes: NDArray[np.int64]
    paths: NDArray[np.uint8]
    ends: NDArray[np.int64]
    suffixes: tuple[str, ...]
    kinds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    def path(self, folder: int) -> bytes:
        """Return the path of a folder after the prefix; empty for the prefix itself."""
        start = int(self.ends[folder - 1]) if folder else 0
        return self.paths[start : int(self.ends[folder])].tobytes()

    def counts(self, folder: int) -> dict[str, int]:
        """Return the number of objects of each suffix in a folder."""
        low, high = np.searchsorted(self.kinds[:, 0], (folder, folder + 1))
        return {self.suffixes[suffix]: int(count) for _, suffix, count, _ in self.kinds[low:high].tolist()}

    def of(self, number: int) -> int:
        """Return the folder of an object."""
        return int(np.searchsorted(self.first, number, "right")) - 1

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the arrays by name."""
        names = ("first", "count", "nbytes", "paths", "ends", "kinds")
        return {f"folder_{name}": getattr(self, name) for name in names}

    @property
    def memory(self) -> int:
        """Bytes of the arrays."""
        return sum(each.nbytes for each in self.arrays().values())


@dataclass
class FolderBuilder:
    """Builder of a `FolderTable`, from objects in order."""

    first: array[int] = field(default_factory=lambda: array("q"))
    count: array[int] = field(default_factory=lambda: array("q"))
    nbytes: array[int] = field(default_factory=lambda: array("q"))
    paths: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("q"))
    suffixes: dict[str, int] = field(default_factory=dict)
    kinds: array[int] = field(default_factory=lambda: array("q"))
    total: int = 0
    _path: bytes | None = None
    _counts: dict[bytes, list[int]] = field(default_factory=dict)

    def add(self, key: bytes, size: int) -> None:
        """Add the next object."""
        folder, name = split_bytes(key)
        if folder != self._path:
            self._close()
            self._path = folder
        dot = name.rfind(b".")
        suffix = name[dot:] if dot > 0 else b""
        if key[-1:] in (b"/", b""):
            suffix = b"//"
        elif name[:1] == b".":
            suffix = b"/"
        count = self._counts.get(suffix)
        if count is None:
            suffix = suffix if len(self._counts) < _MOST else b"*"
            count = self._counts.setdefault(suffix, [0, 0])
        count[0] += 1
        count[1] += max(0, size)
        self.total += 1

    def build(self) -> FolderTable:
        """Return the folders of the added objects."""
        self._close()
        return FolderTable(
            np.array(self.first, np.int64),
            np.array(self.count, np.int64),
            np.array(self.nbytes, np.int64),
            np.frombuffer(bytes(self.paths), np.uint8),
            np.array(self.ends, np.int64),
            tuple(self.suffixes),
            np.array(self.kinds, np.int64).reshape(-1, 4),
        )

    def _close(self) -> None:
        """Append the folder whose last object was added."""
        if self._path is None:
            return
        number, count, nbytes = len(self.first), 0, 0
        counts: dict[int, list[int]] = {}
        for suffix, (objects, size) in self._counts.items():
            kind = counts.setdefault(self._suffix(suffix), [0, 0])
            kind[0] += objects
            kind[1] += size
            count, nbytes = count + objects, nbytes + size
        for kind_number, (objects, size) in sorted(counts.items()):
            self.kinds.extend((number, kind_number, objects, size))
        self.first.append(self.total - count)
        self.count.append(count)
        self.nbytes.append(nbytes)
        self.paths += self._path
        self.ends.append(len(self.paths))
        self._counts = {}

    def _suffix(self, suffix: bytes) -> int:
        text = suffix.lower().decode("utf-8", "replace")
        if len(suffix) > _LONGEST or (text not in self.suffixes and len(self.suffixes) >= _MOST) or "\ufffd" in text:
            text = VARIOUS
        return self.suffixes.setdefault(text, len(self.suffixes))
