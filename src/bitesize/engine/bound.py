"""The bound: what a loader's threads could do if reading, and decoding or casting, were all they had to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.pipeline import Pipeline
from bitesize.engine.scratch import Scratch, scratch_nbytes
from bitesize.memory.budget import Budget, Pool


def measure_bound(
    pipeline: Pipeline, rows: NDArray[np.int64], threads: int, pool: Pool | None, budget: Budget
) -> float:  # fmt: skip
    """Measure reading, and decoding (at the scale at which the loader decodes) or casting, alone.

    Parameters
    ----------
    pipeline
        Of the loader.
    rows
        Row numbers, in the order in which they are read.
    threads
        How many threads.
    pool
        Where memory for decoding comes from.
    budget
        Charged for everything else.

    Returns
    -------
    float
        Rows per second, with files from wherever they are: read them once before to have them in the system's cache.
    """
    starts = iter(range(0, len(rows), pipeline.bite))
    lock = threading.Lock()
    errors: list[BaseException] = []

    def deal() -> Iterator[NDArray[np.int64]]:
        """Give bites of rows, each to one thread."""
        while not errors:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            yield rows[start : start + pipeline.bite]

    def work(scratch: Scratch) -> None:
        """Be one thread."""
        try:
            for bite in deal():
                pipeline.read_and_decode(bite, scratch)
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            errors.append(error)
        scratch.rest()

    fields = pipeline.bound_fields(pipeline.bite)
    each = scratch_nbytes(fields, pipeline.decodes, pipeline.kernel_values)
    charge = budget.charge(threads * each, "measuring the bound")
    scratches = [Scratch(fields, pipeline.decodes, pipeline.kernel_values, pool) for _ in range(threads)]
    workers = [threading.Thread(target=work, args=(scratch,), name="bitesize-bound") for scratch in scratches]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begun
    charge.release()
    if errors:
        raise errors[0]
    return len(rows) / seconds
