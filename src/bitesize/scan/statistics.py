"""Mean, deviation and extremes of a source, in one pass by threads, within a budget."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadRows, BadSetting, BitesizeError, DoesNotFit, without_frames
from bitesize.kernels.warm import compiling
from bitesize.memory.budget import Budget, Pool, as_budget
from bitesize.memory.limits import check_threads, processor_share
from bitesize.memory.mapping import aligned, allocate
from bitesize.sources.pixels import StoredPixels
from bitesize.spec import Encoded, Field, image_channels

if TYPE_CHECKING:
    from bitesize.sources.base import Source

# Rows of fixed size that are read at once, in bytes; and encoded images, in number.
_BITE_BYTES, _IMAGES = 1 << 20, 8
# Maximum bytes for decoding, as a loader reserves.
_POOL = 256 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Statistics:
    """Statistics of the values of a source; see `Source.statistics`.

    Parameters
    ----------
    rows
        Number of rows that were read.
    bad
        Number of rows that could not be read and were skipped.
    mean, std, least, largest
        A number per channel, in the values unchanged stored; of rows that are not images, one number.
    not_finite
        Number of values that are NaN or infinite, which are left out of the above.
    classes
        Number of rows of each class by name or number, or None without classes.
    whole
        Whether values are 8-bit, 0 to 255.
    """

    rows: int
    bad: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    least: tuple[float, ...]
    greatest: tuple[float, ...]
    not_finite: int
    classes: Mapping[str, int] | None
    whole: bool

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation for `bitesize.Normalize`; 8-bit values are scaled to 0 to 1.

        The deviation of a constant channel is 1. Alpha channels are left out.
        """
        unit = 255.0 if self.whole else 1.0
        colors = 3 if len(self.std) == 4 else len(self.std)
        std = tuple(each / unit if each else 1.0 for each in self.std[:colors])
        return tuple(each / unit for each in self.mean[:colors]), std


def measure(
    source: Source,
    memory: int | str | Budget,
    threads: int | None,
    on_error: Literal["raise", "skip"],
    progress: Progress | None,
) -> Statistics:
    """Read every row once; see `Source.statistics`."""
    what = source.spec[source.primary]
    if what is None or (isinstance(what, Field) and what.dtype.kind not in "biuf"):
        raise BadSetting(f"statistics need numbers in the field x, but the source has {dict(source.spec)}")
    if on_error not in ("raise", "skip"):
        raise BadSetting(f'on_error must be "raise" or "skip", not {on_error!r}')
    threads = check_threads(threads) or processor_share()
    budget = as_budget(memory)
    reader: type[_Images | _Arrays] = _Images if isinstance(what, Encoded) else _Arrays
    bite, total = reader.bite(source), _Total(reader.channels(source), strict=on_error == "raise")
    threads = reader.fitting(source, threads, budget)
    with (
        compiling(),
        reader.prepared(source, threads, budget) as idle,
        ThreadPoolExecutor(threads, "bitesize-statistics") as pool,
    ):

        def work(start: int) -> _Part:
            """Measure one bite with the resources of an idle thread."""
            own: _Images | _Arrays = idle.get()
            try:
                return own.measure(np.arange(start, min(start + bite, len(source))))
            finally:
                idle.put(own)

        waiting: deque[Future[_Part]] = deque()
        try:
            for start in range(0, len(source), bite):
                waiting.append(pool.submit(work, start))
                # Merged in the order of rows, so that results do not depend on thread timing.
                if len(waiting) > 4 * threads:
                    total.add(waiting.popleft().result(), progress, len(source))
            while waiting:
                total.add(waiting.popleft().result(), progress, len(source))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return total.statistics(source)


def statistics_nbytes(source: Source) -> int:
    """Return the minimum bytes for measuring rows of fixed size: those of one thread."""
    return _Arrays.nbytes(source)


@dataclass(frozen=True)
class _Part:
    """Result of one bite: moments by channel, and errors by row number."""

    moments: NDArray[np.float64]
    rows: int
    failed: Mapping[int, Exception]


class _Total:
    """Moments of all rows so far."""

    def __init__(self, channels: int, strict: bool) -> None:
        from bitesize.kernels.moments import none

        self._moments, self._strict = none(channels), strict
        self._rows = self._bad = 0
        self._first: Exception | None = None

    def add(self, part: _Part, progress: Progress | None, of: int) -> None:
        """Merge the next bite."""
        from bitesize.kernels.moments import merge

        if part.failed and self._strict:
            row, error = next(iter(part.failed.items()))
            kind = type(error) if isinstance(error, BitesizeError) else BadFile
            raise kind(f"{error} (row {row})")
        if part.failed and self._first is None:
            self._first = next(iter(part.failed.values()))
        merge(self._moments, part.moments)
        self._bad += len(part.failed)
        self._rows += part.rows - len(part.failed)
        if progress is not None:
            progress(self._rows + self._bad, of)

    def statistics(self, source: Source) -> Statistics:
        """Return the result."""
        from bitesize.kernels.moments import COUNT, GREATEST, LEAST, MEAN, NOT_FINITE, SQUARES

        moments, what = self._moments, source.spec[source.primary]
        if not self._rows:
            raise BadFile(f"none of {self._bad} rows could be read; the first: {self._first}")
        if not moments[:, COUNT].all():
            raise BadSetting("a channel has no finite values")
        return Statistics(
            rows=self._rows,
            bad=self._bad,
            mean=tuple(moments[:, MEAN].tolist()),
            std=tuple(np.sqrt(moments[:, SQUARES] / moments[:, COUNT]).tolist()),
            least=tuple(moments[:, LEAST].tolist()),
            greatest=tuple(moments[:, GREATEST].tolist()),
            not_finite=int(moments[:, NOT_FINITE].sum()),
            classes=_classes(source),
            whole=what.dtype == np.uint8,
        )


def _classes(source: Source) -> dict[str, int] | None:
    labels = source.labels
    if labels is None:
        return None
    numbers, counts = np.unique(labels, return_counts=True)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    if source.classes is not None:
        return {name: found.get(i, 0) for i, name in enumerate(source.classes)}
    return {str(number): count for number, count in found.items()}


class _Prepared(queue.SimpleQueue[Any]):
    """Resources of the threads, one set per thread, returned at the end."""

    def __init__(self, workers: list[Any], close: Callable[[], None]) -> None:
        super().__init__()
        self._close = close
        for worker in workers:
            self.put(worker)

    def __enter__(self) -> _Prepared:
        return self

    def __exit__(self, *error: object) -> None:
        while not self.empty():
            self.get().close()
        self._close()


class _Arrays:
    """Measures rows of fixed size."""

    def __init__(self, source: Source, memory: NDArray[np.uint8]) -> None:
        self._source, self._memory = source, memory

    @staticmethod
    def bite(source: Source) -> int:
        """Return the number of rows per read."""
        what = source.spec[source.primary]
        assert isinstance(what, Field)
        return max(1, _BITE_BYTES // max(1, what.nbytes))

    @staticmethod
    def channels(source: Source) -> int:
        """Return the number of channels of images; 1 for other rows."""
        what = source.spec[source.primary]
        assert isinstance(what, Field)
        return image_channels(what.shape) or 1

    @classmethod
    def nbytes(cls, source: Source) -> int:
        """Return the bytes that one thread needs."""
        return cls._rows_nbytes(source) + source.scratch(cls.bite(source))

    @classmethod
    def _rows_nbytes(cls, source: Source) -> int:
        rows = cls.bite(source)
        return sum(aligned(field.nbytes * rows) for field in source.spec.values() if isinstance(field, Field))

    @classmethod
    def fitting(cls, source: Source, threads: int, budget: Budget) -> int:
        """Return the number of threads that fit the budget, at least one; results do not depend on it."""
        return max(1, min(threads, budget.free // max(1, cls.nbytes(source))))

    @classmethod
    def prepared(cls, source: Source, threads: int, budget: Budget) -> _Prepared:
        """Charge and allocate the resources of the threads."""
        charge = budget.charge(threads * cls.nbytes(source), "statistics")
        return _Prepared([cls(source, allocate(cls._rows_nbytes(source))) for _ in range(threads)], charge.release)

    def measure(self, rows: NDArray[np.int64]) -> _Part:
        """Read rows and measure those that could be read."""
        from bitesize.kernels.moments import moments

        into, at = {}, 0
        for name, field in self._source.spec.items():
            assert isinstance(field, Field)
            nbytes = field.nbytes * len(rows)
            into[name] = self._memory[at : at + nbytes].view(field.dtype).reshape(len(rows), *field.shape)
            at += aligned(nbytes)
        failed: dict[int, Exception] = {}
        try:
            self._source.read(rows, into)
        except BadRows as error:
            failed = {i: without_frames(cause) for i, cause in error.causes.items()}
        values, channels = into[self._source.primary], self.channels(self._source)
        if failed:
            values = values[[i for i in range(len(rows)) if i not in failed]]
        out = np.empty((channels, 6))
        known = values if values.dtype.itemsize <= 8 and values.dtype != np.float16 else values.astype(np.float64)
        moments(known.reshape(-1, channels), out)
        return _Part(out, len(rows), {int(rows[i]): error for i, error in failed.items()})

    def close(self) -> None:
        """Free the memory."""
        self._memory = np.empty(0, np.uint8)


class _Images:
    """Measures encoded images, each as it is stored."""

    def __init__(self, source: Source, pool: Pool) -> None:
        what = source.spec[source.primary]
        assert isinstance(what, Encoded)
        self._channels, self._pixels = what.channels, StoredPixels(source, pool)

    @staticmethod
    def bite(source: Source) -> int:
        """Return the number of images per read."""
        return _IMAGES

    @staticmethod
    def channels(source: Source) -> int:
        """Return the number of channels of the mode."""
        what = source.spec[source.primary]
        assert isinstance(what, Encoded)
        return what.channels

    @classmethod
    def fitting(cls, source: Source, threads: int, budget: Budget) -> int:
        """Return the number of threads; they take turns when memory is short."""
        return threads

    @classmethod
    def prepared(cls, source: Source, threads: int, budget: Budget) -> _Prepared:
        """Reserve memory for decoding."""
        pool = budget.pool(min(_POOL, budget.free), "statistics")
        return _Prepared([cls(source, pool) for _ in range(threads)], pool.close)

    def measure(self, rows: NDArray[np.int64]) -> _Part:
        """Read and decode rows one by one, and measure those that could be read."""
        from bitesize.kernels.moments import merge, moments, none

        total, each = none(self._channels), np.empty((self._channels, 6))
        failed: dict[int, Exception] = {}
        try:
            for row in rows.tolist():
                try:
                    moments(self._pixels.read(row), each)
                    merge(total, each)
                except DoesNotFit:  # not the file's fault: leaving large images out would bias the result
                    raise
                except BitesizeError as error:
                    failed[row] = without_frames(error)
                self._pixels.yield_if_wanted()
        finally:
            self._pixels.close()  # an idle thread must not hold memory that others wait for
        return _Part(total, len(rows), failed)

    def close(self) -> None:
        """Free the memory."""
        self._pixels.close()
