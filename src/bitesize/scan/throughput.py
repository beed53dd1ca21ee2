"""The bound: the speed of a loader's threads if they only read, and decode or cast."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

from bitesize.memory.budget import Budget
from bitesize.memory.pool import Pool
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import Scratch, scratch_nbytes
from bitesize.scan.threads import deal

# Reads with the scratch of a thread, and returns the number of rows.
ReadTask = Callable[[Scratch], int]


def measure_bound(
    pipeline: Pipeline, batches: Iterable[Iterable[ReadTask]], threads: int, pool: Pool | None, budget: Budget, seconds: float
) -> float:  # fmt: skip
    """Measure the speed of reading with decoding (at the scale of the loader) or casting, and nothing else.

    Parameters
    ----------
    pipeline
        Pipeline of the loader, which must be idle.
    batches
        Tasks that read the rows of one batch after another, without end, in the order and the way of the loader.
    threads
        Number of threads.
    pool
        Memory for decoding.
    budget
        Charged for all other memory.
    seconds
        Time to measure. Batches in progress are finished, and at least one is read.

    Returns
    -------
    float
        Rows per second. To measure with files in the system's cache, read them once before.

    Raises
    ------
    DoesNotFit
        If the memory of the threads does not fit the budget.
    """
    fields = pipeline.bound_fields(pipeline.bite)
    nbytes = scratch_nbytes(fields, pipeline.decodes, pipeline.kernel_values)
    charge = budget.charge(threads * nbytes, "measuring the bound")
    try:
        readers = [_Reader(Scratch(fields, pipeline.decodes, pipeline.kernel_values, pool)) for _ in range(threads)]
        begun = time.perf_counter()
        with closing(deal(_until(batches, begun + seconds), readers)) as results:
            rows = sum(results)
        return rows / (time.perf_counter() - begun)
    finally:
        charge.release()


def _until(batches: Iterable[Iterable[ReadTask]], deadline: float) -> Iterator[ReadTask]:
    """Yield the tasks of whole batches until the deadline, at least of one batch."""
    for tasks in batches:
        yield from tasks
        if time.perf_counter() > deadline:
            return


class _Reader:
    """Runs tasks in one thread."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def work(self, task: ReadTask) -> int:
        """Read, and return the number of rows."""
        return task(self._scratch)

    def rest(self) -> None:
        """Return memory to the pool."""
        self._scratch.rest()
