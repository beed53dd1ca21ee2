"""Moments of the values of some rows, computed by one thread of `statistics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, BitesizeError, DoesNotFit, without_frames
from bitesize.memory.budget import Budget
from bitesize.memory.pool import Pool
from bitesize.scan.rows import BiteMemory, bite_nbytes, fixed_fields
from bitesize.scan.threads import threads_that_fit
from bitesize.sources.base import Source
from bitesize.sources.pixels import StoredPixels
from bitesize.spec import Encoded, field_channels

# Rows of fixed size that are read at once, in bytes; and encoded images, in number.
_BITE_BYTES, _IMAGES = 1 << 20, 8
# Maximum bytes for decoding, as a loader reserves.
_POOL = 256 << 20


@dataclass(frozen=True)
class Moments:
    """Result of one bite: moments by channel as in `bitesize.kernels.moments`, and errors by row number."""

    values: NDArray[np.float64]
    rows: int
    failed: Mapping[int, Exception]


def channel_count(source: Source) -> int:
    """Return the number of channels of images and volumes; 1 for other rows."""
    stored = source.spec[source.primary]
    return stored.channels if isinstance(stored, Encoded) else field_channels(stored) or 1


def bite_rows(source: Source) -> int:
    """Return the number of rows that a thread reads at once."""
    stored = source.spec[source.primary]
    return _IMAGES if isinstance(stored, Encoded) else max(1, _BITE_BYTES // max(1, stored.nbytes))


def array_nbytes(source: Source) -> int:
    """Return the bytes that one thread needs for rows of fixed size."""
    rows = bite_rows(source)
    return bite_nbytes(fixed_fields(source.spec), rows) + source.scratch(rows)


@contextmanager
def measurers(
    source: Source, threads: int | None, budget: Budget
) -> Iterator[tuple[Sequence[ArrayMoments | ImageMoments], int]]:
    """Charge and allocate what each thread needs, and release it at the end. Yield a worker per thread, and how many work at once."""
    workers: Sequence[ArrayMoments | ImageMoments]
    if isinstance(source.spec[source.primary], Encoded):
        count = threads_that_fit(threads, 0, budget.free)  # they take turns when memory is short
        pool = budget.pool(min(_POOL, budget.free), "statistics")
        workers, release = [ImageMoments(source, pool) for _ in range(count.total)], pool.close
    else:
        nbytes = array_nbytes(source)
        count = threads_that_fit(threads, nbytes, budget.free)
        release = budget.charge(count.total * nbytes, "statistics").release
        workers = [ArrayMoments(source) for _ in range(count.total)]
    try:
        yield workers, count.working
    finally:
        for worker in workers:
            worker.close()
        release()


class ArrayMoments:
    """Measures rows of fixed size.

    Parameters
    ----------
    source
        Source of the rows.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._memory = source, BiteMemory(fixed_fields(source.spec), bite_rows(source))

    def work(self, rows: NDArray[np.int64]) -> Moments:
        """Read rows and measure those that could be read."""
        from bitesize.kernels.moments import moments

        into = self._memory.arrays(len(rows))
        failed: dict[int, Exception] = {}
        try:
            self._source.read(rows, into)
        except BadRows as error:
            failed = {i: without_frames(cause) for i, cause in error.causes.items()}
        values, channels = into[self._source.primary], channel_count(self._source)
        if failed:
            values = values[[i for i in range(len(rows)) if i not in failed]]
        out = np.empty((channels, 6))
        known = values if values.dtype.itemsize <= 8 and values.dtype != np.float16 else values.astype(np.float64)
        moments(known.reshape(-1, channels), out)
        return Moments(out, len(rows), {int(rows[i]): error for i, error in failed.items()})

    def rest(self) -> None:
        """Do nothing: the memory is the thread's own."""

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()


class ImageMoments:
    """Measures the stored pixels of encoded images.

    Parameters
    ----------
    source
        Source of the rows.
    pool
        Memory for files and pixels.
    """

    def __init__(self, source: Source, pool: Pool) -> None:
        self._channels, self._pixels = channel_count(source), StoredPixels(source, pool)

    def work(self, rows: NDArray[np.int64]) -> Moments:
        """Read and decode rows one by one, and measure those that could be read."""
        from bitesize.kernels.moments import merge, moments, none

        total, one = none(self._channels), np.empty((self._channels, 6))
        failed: dict[int, Exception] = {}
        for row in rows.tolist():
            try:
                moments(self._pixels.read(row), one)
                merge(total, one)
            except DoesNotFit:  # not the file's fault: leaving large images out would bias the result
                raise
            except BitesizeError as error:
                failed[row] = without_frames(error)
            self._pixels.yield_if_wanted()
        return Moments(total, len(rows), failed)

    def rest(self) -> None:
        """Return memory to the pool."""
        self._pixels.close()

    def close(self) -> None:
        """Free the memory."""
        self._pixels.close()
