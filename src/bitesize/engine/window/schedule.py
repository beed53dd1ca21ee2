"""Schedule of chunks to load before each batch, for orders with windows. `order.coordinates` has a drawing of them."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching, BatchRows
from bitesize.order.coordinates import (
    ChunkNumber,
    EpochPosition,
    PassNumber,
    PassPosition,
    StreamNumber,
    StreamTime,
    WindowNumber,
)
from bitesize.order.order import Shard
from bitesize.order.windows import Windows

# Number of ranks that read a chunk, on average, from which it is worth a word.
_MANY_READERS = 1.5


class ChunkLoad(NamedTuple):
    """A chunk to load, and the number of its rows that will be requested."""

    chunk: ChunkNumber
    uses: int


class _QueuedLoad(NamedTuple):
    """A load that should be finished before one batch of the schedule, and must be before another."""

    wanted: int
    sequence: int  # loads that are wanted before the same batch stay in the order of queuing
    needed: int
    load: ChunkLoad


class PrefetchSchedule:
    """Lists the chunks to load before each batch, so that they are in memory when they are needed, and not long before.

    The next window of a stream is loaded while the last part of its current window is used. Streams take turns, so about one window is
    loaded at a time. The first windows of a pass are loaded during the last windows of the previous pass, if memory allows.

    Parameters
    ----------
    batching
        Batches of an order with windows.
    epoch, position
        Place of the first batch.
    """

    def __init__(self, batching: Batching, epoch: int, position: EpochPosition) -> None:
        self._batching = batching
        self._windows = windows = _windows(batching)
        self._first_epoch, self._first_position = epoch, position
        self._repeat, self._pass_length = batching.order.repeat, batching.order.pass_length
        aligned = position % batching.batch_size == 0
        # Whether all batches take the same number of rows from a stream, so that the batch that needs a window is known.
        self._even = aligned and _even(batching)
        self._used_length = self._pass_length  # rows of a pass that are in batches
        if self._even and batching.last == "drop":
            self._used_length -= self._pass_length % batching.batch_size
        # The time at which each stream ends in a pass.
        self._end_times: list[StreamTime] = windows.times(PassPosition(self._used_length)).tolist()
        number, within = self._pass_at(epoch, position)
        times: list[StreamTime] = windows.times(within).tolist()
        self._streams = own_streams(batching) if aligned else _all_streams(windows)
        self._next = {stream: (number, windows.window_at(stream, times[stream])) for stream in self._streams}
        self._batches = 0  # batches so far
        self._queue: list[_QueuedLoad] = []
        self._queued = 0  # loads so far
        # Chunks in memory after the previous batches, with the number of their rows that are still needed.
        self._needed_rows: dict[ChunkNumber, int] = {}
        self._free_rows = resident_rows(batching, all_streams=not aligned)  # rows that memory has room for
        self._previous_rows = np.empty(0, np.int64)  # rows of the previous batch
        self._carried: dict[
            StreamNumber, ChunkNumber
        ] = {}  # a chunk that continues in the next window, and is already queued

    def due(self, step: BatchRows) -> list[ChunkLoad]:
        """Return the chunks to load before a batch, which must follow the batch of the previous call."""
        end = min(step.position + self._batching.batch_size, self._batching.order.length)
        number, within = self._pass_at(step.epoch, EpochPosition(end))
        times: list[StreamTime] = self._windows.times(within).tolist()
        for stream in self._streams:
            self._look_ahead(stream, number, within, times[stream])
        self._count_used(self._previous_rows)
        self._previous_rows = step.rows[: step.real].copy()
        due: list[ChunkLoad] = []
        postponed = []
        while self._queue and self._queue[0].wanted <= self._batches:
            queued = heapq.heappop(self._queue)
            chunk, uses = queued.load
            rows = 0 if chunk in self._needed_rows else self._windows.chunk_rows(chunk)
            if rows <= self._free_rows or not rows or queued.needed <= self._batches:
                due.append(queued.load)
                self._free_rows -= rows
                self._needed_rows[chunk] = self._needed_rows.get(chunk, 0) + uses
            else:
                postponed.append(queued)
        for queued in postponed:
            heapq.heappush(self._queue, queued)
        self._batches += 1
        return due

    def _count_used(self, rows: NDArray[np.int64]) -> None:
        """Subtract rows that have been used from the needed rows of their chunks."""
        chunks, counts = np.unique(self._windows.chunk_of(rows), return_counts=True)
        for chunk, uses in zip(chunks.tolist(), counts.tolist(), strict=True):
            self._needed_rows[chunk] -= uses
            if not self._needed_rows[chunk]:
                del self._needed_rows[chunk]
                self._free_rows += self._windows.chunk_rows(chunk)

    def _pass_at(self, epoch: int, position: EpochPosition) -> tuple[PassNumber, PassPosition]:
        number, within = divmod(position, self._pass_length)
        return PassNumber(epoch * self._repeat + number), PassPosition(within)

    def _look_ahead(self, stream: StreamNumber, number: PassNumber, position: PassPosition, time: StreamTime) -> None:
        """Queue the windows of a stream that start soon, at a position of a pass and the time of the stream there."""
        windows, end_time = self._windows, self._end_times[stream]
        while True:
            next_pass, window = self._next[stream]
            begin, end = windows.bounds(stream, window)
            if begin >= min(end, end_time):
                self._next[stream] = PassNumber(next_pass + 1), WindowNumber(0)
                if not end_time and next_pass > number:
                    return  # a stream without rows
                continue
            passes = next_pass - number
            if passes * end_time + begin - time > (
                windows.window_rows // windows.streams if window else self._last_window_rows(stream)
            ):
                return
            self._queue_window(next_pass, stream, window, self._batches_until(stream, passes, position, time, begin))
            self._next[stream] = next_pass, WindowNumber(window + 1)

    def _batches_until(
        self, stream: StreamNumber, passes: int, position: PassPosition, time: StreamTime, begin: StreamTime
    ) -> int:
        """Return the number of batches, including this one, before a batch needs the window that begins ``passes`` later."""
        batch, share = self._batching.batch_size, int(self._windows.shares[stream])
        if self._even and passes:
            return (
                1 - (position - self._used_length) // batch + (passes - 1) * -(-self._used_length // batch) + begin // share
            )
        rows = begin - time + passes * self._end_times[stream]  # that the stream yields until then
        if rows < 0:
            return 0  # this batch needs it
        if self._even:
            return 1 + rows // share
        # With the largest number of rows that a batch may take from the stream; and an epoch may drop its last rows.
        fastest = min(batch, (batch // self._windows.batch_size + 2) * share)
        return 1 + max(0, rows // fastest - 1)

    def _last_window_rows(self, stream: StreamNumber) -> int:
        """Return the number of rows in the last window of a stream in a pass."""
        end = self._end_times[stream]
        return end - self._windows.bounds(stream, self._windows.window_at(stream, StreamTime(max(0, end - 1))))[0]

    def _queue_window(self, number: PassNumber, stream: StreamNumber, window: WindowNumber, batches: int) -> None:
        """Queue the chunks of a window that this rank uses, spread over ``batches`` batches."""
        uses = self._uses(number, stream, window)
        uses.pop(self._carried.pop(stream, ChunkNumber(-1)), None)  # queued with the previous window
        end = self._windows.bounds(stream, window)[1]
        if end < self._end_times[stream]:
            last, following = self._windows.chunk_at(number, stream, np.array([end - 1, end])).tolist()
            if last == following:  # a chunk that continues in the next window must stay until then
                more = self._uses(number, stream, WindowNumber(window + 1)).get(last, 0)
                uses[last] = uses.get(last, 0) + more
                self._carried[stream] = last
        for i, (chunk, count) in enumerate(uses.items()):
            if count:
                wanted = self._batches + i * batches // len(uses)
                load = ChunkLoad(chunk, count)
                heapq.heappush(self._queue, _QueuedLoad(wanted, self._queued, self._batches + batches, load))
                self._queued += 1

    def _uses(self, number: PassNumber, stream: StreamNumber, window: WindowNumber) -> dict[ChunkNumber, int]:
        """Return the chunks of a window, with the number of rows of each that this rank uses."""
        begin, end = self._windows.bounds(stream, window)
        times = np.arange(begin, min(end, self._end_times[stream]))
        epoch, pass_of_epoch = divmod(number, self._repeat)
        positions = pass_of_epoch * self._pass_length + self._windows.positions(stream, times)
        origin = self._first_position if epoch == self._first_epoch else 0
        rows = self._windows.shuffled_rows(number, stream, window)[: len(times)][self._batching.own(positions, origin)]
        chunks, counts = np.unique(self._windows.chunk_of(rows), return_counts=True)
        return dict(zip(chunks.tolist(), counts.tolist(), strict=True))


def own_streams(batching: Batching) -> list[StreamNumber]:
    """Return the streams from which this rank gets rows."""
    windows = _windows(batching)
    if not _even(batching):
        return _all_streams(windows)  # batches are cut across streams, at different rows in each batch
    start, stop = batching.shard.share(batching.batch_size)
    return [stream for stream in _all_streams(windows) if windows.cuts[stream] < stop and windows.cuts[stream + 1] > start]


def shared_line(batching: Batching) -> str:
    """Return a sentence about chunks that several ranks read, with the setting that avoids it; "" if most chunks are read by one rank."""
    windows, shard, rows = _windows(batching), batching.shard, batching.batch_size
    if shard.world_size == 1:
        return ""
    if not _even(batching):
        return (
            f"each of {shard.world_size} ranks reads all chunks, because its part of a batch is of other streams in each batch: the order has "
            f"batch_size={windows.batch_size} and repeat={batching.order.repeat} (use the same batch_size, and repeat=1)"
        )
    borders = {Shard(rank, shard.world_size).share(rows)[0] for rank in range(shard.world_size)}
    # Ranks and streams both cut a batch into parts; each border that they do not share makes one rank more read a stream.
    readers = (len(borders | set(windows.cuts[:-1].tolist()))) / windows.streams
    if readers < _MANY_READERS:
        return ""
    streams = -(-windows.streams // shard.world_size) * shard.world_size
    return (
        f"each chunk is read by {readers:.1f} ranks on average, because {shard.world_size} ranks divide {windows.streams} streams of the "
        f"window (bs.Order(..., window={max(batching.order.window or 0, streams * windows.largest_chunk)}, streams={streams}) avoids it)"
    )


def _all_streams(windows: Windows) -> list[StreamNumber]:
    return [StreamNumber(stream) for stream in range(windows.streams)]


def resident_rows(batching: Batching, all_streams: bool = False) -> int:
    """Return an upper bound for the rows of all chunks that must be in memory at one time.

    Each stream has a window. Streams near the end of their window also have the next one; they are few, since streams take turns. If
    a batch may have rows of two passes, each stream has its last window and its first.
    """
    windows = _windows(batching)
    even, largest, window_rows = _even(batching), windows.largest_chunk, windows.window_rows
    streams = windows.streams if all_streams else len(own_streams(batching))
    # Windows that end within one batch and the rows that are loaded ahead.
    share = int(windows.shares.max()) if even else batching.batch_size
    ending = (share + window_rows // windows.streams + 1) * windows.streams // window_rows + 1
    begun = streams if even and not all_streams else 2 * streams
    # A window of equal chunks cuts two of them. Smaller chunks add at most their own rows, wherever they are.
    chunks = begun * (-(-(window_rows - 1) // largest) + 1) + ending * -(-window_rows // largest)
    with_equal_chunks = chunks * largest + windows.odd_rows
    return min(with_equal_chunks, begun * (window_rows + 2 * (largest - 1)) + ending * window_rows, windows.n)


def _even(batching: Batching) -> bool:
    """Return whether all batches take the same number of rows from each stream, and every pass starts with a new batch."""
    whole = batching.order.repeat == 1 or batching.order.pass_length % batching.batch_size == 0
    return whole and _windows(batching).batch_size == batching.batch_size


def _windows(batching: Batching) -> Windows:
    windows = batching.order.windows
    assert windows is not None
    return windows
