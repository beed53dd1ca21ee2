"""Names of files that stay in a large list of objects on disk, and the files of its folders, found without looking at each object."""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import xxhash
from numpy.typing import NDArray

from bitesize.files.names import Names, suffix_of
from bitesize.storage import stores
from bitesize.storage.listing.folders import MARKER, VARIOUS
from bitesize.storage.natural import split_bytes
from bitesize.storage.object_list import ObjectList
from bitesize.storage.url import is_url, split_url

LARGE = 100_000  # objects of a list whose names stay on disk; names of fewer take some megabytes
_OWN = (".json", VARIOUS)  # suffixes of files that mark folders that bitesize wrote


def large_list(folder: bytes) -> ObjectList | None:
    """Return the list of objects that a folder belongs to, if it is large."""
    found = stores.listed(os.fsdecode(folder)) if is_url(folder) else None
    return found if found is not None and len(found) >= LARGE else None


@dataclass
class ListedFiles:
    """The data files of one folder of a list of objects.

    Attributes
    ----------
    ranges : list of tuple
        First number, and the one after the last, of consecutive objects.
    kinds : Counter
        Number of files of each suffix.
    litter : int
        Number of hidden and system files, which are left out.
    others : list of tuple
        Of the other files that are left out: a name, its suffix, and how many files it stands for.
    """

    ranges: list[tuple[int, int]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    litter: int = 0
    others: list[tuple[bytes, bytes, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.ranges)


def listed_files(
    found: ObjectList, folder: bytes, suffixes: frozenset[bytes], is_litter: Callable[[bytes], bool]
) -> ListedFiles:
    """Return the files of a folder that have one of these suffixes.

    Objects are looked at only if the folder also has files of other suffixes.
    """
    number = found.folder_number(_inside(found, folder))
    files = ListedFiles()
    if number is None:
        return files
    table = found.folders
    first, stop = int(table.first[number]), int(table.first[number] + table.count[number])
    counts = table.counts(number)
    markers = counts.pop(MARKER, 0)
    aside = found.standing_for_folders(first, stop)
    # Suffixes of names that systems use are in no format.
    if len(aside) == markers and all(suffix.encode() in suffixes for suffix in counts):
        files.kinds.update(counts)
        edges = [first - 1, *aside, stop]
        files.ranges = [(low + 1, high) for low, high in pairwise(edges) if low + 1 < high]
        return files
    _look(found, first, stop, frozenset(aside), suffixes, is_litter, files)
    return files


def _look(
    found: ObjectList, first: int, stop: int, aside: frozenset[int], suffixes: frozenset[bytes],
    is_litter: Callable[[bytes], bool], files: ListedFiles,
) -> None:  # fmt: skip
    """Sort the objects of one folder by their names."""
    kinds: Counter[bytes] = Counter()
    others: Counter[tuple[bytes, bytes]] = Counter()  # by the last two suffixes, which decide the reason
    for number, key in enumerate(found.keys(first, stop), first):
        if number in aside:
            continue
        _, name = split_bytes(key)
        if is_litter(name):
            files.litter += 1
            continue
        suffix = suffix_of(name)
        if suffix not in suffixes:
            dot = len(name) - len(suffix) if suffix else -1
            before = name.rfind(b".", 0, dot) if dot > 0 else -1
            others[(b"x" + name[before:].lower() if before > 0 else b"x" + suffix, suffix)] += 1
            continue
        kinds[suffix] += 1
        if files.ranges and files.ranges[-1][1] == number:
            files.ranges[-1] = (files.ranges[-1][0], number + 1)
        else:
            files.ranges.append((number, number + 1))
    files.kinds.update({os.fsdecode(suffix): count for suffix, count in kinds.items()})
    files.others = [(name, suffix, count) for (name, suffix), count in others.items()]


def may_be_own(found: ObjectList, folder: bytes) -> bool:
    """Return False if a folder has no file that marks folders that bitesize wrote, and is no folder of such folders."""
    number = found.folder_number(_inside(found, folder))
    if folder.endswith(b"/runs"):
        return True
    return number is not None and any(suffix in _OWN for suffix in found.folders.counts(number))


class ListedNames(Names):
    """Names of files in a list of objects: some of its objects, by ranges of their numbers, or by number if the ranges are short.

    Parameters
    ----------
    root
        Address of the folder of relative names.
    found
        The list.
    starts, stops
        Ranges of objects, in order, shape (ranges,) each.
    kinds
        Number of files of each suffix.
    """

    def __init__(
        self, root: bytes, found: ObjectList, starts: NDArray[np.int64], stops: NDArray[np.int64], kinds: Counter[str]
    ) -> None:
        self.root, self._found, self._kinds = root, found, kinds
        self._cut = len(_inside(found, root))
        self._cut += self._cut > 0
        lengths = stops - starts
        self._ends: NDArray[np.int64] = np.cumsum(lengths)
        self._starts = starts
        self._count = int(self._ends[-1]) if len(starts) else 0
        self._numbers: NDArray[np.uint32] | None = None
        if 4 * len(starts) > self._count and len(found) < 1 << 32:  # numbers take less memory than ranges
            self._numbers = (np.repeat(starts - self._ends + lengths, lengths) + np.arange(self._count)).astype(np.uint32)
            self._ends = self._starts = np.empty(0, np.int64)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory, with those of the list."""
        numbers = 0 if self._numbers is None else self._numbers.nbytes
        return self._ends.nbytes + self._starts.nbytes + numbers + self._found.nbytes

    def relative(self, i: int) -> bytes:
        """Return the path of file ``i``, relative to the root."""
        return self._found.relative(self.number(i))[self._cut :]

    def parts(self, i: int) -> tuple[bytes, bytes]:
        """Return the folder of file ``i``, relative to the root, and its name."""
        return split_bytes(self.relative(i))

    def number(self, i: int) -> int:
        """Return the number of the object of file ``i``."""
        if not 0 <= i < self._count:
            raise IndexError(f"file {i:,} of {self._count:,}")
        if self._numbers is not None:
            return int(self._numbers[i])
        part = bisect_right(self._ends, i)
        return int(self._starts[part]) + i - (int(self._ends[part - 1]) if part else 0)

    def common_root(self) -> bytes:
        """Return the root."""
        return self.root

    def identity(self) -> Iterator[bytes]:
        """Yield a hash of all paths. It differs from that of the same names in memory."""
        seen = xxhash.xxh3_128()
        for names in self._chunks():
            seen.update(b"\n".join([b"%d %s" % (len(name), name) for name in names]))
        yield b"listed" + seen.digest()

    def may_match(self, pattern: re.Pattern[bytes]) -> bool:
        """Return False if no name contains a pattern."""
        return any(pattern.search(b"\n".join([name[name.rfind(b"/") + 1 :] for name in names])) for names in self._chunks())

    def ending(self, ends: tuple[bytes, ...], most: int) -> list[int]:
        """Return up to ``most`` evenly spaced files whose names end with one of these four bytes, in lower case."""
        count = sum(count for suffix, count in self._kinds.items() if os.fsencode(suffix)[-4:] in ends)
        if not count:
            return []
        chosen: range | array[int] = range(self._count)
        if count < self._count:
            chosen, at = array("q"), 0
            for names in self._chunks():
                chosen.extend(at + i for i, name in enumerate(names) if name[-4:].lower() in ends)
                at += len(names)
        return [
            chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, min(most, len(chosen))).astype(np.int64)).tolist()
        ]

    def _chunks(self) -> Iterator[list[bytes]]:
        """Yield all paths relative to the root, some thousands at a time."""
        if self._numbers is not None:
            for at in range(0, self._count, 4096):
                yield [self.relative(i) for i in range(at, min(self._count, at + 4096))]
            return
        for start, stop in zip(self._starts.tolist(), self._stops().tolist(), strict=True):
            for at in range(start, stop, 4096):
                yield [key[self._cut :] for key in self._found.keys(at, min(stop, at + 4096))]

    def _stops(self) -> NDArray[np.int64]:
        return self._starts + np.diff(self._ends, prepend=0)


class ListedNamesBuilder:
    """Builder of `ListedNames`, folder by folder."""

    def __init__(self, root: bytes, found: ObjectList) -> None:
        self._root, self._found, self._kinds = root, found, Counter[str]()
        self._starts, self._stops = array("q"), array("q")

    def add(self, _folder: bytes, files: ListedFiles) -> int:
        """Add the files of one folder, and return their number."""
        for start, stop in files.ranges:
            if self._stops and self._stops[-1] == start:
                self._stops[-1] = stop
            else:
                self._starts.append(start)
                self._stops.append(stop)
        self._kinds.update(files.kinds)
        return len(files)

    def build(self) -> ListedNames:
        """Return the added files."""
        starts, stops = np.array(self._starts, np.int64), np.array(self._stops, np.int64)
        return ListedNames(self._root, self._found, starts, stops, self._kinds)


def _inside(found: ObjectList, folder: bytes) -> bytes:
    """Return the path of a folder after the prefix of a list."""
    key = os.fsencode(split_url(folder).key)
    return key[len(found.prefix.encode("utf-8", "surrogateescape")) :]
