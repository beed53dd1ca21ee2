"""The bound: the speed of a loader's threads if they only read, and decode or cast."""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching
from bitesize.engine.buffer_pool import BufferPool
from bitesize.engine.cached_source import CachedSource
from bitesize.engine.window_cache import CachedChunk, ChunkCache
from bitesize.memory.budget import Budget, Pool
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import Scratch, scratch_nbytes

Task = NDArray[np.int64] | CachedChunk


class _Dealer:
    """Distributes the rows of whole batches to threads in bites, after the chunks that contain the rows, like `Engine`."""

    def __init__(self, pipeline: Pipeline, steps: Batching, frames: BufferPool | None, deadline: float) -> None:
        self._steps, self._bite, self._deadline = steps, pipeline.bite, deadline
        self._place = (0, 0)
        self._rows = np.empty(0, np.int64)
        self._loads: deque[CachedChunk] = deque()
        self._lock = threading.Lock()
        self.held: ChunkCache | None = None
        self.dealt = 0
        if frames is not None:
            assert isinstance(pipeline.source, CachedSource)
            self.held = ChunkCache(pipeline.source, steps, self._place, frames)

    def next(self) -> Task | None:
        """Return some rows, or a chunk to load; None when the time is over and the last batch is complete."""
        with self._lock:
            while not self._loads and not len(self._rows):
                if time.perf_counter() > self._deadline:
                    return None
                step = self._steps.step(*self._place)
                self._place = self._steps.after(*self._place)
                self._rows = step.rows[: step.real]
                if self.held is not None:
                    self._loads += self.held.due(step)
            if self._loads:
                assert self.held is not None
                load = self._loads.popleft()
                self.held.enter(load)
                return load
            bite, self._rows = self._rows[: self._bite], self._rows[self._bite :]
            if self.held is not None:
                self.held.enter()
            self.dealt += len(bite)
            return bite


def measure_bound(
    pipeline: Pipeline, steps: Batching, frames: BufferPool | None, threads: int, pool: Pool | None, budget: Budget, seconds: float
) -> float:  # fmt: skip
    """Measure the speed of reading with decoding (at the scale of the loader) or casting, and nothing else.

    Parameters
    ----------
    pipeline, steps, frames
        Parts of the loader, which must be idle. The same rows are read in the same order and the same way, from epoch 0.
    threads
        Number of threads.
    pool
        Memory for decoding.
    budget
        Charged for all other memory.
    seconds
        Time to measure. Batches in progress are finished.

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
    each = scratch_nbytes(fields, pipeline.decodes, pipeline.kernel_values)
    charge = budget.charge(threads * each, "measuring the bound")
    scratches = [Scratch(fields, pipeline.decodes, pipeline.kernel_values, pool) for _ in range(threads)]
    errors: list[BaseException] = []
    begun = time.perf_counter()
    dealer = _Dealer(pipeline, steps, frames, begun + seconds)

    def work(scratch: Scratch) -> None:
        """Run one thread. It continues after an error, since other threads may wait for chunks that it has to load."""
        while (task := dealer.next()) is not None:
            try:
                _do(task, pipeline, dealer.held, scratch)
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                errors.append(error)
        scratch.rest()

    workers = [threading.Thread(target=work, args=(scratch,), name="bitesize-bound") for scratch in scratches]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spent = time.perf_counter() - begun
    if dealer.held is not None:
        dealer.held.close()
    charge.release()
    if errors:
        raise errors[0]
    return dealer.dealt / spent


def _do(task: Task, pipeline: Pipeline, held: ChunkCache | None, scratch: Scratch) -> None:
    """Load a chunk, or read and decode some rows."""
    if isinstance(task, CachedChunk):
        assert held is not None
        held.load(task)
        return
    if held is None:
        pipeline.read_and_decode(task, scratch)
        return
    source = pipeline.source
    assert isinstance(source, CachedSource)
    source.using(held)
    try:
        pipeline.read_and_decode(task, scratch)
    finally:
        source.using(None)
        held.leave(task)
