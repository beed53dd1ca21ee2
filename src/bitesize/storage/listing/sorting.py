"""Sorting more objects than fit into memory: sorted runs in one temporary file, which are merged."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import BinaryIO

from bitesize.storage.base import Entry
from bitesize.storage.listing.blocks import OBJECTS, Block, Record, encode_block, encoded
from bitesize.storage.natural import key_bytes

RUN = 100_000  # objects that are sorted at once: about 60 MB
_order = itemgetter(0)


class Runs:
    """Objects in any order, to be returned in the order of lists.

    Parameters
    ----------
    prefix
        Start of all keys, which is cut off.
    file
        File for runs, open for writing and reading; used only if there are more than ``run`` objects.
    run
        Number of objects in a run.
    """

    def __init__(self, prefix: str, file: BinaryIO, run: int = RUN) -> None:
        self._cut, self._file, self._run = len(encoded(prefix)), file, run
        self._pending: list[Record] = []
        self._runs: list[list[tuple[int, int]]] = []  # of each run, offset and size of its blocks

    def add(self, entries: Iterable[Entry]) -> None:
        """Add objects."""
        cut = self._cut
        for name, size, version, time in entries:
            key = encoded(name)[cut:]
            self._pending.append(Record(key_bytes(key), key, size, version, time))
        if len(self._pending) >= self._run:
            self._spill()

    def sorted(self) -> Iterator[Record]:
        """Yield all objects in order; of one that was added several times, the youngest."""
        if not self._runs:
            self._pending.sort(key=_order)
            pieces: Iterator[list[Record]] = iter([self._pending])
        else:
            self._spill()
            pieces = _merged([self._read(run) for run in self._runs])
        last: Record | None = None
        for piece in pieces:
            for record in piece:
                if last is not None and last.order == record.order:
                    last = max(last, record, key=lambda each: each.time)
                    continue
                if last is not None:
                    yield last
                last = record
        if last is not None:
            yield last

    def _spill(self) -> None:
        if not self._pending:
            return
        self._pending.sort(key=_order)
        places, at = [], self._file.tell()
        for first in range(0, len(self._pending), OBJECTS):
            block = encode_block(self._pending[first : first + OBJECTS])
            self._file.write(block)
            places.append((at, len(block)))
            at += len(block)
        self._runs.append(places)
        self._pending = []

    def _read(self, places: list[tuple[int, int]]) -> Iterator[list[Record]]:
        for at, size in places:
            self._file.seek(at)
            block = Block(self._file.read(size))
            yield [
                Record(key_bytes(key), key, size, block.version(i), block.time(i))
                for i, (key, size) in enumerate(zip(block.keys(), block.sizes(), strict=True))
            ]


def _merged(runs: list[Iterator[list[Record]]]) -> Iterator[list[Record]]:
    """Yield records of sorted runs in order, in pieces that are as long as they come from one run."""
    chunks: list[list[Record]] = []
    heap: list[tuple[bytes, int, int]] = []  # order of the next record, number of the run, position in its chunk
    for number, run in enumerate(runs):
        chunks.append(next(run))
        heap.append((chunks[number][0].order, number, 0))
    heapq.heapify(heap)
    while heap:
        _, number, at = heap[0]
        chunk = chunks[number]
        # The next record of another run is one of the two children of the smallest.
        limit = min((each[0] for each in heap[1:3]), default=None)
        end = len(chunk) if limit is None else bisect_right(chunk, limit, at, key=_order)
        yield chunk[at:end]
        if end == len(chunk):
            following = next(runs[number], None)
            if following is None:
                heapq.heappop(heap)
                continue
            chunks[number], chunk, end = following, following, 0
        heapq.heapreplace(heap, (chunk[end].order, number, end))
