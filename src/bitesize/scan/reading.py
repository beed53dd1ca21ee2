"""Reading of all rows for `check`: facts about each row, and the error of each row that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, without_frames
from bitesize.kernels.warm import compiling
from bitesize.memory.budget import Budget
from bitesize.memory.pool import Pool
from bitesize.order.keyed_random import Key
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.scratch import Scratch, scratch_nbytes
from bitesize.scan.content import ContentSource, RowFacts
from bitesize.scan.rows import BiteMemory, bite_nbytes, bites, chunk_bites, fixed_fields
from bitesize.scan.threads import Worker, deal, threads_that_fit
from bitesize.sources.base import Source
from bitesize.spec import Encoded
from bitesize.transforms.crop import Resize

# Rows of fixed size that are read at once, in bytes.
_BITE_BYTES = 1 << 20
# Images are resized to this size: an image of one color has one color at any size.
_SIDE = 16
# An image has one color if its resized values, from 0 to 255, differ by less than this.
_ONE_COLOR = 0.5
# Maximum bytes for decoding, as a loader reserves.
_POOL = 256 << 20


class ReadBite(NamedTuple):
    """Number of rows of a bite, and the error of each row that cannot be read, by row number."""

    rows: int
    failed: dict[int, Exception]


# Bites, a reader for each thread, and the number of threads that work at once.
Scan = tuple[Iterator[NDArray[np.int64]], Sequence[Worker[NDArray[np.int64], ReadBite]], int]


def read_contents(
    part: Source, facts: RowFacts, budget: Budget, threads: int | None, progress: Callable[[int], None] | None
) -> dict[int, Exception]:  # fmt: skip
    """Read the rows of a span of a source once, and record facts about them.

    Parameters
    ----------
    part
        Source of the rows.
    facts
        Facts of the span, to fill.
    budget
        Budget for all memory.
    threads
        Number of threads, or None.
    progress
        Called with the number of rows that were read since the last call.

    Returns
    -------
    dict of int to Exception
        The error of each row that cannot be read, by row number.

    Raises
    ------
    DoesNotFit
        If the rows of one thread do not fit the budget.
    """
    source = ContentSource(part, facts)
    image = isinstance(source.spec[source.primary], Encoded)
    failed: dict[int, Exception] = {}
    part.check_unchanged()
    with (
        compiling(),
        (_image_readers if image else _array_readers)(source, facts, threads, budget) as scan,
        closing(deal(*scan)) as results,
    ):
        for bite in results:
            failed |= bite.failed
            if progress is not None:
                progress(bite.rows)
    part.check_unchanged()
    return failed


@contextmanager
def _image_readers(
    source: ContentSource, facts: RowFacts, threads: int | None, budget: Budget
) -> Iterator[Scan]:  # fmt: skip
    pipeline = Pipeline(source, [Resize(_SIDE)], "HWC", np.float32, False, budget)
    pipeline.warm()
    rows = min(pipeline.bite, len(facts.span))
    nbytes = scratch_nbytes(pipeline.scratch_fields(rows), True, 0) + bite_nbytes(pipeline.slot_fields, rows)
    nbytes += source.scratch(rows)
    count = threads_that_fit(threads, nbytes, budget.free // 2)  # the rest is for decoding
    charge = budget.charge(count.total * nbytes, "threads that read")
    pool = budget.pool(min(_POOL, budget.free), "decoding")
    readers = [_ImageReader(pipeline, pool, facts, rows) for _ in range(count.total)]
    try:
        yield bites(facts.span, rows), readers, count.working
    finally:
        for reader in readers:
            reader.close()
        pool.close()
        charge.release()


@contextmanager
def _array_readers(
    source: ContentSource, facts: RowFacts, threads: int | None, budget: Budget
) -> Iterator[Scan]:  # fmt: skip
    fields = fixed_fields(source.spec)
    least = max(1, _BITE_BYTES // max(1, sum(field.nbytes for field in fields.values())))
    rows, chunks = min(least, len(facts.span)), source.chunks() if source.reads_by_chunk else None

    def needed(rows: int) -> int:
        """Return the bytes of one thread."""
        return bite_nbytes(fields, rows) + source.scratch(rows)

    if chunks is not None:  # whole chunks if they fit, so that threads do not wait for each other at a chunk
        rows = max(rows, int(np.diff(chunks.starts).max()))
        while rows > least and needed(rows) > budget.free:
            rows = max(least, rows // 2)
    count = threads_that_fit(threads, needed(rows), budget.free)
    charge = budget.charge(count.total * needed(rows), "threads that read")
    readers = [_ArrayReader(source, rows) for _ in range(count.total)]
    try:
        tasks = bites(facts.span, rows) if chunks is None else chunk_bites(chunks.starts, facts.span, rows)
        yield tasks, readers, count.working
    finally:
        for reader in readers:
            reader.close()
        charge.release()


class _ImageReader:
    """Reads and decodes images in one thread, and records which have one color."""

    def __init__(self, pipeline: Pipeline, pool: Pool, facts: RowFacts, rows: int) -> None:
        self._pipeline, self._facts = pipeline, facts
        self._image = pipeline.source.primary
        self._context = ReadContext(pipeline.source, Scratch(pipeline.scratch_fields(rows), True, 0, pool))
        self._memory = BiteMemory(pipeline.slot_fields, rows)

    def work(self, rows: NDArray[np.int64]) -> ReadBite:
        """Read one bite."""
        arrays = self._memory.arrays(len(rows))
        failed = self._pipeline.fill(rows, [()] * len(rows), Key(0, 0, 0), arrays, self._context)
        good = [i for i in range(len(rows)) if i not in failed]
        pixels = arrays[self._image][good]
        if good:
            pixels = pixels.reshape(len(good), -1, pixels.shape[-1])
            self._facts.uniform[rows[good] - self._facts.span.start] = (np.ptp(pixels, axis=1) < _ONE_COLOR).all(axis=1)
        return ReadBite(len(rows), {int(rows[i]): error for i, error in failed.items()})

    def rest(self) -> None:
        """Return memory to the pool."""
        self._context.scratch.rest()

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()


class _ArrayReader:
    """Reads rows of fixed size in one thread."""

    def __init__(self, source: ContentSource, rows: int) -> None:
        self._source, self._memory = source, BiteMemory(fixed_fields(source.spec), rows)

    def work(self, rows: NDArray[np.int64]) -> ReadBite:
        """Read one bite."""
        failed: dict[int, Exception] = {}
        try:
            self._source.read(rows, self._memory.arrays(len(rows)))
        except BadRows as error:
            failed = {int(rows[i]): without_frames(cause) for i, cause in error.causes.items()}
        return ReadBite(len(rows), failed)

    def rest(self) -> None:
        """Do nothing: the memory is the thread's own."""

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()
