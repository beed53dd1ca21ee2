"""Reading ahead from object stores: what the next rows of the order need is requested before a thread needs it.

A request takes 20 ms to 200 ms, and a server answers many at the same time. Threads that each wait for a few rows would send few.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching, Place
from bitesize.errors import BitesizeError
from bitesize.memory.request import MemoryRequest
from bitesize.memory.sizes import format_size
from bitesize.pipeline.stored_rows import is_remote
from bitesize.sources.base import Source
from bitesize.spec import Field
from bitesize.storage import remote
from bitesize.storage.ahead import Body, Part, ReadAhead
from bitesize.storage.limiter import LIMITER, MOST
from bitesize.storage.requests import LARGEST, read_ahead
from bitesize.storage.url import is_url

AHEAD = "read ahead"
# Rows whose parts show how many bytes a row needs.
_SAMPLE = 256
# Bytes that obstore holds for a request in flight, in addition to the body: its HTTP client reads ahead, and keeps its buffers.
_CONNECTION, _LARGEST_CONNECTION = 64 << 10, 3 << 19
# Requests that wait in memory for threads, for each one in flight: the order of answers differs from the order of rows.
_ROUNDS = 2
_LEAST = 2  # requests in flight, also in a small budget
# Share of the free budget that reading ahead takes at most.
_SHARE = 4
# Rows that are looked up at once.
_STEP = 16
_log = logging.getLogger("bitesize")


@dataclass(frozen=True)
class RemoteNeed:
    """Need of the rows of a source for requests to object stores.

    Attributes
    ----------
    typical, largest : int
        Bytes of a typical and of the largest request of a sample of rows, which is requested ahead; 0 if rows are read in chunks.
    in_flight : int
        Number of requests that there may be at the same time.
    """

    typical: int
    largest: int

    in_flight: int = _LEAST

    @property
    def _connection(self) -> int:
        """Bytes of a request in flight, in addition to its body."""
        return min(_LARGEST_CONNECTION, _CONNECTION + 5 * self.typical) if self.typical else _LARGEST_CONNECTION

    @property
    def bodies(self) -> int:
        """Bytes of bodies that are on the way or wait."""
        return max(self.largest, self.in_flight * _ROUNDS * self.typical)

    @property
    def request(self) -> MemoryRequest:
        """Request of memory for requests in flight, and for bodies that wait."""
        what = f" of {format_size(self.typical)}, before rows are needed" if self.typical else ""
        detail = f"up to {self.in_flight} requests to servers at the same time{what}"
        return MemoryRequest(AHEAD, self.in_flight * self._connection + self.bodies, "loader", detail)

    def fitted(self, free: int, threads: int) -> RemoteNeed:
        """Return the need with as many requests in flight as suit a budget with ``free`` bytes, and threads that can wait for them."""
        each = self._connection + _ROUNDS * self.typical
        return replace(self, in_flight=max(_LEAST, min(MOST, threads, free // _SHARE // each)))


class HasRows(Protocol):
    """A cache of rows."""

    def found(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are in the cache."""


class _Row(NamedTuple):
    """Some rows of a batch, from the first one on; rows compare in the order in which they are read."""

    place: Place
    first: int


def remote_need(source: Source, *, by_chunk: bool) -> RemoteNeed | None:
    """Return what rows of a source need from object stores; None if they are not there."""
    if not is_remote(source):
        return None
    count = len(source)
    rows = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    sizes = [part.nbytes for part in parts_of(source, rows)] if not by_chunk else []
    return RemoteNeed(max(1, int(np.mean(sizes))), max(sizes)) if sizes else RemoteNeed(0, 0)


def parts_of(source: Source, rows: NDArray[np.int64]) -> list[Part]:
    """Return the parts of objects that reading some rows requests, in the order of the rows; none for data on disk."""
    paths = [path for row in rows.tolist() for path in source.paths(row)]
    if paths:
        parts = map(_whole, paths)
        return [part for part in parts if part is not None and 0 < part.nbytes <= LARGEST]
    field = source.spec[source.primary]
    located = source.locate(rows) if isinstance(field, Field) else None
    if located is None or located.in_memory or not located.paths or not is_url(located.paths[0]):
        return []
    assert isinstance(field, Field)
    if field.nbytes > LARGEST:
        return []
    wholes = {number: _whole(located.paths[number]) for number in np.unique(located.which).tolist()}
    pairs = zip(located.which.tolist(), located.offsets.tolist(), strict=True)
    return [
        whole._replace(offset=offset, nbytes=field.nbytes)
        for number, offset in pairs
        if (whole := wholes[number]) is not None
    ]


def _whole(path: bytes) -> Part | None:
    """Return a whole object as one part; None for files on disk, and for objects that are not there."""
    if not is_url(path):
        return None
    address = os.fsdecode(path)
    try:
        entry = remote.entry(address)
    except BitesizeError:  # raised when the row is read
        return None
    return Part(address, 0, entry.size, entry.version)


class RowsAhead:
    """Requests what the rows of a stream need, in their order, as far ahead as the memory allows.

    Parameters
    ----------
    source
        Source of the rows.
    batching
        Batches of the loader.
    need
        What rows need, and how many requests there may be at the same time.
    caches
        Caches on disk and in memory, whose rows need no requests.
    """

    def __init__(self, source: Source, batching: Batching, need: RemoteNeed, caches: Sequence[HasRows] = ()) -> None:
        self._source, self._batching, self._caches = source, batching, caches
        self._ahead, self._in_flight = ReadAhead(need.bodies, read_ahead, _ROUNDS * need.in_flight), need.in_flight
        self._by_chunk, self._closed = not need.typical, False
        self._place: Place | None = None
        self._rows: NDArray[np.int64] = np.empty(0, np.int64)
        self._parts: deque[tuple[_Row, Part]] = deque()
        self._bodies: dict[Place, list[Body]] = {}
        self._row = _Row((0, 0), 0)

    def start(self, place: Place) -> None:
        """Begin at another place. What was requested for the former one is dropped."""
        self._ahead.drop()
        if self._closed:
            return
        LIMITER.allow(self, self._in_flight)
        self._place, self._rows = (None if self._by_chunk else place), np.empty(0, np.int64)
        self._parts.clear()
        self._bodies.clear()

    def advance(self, place: Place, start: int) -> None:
        """Request the next parts for which there is room. One thread at a time.

        Parameters
        ----------
        place, start
            Batch whose rows are read now, and the first of these rows: what precedes them is no longer needed.
        """
        if self._place is None:
            return
        bodies: list[Body] = []
        try:
            while self._parts or self._look_up(place[0]):
                row, part = self._parts[0]
                # Not if all these rows have been read already, nor if there will never be room for the part.
                if row > (place, start - _STEP) and part.nbytes <= self._ahead.limit:
                    body = self._ahead.place(part)
                    if body is None:
                        break
                    bodies.append(body)
                    self._bodies.setdefault(row.place, []).append(body)
                self._parts.popleft()
        finally:  # threads wait for what has a place
            if bodies:
                self._ahead.request(bodies)

    def finished(self, place: Place) -> None:
        """Drop the unread parts of a complete batch."""
        self._ahead.drop(self._bodies.pop(place, []))

    def stop(self) -> None:
        """Repeat no request from now on. From any thread."""
        self._ahead.closed = True

    def close(self) -> None:
        """Forget everything, and request nothing any more."""
        self._closed, self._place = True, None
        self._ahead.close()
        LIMITER.allow(self, 0)

    def _look_up(self, epoch: int) -> bool:
        """Add the parts of the next rows, of this epoch and the next; return whether there are any."""
        for _ in range(_STEP):  # rows may have no parts, such as those of a cache
            if not self._rows.size and not self._next_batch(epoch):
                return False
            rows, self._rows = self._rows[:_STEP], self._rows[_STEP:]
            try:
                self._parts += [(self._row, part) for part in self._parts_of(rows)]
            except Exception:  # noqa: BLE001 - of a source; raised when the rows are read, where it is an error of these rows
                _log.debug("rows %s are not requested ahead", rows.tolist(), exc_info=True)
            self._row = _Row(self._row.place, self._row.first + rows.size)
            if self._parts:
                return True
        return False

    def _next_batch(self, epoch: int) -> bool:
        """Go on with the rows of the next batch; return False if it may never be read."""
        place = self._place
        if place is None or place[0] > epoch + 1:
            return False
        self._place = None  # if an error follows, which is raised when the batch is made
        step = self._batching.step(*place)
        self._row, self._place, self._rows = _Row(place, 0), self._batching.after(*place), step.rows[: step.real]
        return True

    def _parts_of(self, rows: NDArray[np.int64]) -> list[Part]:
        """Return the parts of those rows that no cache has."""
        for cache in self._caches:
            rows = rows[~cache.found(rows)] if rows.size else rows
        return parts_of(self._source, rows) if rows.size else []
