"""Tasks that read and decode the rows of batches and nothing else, to measure the speed of reading; see `scan.throughput`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching, BatchRows
from bitesize.engine.buffer_pool import BufferPool
from bitesize.engine.cached_source import CachedSource
from bitesize.engine.window_cache import CachedChunk, ChunkCache
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import Scratch
from bitesize.scan.throughput import ReadTask


class ReadTasks:
    """Tasks for the rows of each batch from epoch 0 on, after those for the chunks that contain the rows, like `Engine`.

    Parameters
    ----------
    pipeline, steps, frames
        Parts of the loader.
    """

    def __init__(self, pipeline: Pipeline, steps: Batching, frames: BufferPool | None) -> None:
        self._pipeline, self._steps = pipeline, steps
        self._held: ChunkCache | None = None
        if frames is not None:
            assert isinstance(pipeline.source, CachedSource)
            self._held = ChunkCache(pipeline.source, steps, (0, 0), frames)

    def batches(self) -> Iterator[Iterator[ReadTask]]:
        """Yield the tasks of each batch, without end."""
        place = (0, 0)
        while True:
            yield self._tasks(self._steps.step(*place))
            place = self._steps.after(*place)

    def _tasks(self, step: BatchRows) -> Iterator[ReadTask]:
        for chunk in self._held.due(step) if self._held is not None else ():
            self._held.enter(chunk)  # type: ignore[union-attr]
            yield partial(self._load, chunk)
        rows = step.rows[: step.real]
        for start in range(0, len(rows), self._pipeline.bite):
            if self._held is not None:
                self._held.enter()
            yield partial(self._read, rows[start : start + self._pipeline.bite])

    def _load(self, chunk: CachedChunk, scratch: Scratch) -> int:
        """Load a chunk."""
        assert self._held is not None
        self._held.load(chunk)
        return 0

    def _read(self, rows: NDArray[np.int64], scratch: Scratch) -> int:
        """Read and decode some rows."""
        held, source = self._held, self._pipeline.source
        if held is None:
            self._pipeline.read_and_decode(rows, scratch)
            return len(rows)
        assert isinstance(source, CachedSource)
        source.using(held)
        try:
            self._pipeline.read_and_decode(rows, scratch)
        finally:
            source.using(None)
            held.leave(rows)
        return len(rows)

    def close(self) -> None:
        """Drop the chunks in memory."""
        if self._held is not None:
            self._held.close()
