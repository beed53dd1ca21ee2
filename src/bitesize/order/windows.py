"""Shuffling in windows: rows that are cheap together are read together, and drawn at random from what is in memory.

The runs of a source (chunks, row groups, parts of a file) are put in a random order each pass, which makes one line of rows. That
line is cut into lanes, and each lane into windows, whose rows are shuffled. A batch takes its rows lane by lane, so a rank
whose share of a batch is some of the lanes reads those lanes' runs alone.

Lanes begin their windows at different times, so that reading ahead is spread evenly. Every other lane goes backward: a run in which
one lane ends and the next begins is then needed by both at the same time, and is read once.
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

# What keys are for, beside seed and pass: the order of the runs; what they do not collide with is (seed, epoch) of other shuffles.
_RUNS, _ROWS = 0xB10C, 0x3059

# Runs that are worked on together: so many need little memory.
_MANY = 65_536
# Runs in the order of a pass, and where each of them ends.
_Line = tuple[NDArray[np.int64], NDArray[np.int64]]


class Windows:
    """A shuffle that stays within windows of a line of shuffled runs.

    Parameters
    ----------
    n
        Number of rows.
    seed
        Any integer.
    runs
        Where runs begin, shape (runs,) or, with n at the end, (runs + 1,): ascending row numbers from 0 on.
    window
        Rows from which the next are drawn, at least; more where a batch or the largest runs ask for it.
    lanes
        How many windows there are side by side; at most as many as a batch has rows.
    batch_size
        Rows of a (global) batch.

    Attributes
    ----------
    starts : ndarray of int64, shape (runs + 1,)
        Where runs begin, and n.
    cuts : ndarray of int64, shape (lanes + 1,)
        Which places of a batch are of which lane.
    shares, lengths : ndarray of int64, shape (lanes,)
        Rows of each lane in a batch, and in a pass.
    stretch : int
        Rows of a window in one lane.
    largest_run, odd_rows : int
        Rows of the largest run; and of all runs that are smaller, together.
    """

    def __init__(self, n: int, seed: int, runs: ArrayLike, window: int, lanes: int, batch_size: int) -> None:
        self.n, self.seed, self.batch_size = n, seed, batch_size
        self.starts = check_runs(runs, n)
        self.lanes = min(lanes, batch_size)
        self.cuts = np.arange(self.lanes + 1, dtype=np.int64) * batch_size // self.lanes
        self.shares = np.diff(self.cuts)
        full, rest = divmod(n, batch_size)
        self.lengths = full * self.shares + np.clip(rest - self.cuts[:-1], 0, self.shares)
        self._begins = np.cumsum(self.lengths) - self.lengths
        self.largest_run, self.odd_rows = _sizes(self.starts)
        self.stretch = max(-(-window // self.lanes), self.largest_run, int(self.shares.max()))
        self._offsets = np.arange(self.lanes, dtype=np.int64) * self.stretch // self.lanes
        self.digest = xxhash.xxh3_128_hexdigest(self.starts.data)
        self._lines: dict[int, _Line] = {}
        self._drawn: dict[tuple[int, int, int], NDArray[np.int64]] = {}
        self._changing = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Travel as settings: what was worked out is worked out again."""
        return Windows, (self.n, self.seed, self.starts, self.stretch * self.lanes, self.lanes, self.batch_size)

    @property
    def nbytes(self) -> int:
        """Bytes of the runs, of their order in two passes, and of the windows that are kept."""
        kept = (2 * self.lanes + 2) * min(self.stretch, self.n)
        return 8 * (8 * len(self.starts) + kept + 4 * self.stretch)

    def times(self, position: int) -> NDArray[np.int64]:
        """Tell how many rows each lane has given before a position of a pass."""
        batches, place = divmod(position, self.batch_size)
        times: NDArray[np.int64] = batches * self.shares + np.clip(place - self.cuts[:-1], 0, self.shares)
        return times

    def positions(self, lane: int, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tell the positions in a pass of the rows that a lane gives as its first, second ..."""
        batches, place = np.divmod(times, self.shares[lane])
        positions: NDArray[np.int64] = batches * self.batch_size + self.cuts[lane] + place
        return positions

    def window_at(self, lane: int, time: int) -> int:
        """Number the window that a lane is in when it has given so many rows."""
        return (time + int(self._offsets[lane])) // self.stretch

    def bounds(self, lane: int, number: int) -> tuple[int, int]:
        """Tell which rows of a lane, in the order in which it gives them, are in a window."""
        begin = number * self.stretch - int(self._offsets[lane])
        return max(begin, 0), min(begin + self.stretch, int(self.lengths[lane]))

    def run_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the run that each row is in."""
        runs: NDArray[np.int64] = np.searchsorted(self.starts, rows, side="right") - 1
        return runs

    def run_rows(self, number: int) -> int:
        """Count the rows of a run."""
        return int(self.starts[number + 1] - self.starts[number])

    def run(self, row: NDArray[np.int64]) -> tuple[int, int]:
        """Tell which rows [start, stop) are in the run of a row, shape (1,)."""
        number = int(self.run_of(row)[0])
        return int(self.starts[number]), int(self.starts[number + 1])

    def rows(self, number: int, start: int, stop: int) -> NDArray[np.int64]:
        """Tell the rows at positions ``start`` to ``stop - 1`` of a pass."""
        batches, place = np.divmod(np.arange(start, stop, dtype=np.int64), self.batch_size)
        lanes = np.searchsorted(self.cuts, place, side="right") - 1
        times = batches * self.shares[lanes] + place - self.cuts[lanes]
        out = np.empty(stop - start, np.int64)
        for lane in np.flatnonzero(np.bincount(lanes, minlength=self.lanes)).tolist():
            own = np.flatnonzero(lanes == lane)
            mine = times[own]  # ascending, without gaps
            for window in range(self.window_at(lane, int(mine[0])), self.window_at(lane, int(mine[-1])) + 1):
                begin, end = self.bounds(lane, window)
                first, last = max(begin, int(mine[0])), min(end, int(mine[-1]) + 1)
                drawn = self.drawn(number, lane, window)[first - begin : last - begin]
                out[own[first - int(mine[0]) : last - int(mine[0])]] = drawn
        return out

    def drawn(self, number: int, lane: int, window: int) -> NDArray[np.int64]:
        """Tell the rows of a window of a pass, in the order in which they are given; the last few windows are kept."""
        key = number, lane, window
        with self._changing:
            kept = self._drawn.pop(key, None)
            if kept is None:
                kept = self._draw(number, lane, window)
                kept.flags.writeable = False
                if len(self._drawn) > 2 * self.lanes:
                    del self._drawn[next(iter(self._drawn))]
            self._drawn[key] = kept  # as the newest
        return kept

    def _draw(self, number: int, lane: int, window: int) -> NDArray[np.int64]:
        begin, end = self.bounds(lane, window)
        key = np.uint64(keys((self.seed, number, _ROWS, lane, window), 1)[0])
        # Sorted by random numbers: as even as they are, and two of 64 bits that are equal keep their order.
        shuffled = np.argsort(mix64(np.arange(end - begin, dtype=np.uint64) + key), kind="stable").astype(np.int64)
        place, line, (runs, ends) = self._place(number, lane, begin + shuffled)
        rows: NDArray[np.int64] = self.starts[runs[place] + 1] - (ends[place] - line)
        return rows

    def run_at(self, number: int, lane: int, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the runs that a lane is in when it has read so many rows of a pass."""
        place, _, (runs, _) = self._place(number, lane, times)
        return runs[place]

    def _place(self, number: int, lane: int, times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], _Line]:
        """Tell where in the line a lane reads its rows: at which of the runs, and at which rows."""
        line = self._begins[lane] + (self.lengths[lane] - 1 - times if lane % 2 else times)
        order = self._line(number)
        return np.searchsorted(order[1], line, side="right"), line, order

    def _line(self, number: int) -> _Line:
        """Order the runs of a pass; tell where each of them ends in the line."""
        line = self._lines.pop(number, None)
        if line is None:
            count = len(self.starts) - 1
            runs, key = np.arange(count, dtype=np.int64), keys((self.seed, number, _RUNS), rounds(count))
            for part in (slice(i, i + _MANY) for i in range(0, count, _MANY)):
                runs[part] = permute(count, key, runs[part])
            if len(self._lines) > 1:  # a pass and the next
                del self._lines[next(iter(self._lines))]
            ends = self.starts[runs + 1]
            ends -= self.starts[runs]
            line = runs, np.cumsum(ends, out=ends)
        self._lines[number] = line  # as the newest
        return line


def _sizes(starts: NDArray[np.int64]) -> tuple[int, int]:
    """Tell the rows of the largest run, and those of all smaller ones together; in parts, since there may be very many."""
    parts = [starts[i : i + _MANY + 1] for i in range(0, len(starts) - 1, _MANY)]
    largest = max(int(np.diff(part).max()) for part in parts)
    whole = sum(int(np.count_nonzero(np.diff(part) == largest)) for part in parts)
    return largest, int(starts[-1]) - whole * largest


def check_runs(runs: ArrayLike, n: int) -> NDArray[np.int64]:
    """Give where runs begin, and n at the end; or raise `BadSetting` if that cannot be."""
    refuse_endless(runs, "runs")
    starts = np.asarray(runs)
    if starts.ndim != 1 or not starts.size or starts.dtype.kind not in "iu":
        raise BadSetting("runs must be a list of row numbers at which runs begin")
    starts = starts.astype(np.int64)
    if starts[-1] != n:
        starts = np.append(starts, n)
    if starts[0] != 0 or (np.diff(starts) < 1).any():
        raise BadSetting(f"runs must begin with row 0, ascend, and stay below the {n} rows there are")
    return starts
