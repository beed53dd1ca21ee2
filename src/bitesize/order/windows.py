"""Shuffling in windows: rows that are cheap together are read together, and drawn at random from what is in memory.

The chunks of a source (chunks, row groups, parts of a file) are put in a random order each pass, which makes one line of rows. That
line is cut into streams, and each stream into windows, whose rows are shuffled. A batch takes its rows stream by stream, so a rank
whose share of a batch is some of the streams reads those streams' chunks alone.

Streams begin their windows at different times, so that reading ahead is spread evenly. Every other stream goes backward: a chunk in which
one stream ends and the next begins is then needed by both at the same time, and is read once.
"""

from __future__ import annotations

import threading

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from bitesize.array_like import refuse_endless
from bitesize.errors import BadSetting
from bitesize.order.mix64 import keys, mix64
from bitesize.order.permutation import permute, rounds

# What keys are for, beside seed and pass: the order of the chunks; what they do not collide with is (seed, epoch) of other shuffles.
_RUNS, _ROWS = 0xB10C, 0x3059

# Chunks that are worked on together: so many need little memory.
_MANY = 65_536
# Chunks in the order of a pass, and where each of them ends.
_Line = tuple[NDArray[np.int64], NDArray[np.int64]]


class Windows:
    """A shuffle that stays within windows of a line of shuffled chunks.

    Parameters
    ----------
    n
        Number of rows.
    seed
        Any integer.
    chunks
        Where chunks begin, shape (chunks,) or, with n at the end, (chunks + 1,): ascending row numbers from 0 on.
    window
        Rows from which the next are drawn, at least; more where a batch or the largest chunks ask for it.
    streams
        How many windows there are side by side; at most as many as a batch has rows.
    batch_size
        Rows of a (global) batch.

    Attributes
    ----------
    starts : ndarray of int64, shape (chunks + 1,)
        Where chunks begin, and n.
    cuts : ndarray of int64, shape (streams + 1,)
        Which places of a batch are of which stream.
    shares, lengths : ndarray of int64, shape (streams,)
        Rows of each stream in a batch, and in a pass.
    stretch : int
        Rows of a window in one stream.
    largest_run, odd_rows : int
        Rows of the largest chunk; and of all chunks that are smaller, together.
    """

    def __init__(self, n: int, seed: int, chunks: ArrayLike, window: int, streams: int, batch_size: int) -> None:
        self.n, self.seed, self.batch_size = n, seed, batch_size
        self.starts = check_chunks(chunks, n)
        self.streams = min(streams, batch_size)
        self.cuts = np.arange(self.streams + 1, dtype=np.int64) * batch_size // self.streams
        self.shares = np.diff(self.cuts)
        full, rest = divmod(n, batch_size)
        self.lengths = full * self.shares + np.clip(rest - self.cuts[:-1], 0, self.shares)
        self._begins = np.cumsum(self.lengths) - self.lengths
        self.largest_chunk, self.odd_rows = _sizes(self.starts)
        self.window_rows = max(-(-window // self.streams), self.largest_chunk, int(self.shares.max()))
        self._offsets = np.arange(self.streams, dtype=np.int64) * self.window_rows // self.streams
        self.digest = xxhash.xxh3_128_hexdigest(self.starts.data)
        self._lines: dict[int, _Line] = {}
        self._drawn: dict[tuple[int, int, int], NDArray[np.int64]] = {}
        self._changing = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Travel as settings: what was worked out is worked out again."""
        return Windows, (self.n, self.seed, self.starts, self.window_rows * self.streams, self.streams, self.batch_size)

    @property
    def nbytes(self) -> int:
        """Bytes of the chunks, of their order in two passes, and of the windows that are kept."""
        kept = (2 * self.streams + 2) * min(self.window_rows, self.n)
        return 8 * (8 * len(self.starts) + kept + 4 * self.window_rows)

    def times(self, position: int) -> NDArray[np.int64]:
        """Tell how many rows each stream has given before a position of a pass."""
        batches, place = divmod(position, self.batch_size)
        times: NDArray[np.int64] = batches * self.shares + np.clip(place - self.cuts[:-1], 0, self.shares)
        return times

    def positions(self, stream: int, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tell the positions in a pass of the rows that a stream gives as its first, second ..."""
        batches, place = np.divmod(times, self.shares[stream])
        positions: NDArray[np.int64] = batches * self.batch_size + self.cuts[stream] + place
        return positions

    def window_at(self, stream: int, time: int) -> int:
        """Number the window that a stream is in when it has given so many rows."""
        return (time + int(self._offsets[stream])) // self.window_rows

    def bounds(self, stream: int, number: int) -> tuple[int, int]:
        """Tell which rows of a stream, in the order in which it gives them, are in a window."""
        begin = number * self.window_rows - int(self._offsets[stream])
        return max(begin, 0), min(begin + self.window_rows, int(self.lengths[stream]))

    def chunk_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the chunk that each row is in."""
        chunks: NDArray[np.int64] = np.searchsorted(self.starts, rows, side="right") - 1
        return chunks

    def chunk_rows(self, number: int) -> int:
        """Count the rows of a chunk."""
        return int(self.starts[number + 1] - self.starts[number])

    def chunk(self, row: NDArray[np.int64]) -> tuple[int, int]:
        """Tell which rows [start, stop) are in the chunk of a row, shape (1,)."""
        number = int(self.chunk_of(row)[0])
        return int(self.starts[number]), int(self.starts[number + 1])

    def rows(self, number: int, start: int, stop: int) -> NDArray[np.int64]:
        """Tell the rows at positions ``start`` to ``stop - 1`` of a pass."""
        batches, place = np.divmod(np.arange(start, stop, dtype=np.int64), self.batch_size)
        streams = np.searchsorted(self.cuts, place, side="right") - 1
        times = batches * self.shares[streams] + place - self.cuts[streams]
        out = np.empty(stop - start, np.int64)
        for stream in np.flatnonzero(np.bincount(streams, minlength=self.streams)).tolist():
            own = np.flatnonzero(streams == stream)
            mine = times[own]  # ascending, without gaps
            for window in range(self.window_at(stream, int(mine[0])), self.window_at(stream, int(mine[-1])) + 1):
                begin, end = self.bounds(stream, window)
                first, last = max(begin, int(mine[0])), min(end, int(mine[-1]) + 1)
                drawn = self.drawn(number, stream, window)[first - begin : last - begin]
                out[own[first - int(mine[0]) : last - int(mine[0])]] = drawn
        return out

    def drawn(self, number: int, stream: int, window: int) -> NDArray[np.int64]:
        """Tell the rows of a window of a pass, in the order in which they are given; the last few windows are kept."""
        key = number, stream, window
        with self._changing:
            kept = self._drawn.pop(key, None)
            if kept is None:
                kept = self._draw(number, stream, window)
                kept.flags.writeable = False
                if len(self._drawn) > 2 * self.streams:
                    del self._drawn[next(iter(self._drawn))]
            self._drawn[key] = kept  # as the newest
        return kept

    def _draw(self, number: int, stream: int, window: int) -> NDArray[np.int64]:
        begin, end = self.bounds(stream, window)
        key = np.uint64(keys((self.seed, number, _ROWS, stream, window), 1)[0])
        # Sorted by random numbers: as even as they are, and two of 64 bits that are equal keep their order.
        shuffled = np.argsort(mix64(np.arange(end - begin, dtype=np.uint64) + key), kind="stable").astype(np.int64)
        place, line, (chunks, ends) = self._place(number, stream, begin + shuffled)
        rows: NDArray[np.int64] = self.starts[chunks[place] + 1] - (ends[place] - line)
        return rows

    def chunk_at(self, number: int, stream: int, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the chunks that a stream is in when it has read so many rows of a pass."""
        place, _, (chunks, _) = self._place(number, stream, times)
        return chunks[place]

    def _place(
        self, number: int, stream: int, times: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], _Line]:
        """Tell where in the line a stream reads its rows: at which of the chunks, and at which rows."""
        line = self._begins[stream] + (self.lengths[stream] - 1 - times if stream % 2 else times)
        order = self._line(number)
        return np.searchsorted(order[1], line, side="right"), line, order

    def _line(self, number: int) -> _Line:
        """Order the chunks of a pass; tell where each of them ends in the line."""
        line = self._lines.pop(number, None)
        if line is None:
            count = len(self.starts) - 1
            chunks, key = np.arange(count, dtype=np.int64), keys((self.seed, number, _RUNS), rounds(count))
            for part in (slice(i, i + _MANY) for i in range(0, count, _MANY)):
                chunks[part] = permute(count, key, chunks[part])
            if len(self._lines) > 1:  # a pass and the next
                del self._lines[next(iter(self._lines))]
            ends = self.starts[chunks + 1]
            ends -= self.starts[chunks]
            line = chunks, np.cumsum(ends, out=ends)
        self._lines[number] = line  # as the newest
        return line


def _sizes(starts: NDArray[np.int64]) -> tuple[int, int]:
    """Tell the rows of the largest chunk, and those of all smaller ones together; in parts, since there may be very many."""
    parts = [starts[i : i + _MANY + 1] for i in range(0, len(starts) - 1, _MANY)]
    largest = max(int(np.diff(part).max()) for part in parts)
    whole = sum(int(np.count_nonzero(np.diff(part) == largest)) for part in parts)
    return largest, int(starts[-1]) - whole * largest


def check_chunks(chunks: ArrayLike, n: int) -> NDArray[np.int64]:
    """Give where chunks begin, and n at the end; or raise `BadSetting` if that cannot be."""
    refuse_endless(chunks, "chunks")
    starts = np.asarray(chunks)
    if starts.ndim != 1 or not starts.size or starts.dtype.kind not in "iu":
        raise BadSetting("chunks must be a list of row numbers at which chunks begin")
    starts = starts.astype(np.int64)
    if starts[-1] != n:
        starts = np.append(starts, n)
    if starts[0] != 0 or (np.diff(starts) < 1).any():
        raise BadSetting(f"chunks must begin with row 0, ascend, and stay below the {n} rows there are")
    return starts
