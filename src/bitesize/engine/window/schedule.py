"""Schedule of chunks to read before each batch, for orders with windows."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching, BatchRows
from bitesize.order.windows import Windows

# A chunk, and the number of its rows that will be requested.
Due = tuple[int, int]


class _Queued(NamedTuple):
    """A chunk that should be in memory before one batch, and must be before another; ``number`` is the order of queuing."""

    wanted: int
    number: int
    needed: int
    chunk: int
    uses: int


class PrefetchSchedule:
    """Lists the chunks to read before each batch, so that they are in memory when they are needed, and not long before.

    The next window of a stream is read while the last part of its current window is used. Streams take turns, so about one window is
    read at a time. The first windows of a pass are read during the last windows of the previous pass, if memory allows.

    Parameters
    ----------
    steps
        Batches of an order with windows.
    epoch, position
        Place of the first batch.
    """

    def __init__(self, steps: Batching, epoch: int, position: int) -> None:
        self._steps = steps
        self._windows = _windows(steps)
        self._begun = epoch, position
        self._repeat, self._pass = steps.order.repeat, steps.order.pass_length
        # Whether all batches take the same number of rows from a stream, so that the batch that needs a window is known.
        self._even = position % steps.batch_size == 0 and _even(steps)
        self._end = self._pass  # end of the used part of a pass
        if self._even and steps.last == "drop":
            self._end -= self._pass % steps.batch_size
        self._used = self._windows.times(self._end)  # rows that each stream yields in a pass
        number, within = self._pass_at(epoch, position)
        times = self._windows.times(within)
        self._streams = own_streams(steps) if position % steps.batch_size == 0 else list(range(self._windows.streams))
        self._next = {stream: (number, self._windows.window_at(stream, int(times[stream]))) for stream in self._streams}
        self._batches = 0
        self._queue: list[_Queued] = []
        self._queued = 0
        # Chunks in memory after the previous batches, with the number of their rows that are still needed.
        self._left: dict[int, int] = {}
        self._room = resident_rows(steps, all_streams=position % steps.batch_size != 0)
        self._before = np.empty(0, np.int64)  # rows of the previous batch
        self._carried: dict[int, int] = {}  # by stream, a chunk that continues in its next window, and was already queued

    def due(self, step: BatchRows) -> list[Due]:
        """Return the chunks to read before a batch, which must follow the batch of the previous call."""
        number, within = self._pass_at(step.epoch, min(step.position + self._steps.batch_size, self._steps.order.length))
        times = self._windows.times(within)
        for stream in self._streams:
            self._look_ahead(stream, number, within, int(times[stream]))
        self._count_down(self._before)
        self._before = step.rows[: step.real].copy()
        due: list[Due] = []
        postponed = []
        while self._queue and self._queue[0].wanted <= self._batches:
            queued = heapq.heappop(self._queue)
            if (
                queued.chunk in self._left
                or self._windows.chunk_rows(queued.chunk) <= self._room
                or queued.needed <= self._batches
            ):
                due.append((queued.chunk, queued.uses))
                self._room -= 0 if queued.chunk in self._left else self._windows.chunk_rows(queued.chunk)
                self._left[queued.chunk] = self._left.get(queued.chunk, 0) + queued.uses
            else:
                postponed.append(queued)
        for queued in postponed:
            heapq.heappush(self._queue, queued)
        self._batches += 1
        return due

    def _count_down(self, rows: NDArray[np.int64]) -> None:
        """Record that rows have been used."""
        for chunk, uses in zip(*np.unique(self._windows.chunk_of(rows), return_counts=True), strict=True):
            self._left[int(chunk)] -= int(uses)
            if not self._left[int(chunk)]:
                del self._left[int(chunk)]
                self._room += self._windows.chunk_rows(int(chunk))

    def _pass_at(self, epoch: int, position: int) -> tuple[int, int]:
        within, place = divmod(position, self._pass)
        return epoch * self._repeat + within, place

    def _look_ahead(self, stream: int, number: int, position: int, time: int) -> None:
        """Queue the windows of a stream that start soon, given the stream's time and the position in a pass."""
        windows = self._windows
        while True:
            its_pass, window = self._next[stream]
            begin, end = windows.bounds(stream, window)
            end = min(end, int(self._used[stream]))
            if begin >= end:
                self._next[stream] = its_pass + 1, 0
                if not self._used[stream] and its_pass > number:
                    return  # a stream without rows
                continue
            away = (its_pass - number) * int(self._used[stream]) + begin - time
            if away > (windows.window_rows // windows.streams if window else self._last_window(stream)):
                return
            self._queue_window(
                its_pass, stream, window, self._batches_until(stream, its_pass - number, position, begin - time, begin)
            )
            self._next[stream] = its_pass, window + 1

    def _batches_until(self, stream: int, passes: int, position: int, away: int, begin: int) -> int:
        """Return the number of batches, including this one, before a batch needs the window that starts ``passes`` and ``away`` later."""
        batch, share = self._steps.batch_size, int(self._windows.shares[stream])
        if self._even and passes:
            return 1 - (position - self._end) // batch + (passes - 1) * -(-self._end // batch) + begin // share
        away += passes * int(self._used[stream])
        if away < 0:
            return 0  # this batch needs it
        if self._even:
            return 1 + away // share
        # With the largest number of rows that a batch may take from the stream; and an epoch may drop its last rows.
        fastest = min(batch, (batch // self._windows.batch_size + 2) * share)
        return 1 + max(0, away // fastest - 1)

    def _last_window(self, stream: int) -> int:
        """Return the number of rows in the last window of a stream in a pass."""
        used = int(self._used[stream])
        return used - self._windows.bounds(stream, self._windows.window_at(stream, max(0, used - 1)))[0]

    def _queue_window(self, number: int, stream: int, window: int, batches: int) -> None:
        """Queue the chunks of a window that this rank uses, spread over ``batches`` batches."""
        uses = dict(zip(*self._uses(number, stream, window), strict=True))
        uses.pop(self._carried.pop(stream, -1), None)  # queued with the previous window
        end = min(self._windows.bounds(stream, window)[1], int(self._used[stream]))
        if end < self._used[stream]:
            last, following = self._windows.chunk_at(number, stream, np.array([end - 1, end])).tolist()
            if last == following:  # a chunk that continues in the next window must stay until then
                more = dict(zip(*self._uses(number, stream, window + 1), strict=True)).get(last, 0)
                uses[last] = uses.get(last, 0) + more
                self._carried[stream] = last
        for i, (chunk, count) in enumerate(uses.items()):
            if count:
                wanted = self._batches + i * batches // len(uses)
                heapq.heappush(self._queue, _Queued(wanted, self._queued, self._batches + batches, chunk, count))
                self._queued += 1

    def _uses(self, number: int, stream: int, window: int) -> tuple[list[int], list[int]]:
        """Return the chunks of a window, and the number of rows of each that this rank uses."""
        begin, end = self._windows.bounds(stream, window)
        times = np.arange(begin, min(end, int(self._used[stream])))
        epoch, within = divmod(number, self._repeat)
        positions = within * self._pass + self._windows.positions(stream, times)
        origin = self._begun[1] if epoch == self._begun[0] else 0
        rows = self._windows.drawn(number, stream, window)[: len(times)][self._steps.own(positions, origin)]
        chunks, uses = np.unique(self._windows.chunk_of(rows), return_counts=True)
        return chunks.tolist(), uses.tolist()


def own_streams(steps: Batching) -> list[int]:
    """Return the streams from which this rank gets rows."""
    windows = _windows(steps)
    if not _even(steps):
        return list(range(windows.streams))  # batches are cut across streams, at different rows in each batch
    start, stop = steps.shard.share(steps.batch_size)
    return [stream for stream in range(windows.streams) if windows.cuts[stream] < stop and windows.cuts[stream + 1] > start]


def resident_rows(steps: Batching, all_streams: bool = False) -> int:
    """Return an upper bound for the rows of all chunks that must be in memory at one time.

    Each stream has a window. Streams near the end of their window also have the next one; they are few, since streams take turns. If
    a batch may have rows of two passes, each stream has its last window and its first.
    """
    windows = _windows(steps)
    streams, largest, window_rows = (
        windows.streams if all_streams else len(own_streams(steps)),
        windows.largest_chunk,
        windows.window_rows,
    )
    # Windows that end within one batch and the rows that are read ahead.
    share = steps.batch_size if not _even(steps) else int(windows.shares.max())
    near = (share + window_rows // windows.streams + 1) * windows.streams // window_rows + 1
    stretches = streams if _even(steps) and not all_streams else 2 * streams
    # A window of equal chunks cuts two of them. Smaller chunks add at most their own rows, wherever they are.
    equal = (
        stretches * (-(-(window_rows - 1) // largest) + 1) + near * -(-window_rows // largest)
    ) * largest + windows.odd_rows
    return min(equal, stretches * (window_rows + 2 * (largest - 1)) + near * window_rows, windows.n)


def _even(steps: Batching) -> bool:
    """Return whether all batches take the same number of rows from each stream, and every pass starts with a new batch."""
    whole = steps.order.repeat == 1 or steps.order.pass_length % steps.batch_size == 0
    return whole and _windows(steps).batch_size == steps.batch_size


def _windows(steps: Batching) -> Windows:
    windows = steps.order.windows
    assert windows is not None
    return windows
