"""Tasks that read and decode the rows of batches and nothing else, to measure the speed of reading; see `scan.throughput`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching, BatchRows
from bitesize.engine.window.buffers import BufferPool
from bitesize.engine.window.cache import CachedChunk, ChunkCache
from bitesize.engine.window.source import CachedSource
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.read_context import ReadContext, RowReader
from bitesize.pipeline.scratch import Scratch
from bitesize.scan.throughput import ReadTask


class ReadTasks:
    """Tasks for the rows of each batch from epoch 0 on, after those for the chunks that contain the rows, like `Engine`.

    Parameters
    ----------
    pipeline, reader, batching, buffers
        Parts of the loader.
    """

    def __init__(self, pipeline: Pipeline, reader: RowReader, batching: Batching, buffers: BufferPool | None) -> None:
        self._pipeline, self._reader, self._batching = pipeline, reader, batching
        self._cache: ChunkCache | None = None
        if buffers is not None:
            assert isinstance(pipeline.source, CachedSource)
            self._cache = ChunkCache(pipeline.source, batching, (0, 0), buffers)

    def batches(self) -> Iterator[Iterator[ReadTask]]:
        """Yield the tasks of each batch, without end."""
        place = (0, 0)
        while True:
            yield self._tasks(self._batching.step(*place))
            place = self._batching.after(*place)

    def _tasks(self, step: BatchRows) -> Iterator[ReadTask]:
        for chunk in self._cache.due(step) if self._cache is not None else ():
            self._cache.enter(chunk)  # type: ignore[union-attr]
            yield partial(self._load, chunk)
        rows = step.rows[: step.real]
        for start in range(0, len(rows), self._pipeline.bite):
            if self._cache is not None:
                self._cache.enter()
            yield partial(self._read, rows[start : start + self._pipeline.bite])

    def _load(self, chunk: CachedChunk, scratch: Scratch) -> int:
        """Load a chunk."""
        assert self._cache is not None
        self._cache.load(chunk)
        return 0

    def _read(self, rows: NDArray[np.int64], scratch: Scratch) -> int:
        """Read and decode some rows."""
        cache = self._cache
        if cache is None:
            self._pipeline.read_and_decode(rows, ReadContext(self._reader, scratch))
            return len(rows)
        try:
            self._pipeline.read_and_decode(rows, ReadContext(cache, scratch))
        finally:
            cache.leave(rows)
        return len(rows)

    def close(self) -> None:
        """Drop the chunks in memory."""
        if self._cache is not None:
            self._cache.close()
