"""Percentiles of all values of a source, by channel: values are counted, in one pass for 8 and 16 bits, otherwise in two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.kernels.warm import compiling
from bitesize.memory.budget import Budget
from bitesize.scan.moments import ArrayMoments, ImageMoments, array_nbytes, bite_rows, channel_count, measurers
from bitesize.scan.rows import bites
from bitesize.scan.threads import deal
from bitesize.sources.base import Source
from bitesize.spec import Encoded

# Values of two percentiles, below and above, may begin with as many different bits.
_MOST_LEADING = 4
# Bytes of the counts of one channel, of `levels.BINS`.
_COUNTS_NBYTES = 8 << 16
Count = Callable[[NDArray[Any], NDArray[np.int64]], None]


class _Counter:
    """Counts the values of some rows, in one thread; the rows in ``left_out`` are not read."""

    def __init__(
        self, reader: ArrayMoments | ImageMoments, count: Count, shape: tuple[int, ...], left_out: NDArray[np.int64]
    ) -> None:
        self._reader, self._count, self.counts = reader, count, np.zeros(shape, np.int64)
        self._left_out = left_out

    def work(self, rows: NDArray[np.int64]) -> Mapping[int, Exception]:
        """Read rows and count their values; return the errors of rows."""
        rows = rows[~np.isin(rows, self._left_out)]
        return self._reader.apply(rows, lambda values: self._count(values, self.counts)) if len(rows) else {}

    def rest(self) -> None:
        """Return memory to the pool."""
        self._reader.rest()


def percentiles(
    source: Source, of: Sequence[float], budget: Budget, *, on_error: Literal["raise", "skip"] = "raise"
) -> NDArray[np.float64]:
    """Return percentiles of the finite values of each channel, shape (percentiles, channels).

    They are those of `numpy.percentile` with linear interpolation: exact for all types whose values float32 represents; others
    are rounded to it.

    Parameters
    ----------
    source
        Source of numbers or images.
    of
        Percentiles, from 0 to 100.
    budget
        Charged for rows and counts of each thread.
    on_error
        What to do when a row cannot be read: ``"raise"`` or ``"skip"``.

    Raises
    ------
    BadSetting
        If the source has no numbers, or a channel has no finite values.
    BadFile
        If a row cannot be read and ``on_error`` is ``"raise"``, or no row can be read.
    DoesNotFit
        If rows or counts do not fit the budget.
    """
    stored, channels = source.spec[source.primary], channel_count(source)
    if stored.dtype.kind not in "biuf":
        raise BadSetting(f"percentiles need numbers, but the rows of {source.primary} are {stored}")
    from bitesize.kernels.levels import BINS, count_leading, count_trailing, count_values, value_of

    line = partial(np.empty, 1, np.float32)
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        least = int(np.iinfo(stored.dtype).min)
        counts, _ = _counted(
            source, budget, lambda values, out: count_values(values, least, out), (channels, BINS), on_error
        )
        return _interpolated(counts, of, lambda channel, rank: float(least + _bin(counts[channel], rank)[0]))
    counts, bad = _counted(
        source, budget, lambda values, out: count_leading(values, out, line()), (channels, BINS), on_error
    )
    # The second pass counts only values with the same first bits as one of those that are needed.
    ranks = [_ranks(int(counts[c].sum()), of) for c in range(channels)]
    found = [sorted({_bin(counts[c], rank)[0] for pair in ranks[c] for rank in pair[:2]}) for c in range(channels)]
    most = max(map(len, found))
    leading = np.array([[*bins, *[-1] * (most - len(bins))] for bins in found], np.int64)
    # A row that could be read before is needed again.
    trailing, _ = _counted(
        source,
        budget,
        lambda values, out: count_trailing(values, leading, out, line()),
        (channels, most, BINS),
        "raise",
        bad,
    )

    def value(channel: int, rank: int) -> float:
        """Return a value of a channel by its rank."""
        first, rest = _bin(counts[channel], rank)
        last, _ = _bin(trailing[channel, found[channel].index(first)], rest)
        return value_of(first << 16 | last)

    return _interpolated(counts, of, value)


def percentiles_nbytes(source: Source) -> int:
    """Return the least bytes for two percentiles: those of one thread, without decoding images."""
    stored = source.spec[source.primary]
    bins = 1 if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2 else _MOST_LEADING
    rows = 0 if isinstance(stored, Encoded) else array_nbytes(source)
    return rows + channel_count(source) * bins * _COUNTS_NBYTES


def _counted(
    source: Source,
    budget: Budget,
    count: Count,
    shape: tuple[int, ...],
    on_error: Literal["raise", "skip"],
    left_out: Sequence[int] = (),
) -> tuple[NDArray[np.int64], Sequence[int]]:
    """Read all rows but some by threads; return the sum of their counts, and the rows that could not be read."""
    nbytes, bad, first = 8 * int(np.prod(shape)), [*left_out], None
    with compiling(), measurers(source, None, budget, nbytes) as (readers, working):
        workers = [_Counter(reader, count, shape, np.array(left_out, np.int64)) for reader in readers]
        with closing(deal(bites(range(len(source)), bite_rows(source)), workers, working)) as parts:
            for failed in parts:
                for row, error in failed.items():
                    if on_error == "raise":
                        raise (type(error) if isinstance(error, BitesizeError) else BadFile)(f"{error} (row {row})")
                    bad, first = [*bad, row], first or error
        total = workers[0].counts
        for worker in workers[1:]:
            total += worker.counts
    if len(bad) == len(source):
        raise BadFile(f"none of {len(bad)} rows could be read; the first: {first}")
    return total, bad


def _ranks(count: int, of: Sequence[float]) -> list[tuple[int, int, float]]:
    """Return for each percentile the ranks of the values below and above it, and the share of the upper one."""
    if not count:
        raise BadSetting("a channel has no finite values")
    exact = [(count - 1) * percentile / 100 for percentile in of]
    return [(int(rank), min(int(rank) + 1, count - 1), rank - int(rank)) for rank in exact]


def _bin(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """Return the bin of the value with a rank, and its rank within the bin."""
    total = np.cumsum(counts)
    found = int(np.searchsorted(total, rank, side="right"))
    return found, rank - int(total[found] - counts[found])


def _interpolated(
    counts: NDArray[np.int64], of: Sequence[float], value: Callable[[int, int], float]
) -> NDArray[np.float64]:  # fmt: skip
    """Return the percentiles of each channel, between the values below and above."""
    out = np.empty((len(of), len(counts)))
    for c, channel in enumerate(counts):
        for k, (below, above, share) in enumerate(_ranks(int(channel.sum()), of)):
            low, high = value(c, below), value(c, above)
            out[k, c] = low + share * (high - low)
    return out
