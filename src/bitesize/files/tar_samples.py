"""Which members of tar files are one sample, as WebDataset writes them: a few arrays, and no Python object per member that stays."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from bitesize.files.tar_index import TarIndex


class Samples:
    """Members of the same key, the part of their names before the first dot; the part after it is their kind.

    Attributes
    ----------
    kinds : dict of str to int
        Number of each kind, in order of first occurrence.
    passed_over : int
        Number of members that are not regular files.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}
        self.passed_over = 0
        self._blob = bytearray()
        self._ends, self._shard = array("q"), array("i")  # of samples
        self._sample, self._kind, self._offset, self._size = array("q"), array("i"), array("q"), array("q")  # of members

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, shard: int, index: TarIndex) -> None:
        """Add the samples of a file; a repeated member of a key and kind starts a new sample."""
        latest: dict[str, int] = {}  # the last sample of each key
        kinds_of: list[int] = []  # bits of the kinds of each sample of this file
        first = len(self)
        self.passed_over += index.passed_over
        for i in range(len(index.ends)):
            folder, slash, name = index.name(i).rpartition("/")
            key, dot, kind = name.partition(".")
            if not dot or not key:
                continue
            full = folder + slash + key
            number = self.kinds.setdefault(kind.lower(), len(self.kinds))
            sample = latest.get(full)
            if sample is None or kinds_of[sample - first] >> number & 1:
                sample = latest[full] = len(self)
                kinds_of.append(0)
                self._blob += full.encode("utf-8", "surrogateescape")
                self._ends.append(len(self._blob))
                self._shard.append(shard)
            kinds_of[sample - first] |= 1 << number
            self._sample.append(sample)
            self._kind.append(number)
            self._offset.append(int(index.offsets[i]))
            self._size.append(int(index.sizes[i]))

    def kinds_of_first(self) -> list[str]:
        """Return the kinds of the members of the first sample."""
        names = list(self.kinds)
        return [names[kind] for kind, sample in zip(self._kind, self._sample, strict=True) if not sample]

    def names(self) -> tuple[bytes, NDArray[np.int64]]:
        """Return the keys of all samples, concatenated, and the end of each."""
        return bytes(self._blob), np.array(self._ends, np.int64)

    def shards(self) -> NDArray[np.int32]:
        """Return the file of each sample."""
        return np.array(self._shard, np.int32)

    def extents(self, kind: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the offset of the member of a kind in the file of each sample, and its bytes; -1 if there is none."""
        offsets, sizes = np.full((2, len(self)), -1, np.int64)
        mine = np.frombuffer(self._kind, np.int32) == self.kinds.get(kind, -1)
        samples = np.frombuffer(self._sample, np.int64)[mine]
        offsets[samples] = np.frombuffer(self._offset, np.int64)[mine]
        sizes[samples] = np.frombuffer(self._size, np.int64)[mine]
        return offsets, sizes
