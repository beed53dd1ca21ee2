"""Rows of a cache on disk as a source, from which they are rendered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.raw import raw_header
from bitesize.errors import BitesizeError, PackedError, without_frames
from bitesize.files.pread import read_pieces
from bitesize.packed.row_cache import RowCache, SealedShard
from bitesize.pipeline.caching import FROM_JPEG, STATE, CachePlan
from bitesize.sources.base import Source
from bitesize.sources.combine.subset import Subset, row_numbers
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into, Located, raise_bad
from bitesize.spec import Field

# Indexes of some rows of a call, their shard, and their places in it.
Shard = tuple[NDArray[np.int64], SealedShard, NDArray[np.int64]]


class CachedRows(SourceWrapper):
    """Rows of a source as a cache keeps them; only rows that are in the cache can be read.

    Parameters
    ----------
    base
        The source.
    plan
        What is kept.
    """

    def __init__(self, base: Source, plan: CachePlan) -> None:
        super().__init__(base)
        self.__dict__["primary"] = base.primary
        self.spec, self._plan = plan.spec, plan
        self._opened: RowCache | None = None
        self._numbers = row_numbers(base) if _has_subset(base) else None

    def attach(self, cache: RowCache) -> None:
        """Set the rows, once memory for their index is charged."""
        self._opened = cache

    @property
    def _cache(self) -> RowCache:
        assert self._opened is not None
        return self._opened

    def found(
        self, rows: NDArray[np.int64], versions_of: Callable[[NDArray[np.int64]], NDArray[np.uint64]]
    ) -> NDArray[np.bool_]:
        """Return which rows are in the cache, in the version that their files have now; ``versions_of`` returns those of numbers."""
        if self._opened is None:
            return np.zeros(len(rows), np.bool_)
        numbers = self.numbers(rows)
        return self._opened.find(numbers, versions_of(numbers))

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of rows in the opened data, under which the cache keeps them."""
        return rows if self._numbers is None else self._numbers[rows]

    @property
    def numbers_nbytes(self) -> int:
        """Bytes of the row numbers of a subset."""
        return 0 if self._numbers is None else self._numbers.nbytes

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return where rows of fixed shape lie."""
        if not isinstance(self.spec[self.primary], Field):
            return None
        if self._opened is None:  # asked how rows are read, before any are
            return Located([b""], np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64))
        try:
            shards = self._cache.places(self.numbers(rows))
        except KeyError:  # another thread has found the shard damaged
            return None
        which, offsets = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        paths = []
        for number, (of, sealed, places) in enumerate(shards):
            fixed = sealed.fixed[self.primary]
            which[of], offsets[of] = number, fixed.offset + places * fixed.row_nbytes
            paths.append(fixed.path)
        return Located(paths, which, offsets)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read masks, for rows that were located."""
        others = {name: into[name] for name in self.spec if name in into and name != self.primary}
        if others:
            self.read(rows, others)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows from their shards. A shard that cannot be read is dropped, and its rows fail."""
        try:
            shards = self._cache.places(self.numbers(rows))
        except KeyError:
            raise_bad(dict.fromkeys(range(len(rows)), PackedError("a shard of the cache is gone")))
            return
        failed: dict[int, Exception] = {}
        which = np.empty(len(rows), np.int64)
        for number, (of, _, _) in enumerate(shards):
            which[of] = number
        for name in self.spec:
            if name in into:
                offsets, buffers = self._pieces(name, shards, into[name], failed)
                paths = [sealed.paths[name] for _, sealed, _ in shards]
                for i, error in read_pieces(paths, which, offsets, buffers).items():
                    of, sealed, _ = shards[which[i]]
                    self._cache.drop(sealed.info, error)
                    failed |= dict.fromkeys(of.tolist(), without_frames(PackedError(str(error))))
        raise_bad(failed)

    def _pieces(
        self, name: str, shards: Sequence[Shard], into: Any, failed: dict[int, Exception]
    ) -> tuple[NDArray[np.int64], list[memoryview | None]]:
        """Return where each row of a field begins in its file, and its buffer; None if it gets none."""
        count = sum(len(of) for of, _, _ in shards)
        offsets, buffers = np.zeros(count, np.int64), list[memoryview | None]([None] * count)
        for of, sealed, places in shards:
            fixed = sealed.fixed.get(name)
            if fixed is not None:
                offsets[of] = fixed.offset + places * fixed.row_nbytes
                for i in of.tolist():
                    buffers[i] = memoryview(into[i : i + 1].reshape(-1).view(np.uint8))
                continue
            starts, stops = sealed.offsets[name][places], sealed.offsets[name][places + 1]
            offsets[of] = starts
            for k, (i, nbytes) in enumerate(zip(of.tolist(), (stops - starts).tolist(), strict=True)):
                header = self._header(name, sealed, int(places[k]))
                try:
                    data = into.put(i, len(header) + nbytes)
                except BitesizeError as error:  # no memory is left: read later, alone
                    failed[i] = error
                    continue
                data[: len(header)] = header
                buffers[i] = data[len(header) :]
        return offsets, buffers

    def _header(self, name: str, sealed: SealedShard, place: int) -> bytes:
        """Return the header of decoded pixels; nothing for other fields."""
        field = self._plan.fields[name]
        if field.kind != "pixels":
            return b""
        assert field.dtype is not None
        state = int(sealed.numbers[STATE][place])
        shape = tuple(sealed.shapes[name][place].tolist())
        return raw_header(shape, field.dtype, state & ~FROM_JPEG, from_jpeg=bool(state & FROM_JPEG))


def _has_subset(source: Source) -> bool:
    while isinstance(source, SourceWrapper):
        if isinstance(source, Subset):
            return True
        source = source.base
    return False
