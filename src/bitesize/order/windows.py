"""Shuffling in windows: read neighboring rows together, and select rows at random from those in memory.

`coordinates` has a drawing of the streams and windows.

Each pass puts the chunks of a source (chunks, row groups, parts of a file) in a random order, which makes one line of rows. Chunks that
share what they read with the next one are a group: groups are put in a random order, and their chunks stay one after another. The line is cut into streams, and each stream into windows, whose rows are shuffled. A batch takes its rows stream by stream. A rank
whose part of a batch belongs to some of the streams reads only the chunks of those streams.

Streams start their windows at different times, so that reading ahead is spread evenly. Every other stream runs backward. A chunk in
which one stream ends and the next stream starts is then needed by both streams at the same time, and is read once.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from bitesize.array_like import refuse_endless
from bitesize.errors import BadSetting
from bitesize.order.coordinates import ChunkNumber, PassNumber, PassPosition, StreamNumber, StreamTime, WindowNumber
from bitesize.order.mix64 import keys, mix64
from bitesize.order.permutation import permute, rounds

# Part of the keys, in addition to seed and pass, so that they do not collide with the keys (seed, epoch) of other shuffles.
_CHUNKS, _ROWS = 0xB10C, 0x3059

# Number of chunks that are processed together, small enough to need little memory.
_MANY = 65_536


class _Line(NamedTuple):
    """The chunks in the order of a pass, and the end of each of them in the line."""

    chunks: NDArray[np.int64]
    ends: NDArray[np.int64]


class Windows:
    """A shuffle that stays within windows of a line of shuffled chunks.

    Parameters
    ----------
    n
        Number of rows.
    seed
        Any integer.
    chunks
        Starts of the chunks, shape (chunks,) or, with n at the end, (chunks + 1,): ascending row numbers from 0.
    window
        Least number of rows to select from. Larger if a batch or the largest chunk needs it.
    streams
        Number of windows in use at the same time, at most the rows of a batch.
    batch_size
        Rows in a (global) batch.
    groups
        First row of each group of chunks that stay one after another, shape (groups,); None if each chunk is a group.

    Attributes
    ----------
    starts : ndarray of int64, shape (chunks + 1,)
        Starts of the chunks, and n.
    cuts : ndarray of int64, shape (streams + 1,)
        Offsets within a batch at which each stream's part starts, and the batch size.
    shares, lengths : ndarray of int64, shape (streams,)
        Rows of each stream in a batch, and in a pass.
    window_rows : int
        Rows of a window in one stream.
    largest_chunk, odd_rows : int
        Rows of the largest chunk, and total rows of all smaller chunks.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        chunks: ArrayLike,
        window: int,
        streams: int,
        batch_size: int,
        groups: ArrayLike | None = None,
    ) -> None:
        self.n, self.seed, self.batch_size = n, seed, batch_size
        self.starts = check_chunks(chunks, n)
        self._groups = None if groups is None else check_groups(groups, self.starts)
        self.streams = min(streams, batch_size)
        self.cuts = np.arange(self.streams + 1, dtype=np.int64) * batch_size // self.streams
        self.shares = np.diff(self.cuts)
        full, rest = divmod(n, batch_size)
        self.lengths = full * self.shares + np.clip(rest - self.cuts[:-1], 0, self.shares)
        self._lengths = self.lengths.tolist()
        self._begins = (np.cumsum(self.lengths) - self.lengths).tolist()
        self.largest_chunk, self.odd_rows = _sizes(self.starts)
        self.window_rows = max(-(-window // self.streams), self.largest_chunk, int(self.shares.max()))
        # Rows by which the first window of each stream is shorter.
        self._missing = [stream * self.window_rows // self.streams for stream in range(self.streams)]
        self.digest = xxhash.xxh3_128_hexdigest(self.starts.data)
        if self._groups is not None:
            self.digest = xxhash.xxh3_128_hexdigest(self.starts.tobytes() + self._groups.tobytes())
        self._lines: dict[PassNumber, _Line] = {}
        self._shuffled: dict[tuple[PassNumber, StreamNumber, WindowNumber], NDArray[np.int64]] = {}
        self._changing = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Pickle the settings only; everything else is computed again."""
        groups = None if self._groups is None else self.starts[self._groups[:-1]]
        return Windows, (
            self.n, self.seed, self.starts, self.window_rows * self.streams, self.streams, self.batch_size, groups
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Bytes of the chunk starts, of the chunk order in two passes, and of the cached windows."""
        kept = (2 * self.streams + 2) * min(self.window_rows, self.n)
        line = 8 if self._groups is None else 12
        return 8 * (line * len(self.starts) + kept + 4 * self.window_rows)

    def times(self, position: PassPosition) -> NDArray[np.int64]:
        """Return the time of each stream at a position of a pass: the number of rows that it has yielded before."""
        batches, offset = divmod(position, self.batch_size)
        times: NDArray[np.int64] = batches * self.shares + np.clip(offset - self.cuts[:-1], 0, self.shares)
        return times

    def positions(self, stream: StreamNumber, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions in a pass of the rows that a stream yields at the given times (0 for its first row)."""
        batches, offsets = np.divmod(times, self.shares[stream])
        positions: NDArray[np.int64] = batches * self.batch_size + self.cuts[stream] + offsets
        return positions

    def window_at(self, stream: StreamNumber, time: StreamTime) -> WindowNumber:
        """Return the number of a stream's window at a time."""
        return WindowNumber((time + self._missing[stream]) // self.window_rows)

    def bounds(self, stream: StreamNumber, window: WindowNumber) -> tuple[StreamTime, StreamTime]:
        """Return the times [begin, end) at which a stream yields the rows of a window."""
        begin = window * self.window_rows - self._missing[stream]
        return StreamTime(max(begin, 0)), StreamTime(min(begin + self.window_rows, self._lengths[stream]))

    def chunk_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the chunk of each row."""
        chunks: NDArray[np.int64] = np.searchsorted(self.starts, rows, side="right") - 1
        return chunks

    def chunk_rows(self, number: ChunkNumber) -> int:
        """Return the number of rows in a chunk."""
        return int(self.starts[number + 1] - self.starts[number])

    def chunk(self, row: NDArray[np.int64]) -> tuple[int, int]:
        """Return the rows [start, stop) of the chunk that contains a row, shape (1,)."""
        number = int(self.chunk_of(row)[0])
        return int(self.starts[number]), int(self.starts[number + 1])

    def rows(self, number: PassNumber, start: PassPosition, stop: PassPosition) -> NDArray[np.int64]:
        """Return the row numbers at positions ``start`` to ``stop - 1`` of a pass."""
        batches, offsets = np.divmod(np.arange(start, stop, dtype=np.int64), self.batch_size)
        streams = np.searchsorted(self.cuts, offsets, side="right") - 1
        times = batches * self.shares[streams] + offsets - self.cuts[streams]
        out = np.empty(stop - start, np.int64)
        for stream in map(StreamNumber, np.flatnonzero(np.bincount(streams, minlength=self.streams)).tolist()):
            of_stream = np.flatnonzero(streams == stream)
            first, last = times[of_stream[[0, -1]]].tolist()  # times of a stream ascend, without gaps
            for window in map(WindowNumber, range(self.window_at(stream, first), self.window_at(stream, last) + 1)):
                begin, end = self.bounds(stream, window)
                start_time, stop_time = max(begin, first), min(end, last + 1)
                rows = self.shuffled_rows(number, stream, window)[start_time - begin : stop_time - begin]
                out[of_stream[start_time - first : stop_time - first]] = rows
        return out

    def shuffled_rows(self, number: PassNumber, stream: StreamNumber, window: WindowNumber) -> NDArray[np.int64]:
        """Return the rows of a window of a pass, in the order in which they are yielded. The last few windows are cached."""
        key = number, stream, window
        with self._changing:
            rows = self._shuffled.pop(key, None)
            if rows is None:
                rows = self._shuffle(number, stream, window)
                rows.flags.writeable = False
                if len(self._shuffled) > 2 * self.streams:
                    del self._shuffled[next(iter(self._shuffled))]
            self._shuffled[key] = rows  # as the newest
        return rows

    def _shuffle(self, number: PassNumber, stream: StreamNumber, window: WindowNumber) -> NDArray[np.int64]:
        begin, end = self.bounds(stream, window)
        key = np.uint64(keys((self.seed, number, _ROWS, stream, window), 1)[0])
        # Sorting by random numbers gives an even shuffle; equal numbers (rare, with 64 bits) keep their order.
        shuffled = np.argsort(mix64(np.arange(end - begin, dtype=np.uint64) + key), kind="stable").astype(np.int64)
        line = self._line(number)
        line_rows = self._line_rows(stream, begin + shuffled)
        indices = np.searchsorted(line.ends, line_rows, side="right")
        rows: NDArray[np.int64] = self.starts[line.chunks[indices] + 1] - (line.ends[indices] - line_rows)
        return rows

    def chunk_at(self, number: PassNumber, stream: StreamNumber, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of a stream's chunks at the given times of a pass."""
        line = self._line(number)
        return line.chunks[np.searchsorted(line.ends, self._line_rows(stream, times), side="right")]

    def _line_rows(self, stream: StreamNumber, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in the line of the rows that a stream takes at the given times, before they are shuffled."""
        rows: NDArray[np.int64] = self._begins[stream] + (self._lengths[stream] - 1 - times if stream % 2 else times)
        return rows

    def _line(self, number: PassNumber) -> _Line:
        """Return the chunks in the order of a pass."""
        line = self._lines.pop(number, None)
        if line is None:
            count = len(self.starts if self._groups is None else self._groups) - 1
            chunks, key = np.arange(count, dtype=np.int64), keys((self.seed, number, _CHUNKS), rounds(count))
            for part in (slice(i, i + _MANY) for i in range(0, count, _MANY)):
                chunks[part] = permute(count, key, chunks[part])
            if self._groups is not None:
                chunks = _chunks_of(self._groups, chunks)
            if len(self._lines) > 1:  # a pass and the next
                del self._lines[next(iter(self._lines))]
            ends = self.starts[chunks + 1]
            ends -= self.starts[chunks]
            line = _Line(chunks, np.cumsum(ends, out=ends))
        self._lines[number] = line  # as the newest
        return line


def _chunks_of(groups: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the chunks of groups, one group after another."""
    begins, sizes = groups[numbers], groups[numbers + 1] - groups[numbers]
    chunks: NDArray[np.int64] = np.repeat(begins - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
    return chunks


def _sizes(starts: NDArray[np.int64]) -> tuple[int, int]:
    """Return the rows of the largest chunk, and the total rows of all smaller chunks. Computed in parts, to save memory."""
    parts = [starts[i : i + _MANY + 1] for i in range(0, len(starts) - 1, _MANY)]
    largest = max(int(np.diff(part).max()) for part in parts)
    whole = sum(int(np.count_nonzero(np.diff(part) == largest)) for part in parts)
    return largest, int(starts[-1]) - whole * largest


def check_chunks(chunks: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return the starts of the chunks, with n at the end. Raise `BadSetting` if they are not valid."""
    refuse_endless(chunks, "chunks")
    starts = np.asarray(chunks)
    if starts.ndim != 1 or not starts.size or starts.dtype.kind not in "iu":
        raise BadSetting("chunks must be a list of row numbers at which chunks start")
    starts = starts.astype(np.int64)
    if starts[-1] != n:
        starts = np.append(starts, n)
    if starts[0] != 0 or (np.diff(starts) < 1).any():
        raise BadSetting(f"chunks must start at row 0, ascend, and be below the number of rows ({n})")
    return starts


def check_groups(groups: ArrayLike, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first chunk of each group, with the number of chunks at the end. Raise `BadSetting` if they are not valid."""
    refuse_endless(groups, "groups")
    rows = np.asarray(groups)
    if (
        rows.ndim != 1
        or not rows.size
        or rows.dtype.kind not in "iu"
        or rows[0] != 0
        or not np.isin(rows, starts[:-1]).all()
    ):
        raise BadSetting("groups must be a list of row numbers at which chunks start, from row 0")
    if (np.diff(rows.astype(np.int64)) < 1).any():
        raise BadSetting("groups must ascend")
    return np.append(np.searchsorted(starts, rows), len(starts) - 1).astype(np.int64)
