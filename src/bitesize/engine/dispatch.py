"""Dispatch of work to threads, in order: batches get their slots one after another, and are cut into bites.

Threads take bites of the same batch, and the last thread that finishes one delivers the batch. An order with windows also has chunks to
load, which are dispatched before the batch that needs them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque

import numpy as np

from bitesize.engine.batching import Batching, BatchRows
from bitesize.engine.filling import Filler
from bitesize.engine.read_ahead import RowsAhead
from bitesize.engine.ring import Ring, Slot
from bitesize.engine.stream import BatchStream, Bite, LoadTask, PendingBatch
from bitesize.engine.window.buffers import BufferPool
from bitesize.engine.window.cache import ChunkCache
from bitesize.engine.window.source import CachedSource
from bitesize.pipeline.scratch import Scratch
from bitesize.sources.base import Source


class Dispatcher:
    """The next work for threads, and the stream of batches that it belongs to.

    Parameters
    ----------
    source
        Source of the rows.
    batching
        Batches of the loader.
    bite_rows
        Rows in a bite.
    ring
        Slots for batches.
    filler
        Makes the random numbers of a batch, and runs functions of whole batches.
    buffers
        Memory for chunks, for an order with windows.
    ahead
        Requests rows from object stores before they are needed.

    Attributes
    ----------
    stream : BatchStream or None
        The stream whose batches are filled.
    stopping : bool
        Whether threads get no more work.
    """

    def __init__(
        self, source: Source, batching: Batching, bite_rows: int, ring: Ring, filler: Filler, buffers: BufferPool | None,
        ahead: RowsAhead | None = None,
    ) -> None:  # fmt: skip
        self.stream: BatchStream | None = None
        self.stopping = False
        self._source, self._batching, self._bite_rows = source, batching, bite_rows
        self._ring, self._filler, self._buffers, self._ahead = ring, filler, buffers, ahead
        self._ahead_of: BatchStream | None = None
        self._lock = threading.Lock()
        self._loads: deque[LoadTask] = deque()
        self._current: PendingBatch | None = None
        self._started: queue.SimpleQueue[None] = queue.SimpleQueue()  # one or more items when there is a stream to work on

    # --- streams -----------------------------------------------------------------------------------------------------

    def start(self, epoch: int, position: int) -> BatchStream:
        """Return a stream that starts at a place. The current stream continues if the place is its next batch."""
        stream = self.stream
        if stream is None or stream.canceled or stream.next_to_return != (epoch, position):
            self.cancel()
            stream = self.stream = BatchStream(epoch, position, self._new_cache(epoch, position))
            self._started.put(None)
        return stream

    def _new_cache(self, epoch: int, position: int) -> ChunkCache | None:
        if self._buffers is None:
            return None
        assert isinstance(self._source, CachedSource)
        return ChunkCache(self._source, self._batching, (epoch, position), self._buffers)

    def cancel(self, which: BatchStream | None = None) -> None:
        """End the current stream, if it is ``which``. Ready batches are dropped now, and pending batches when they are finished."""
        stream = self.stream
        if stream is None or which not in (None, stream):
            return
        with stream.lock:
            stream.canceled = True
            dropped, stream.ready = list(stream.ready.values()), {}
            stream.changed.put(None)
        if stream.cache is not None:
            stream.cache.close()
        for batch in dropped:
            self._return_slot(batch)

    def wake_all(self) -> None:
        """Wake all threads that wait for work, so that they see ``stopping``, and repeat no request that they wait for."""
        if self._ahead is not None:
            self._ahead.stop()
        self._ring.free.put(None)
        self._started.put(None)

    def close(self) -> None:
        """Return the slot of a batch that was started and never finished, and all memory for chunks."""
        if self._current is not None:
            self._return_slot(self._current)
            self._current = None
        self._ring.close()
        if self._ahead is not None:
            self._ahead.close()
        if self._buffers is not None:
            self._buffers.close()

    # --- work --------------------------------------------------------------------------------------------------------

    def next(self, scratch: Scratch) -> Bite | LoadTask | None:
        """Return the next bite, or a chunk to load before it. One thread at a time, so that all work starts in order."""
        scratch.doing = ("waiting for a free slot", None)
        if not self._lock.acquire(blocking=False):
            scratch.rest()  # other threads may wait for the memory of this thread
            self._lock.acquire()
        try:
            while not self.stopping:
                if self._loads:
                    load = self._loads.popleft()
                    load.cache.enter(load.chunk)
                    return load
                batch = self._current
                if batch is not None and batch.dispatched < batch.step.rows.size:
                    if not batch.stream.canceled:
                        start = batch.dispatched
                        batch.dispatched = min(start + self._bite_rows, batch.step.rows.size)
                        if batch.stream.cache is not None:
                            batch.stream.cache.enter()
                        if self._ahead is not None:
                            self._ahead.advance((batch.step.epoch, batch.step.position), start)
                        return Bite(batch, start, batch.dispatched)
                    rest, batch.dispatched = batch.step.rows.size - batch.dispatched, batch.step.rows.size
                    self.finish(batch, rest, scratch)
                self._current = None
                batch = self._prepare()  # before it has a slot, for which this thread may wait
                if batch is None:
                    continue
                if self._ring.free.empty():
                    scratch.rest()
                slot = self._ring.take()
                if slot is not None:
                    self._current = self._begin(batch, slot, scratch)
            self._ring.free.put(None)  # wake the next thread
            return None
        finally:
            self._lock.release()

    def _prepare(self) -> PendingBatch | None:
        """Return the next batch of the stream, without a slot. If there is no stream, wait for one and return None."""
        stream = self.stream
        if stream is None or stream.canceled:
            self._started.get()
            return None
        epoch, position = stream.next_to_fill
        if self._ahead is not None and stream is not self._ahead_of:
            self._ahead_of = stream
            self._ahead.start((epoch, position))
        stream.next_to_fill = self._batching.after(epoch, position)
        batch = PendingBatch(stream, None, None, np.empty(0, np.bool_), ())  # type: ignore[arg-type]
        try:
            step = batch.step = self._batching.step(epoch, position)
            batch.unfinished = step.rows.size
            batch.mask = np.ones(step.rows.size, np.bool_)
            batch.random_numbers = self._filler.random_numbers(step)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, with its batch
            batch.fail(error, BatchRows(epoch, position, 0, np.empty(0, np.int64), 0, 1.0))
        return batch

    def _begin(self, batch: PendingBatch, slot: Slot, scratch: Scratch) -> PendingBatch | None:
        """Set the slot of the next batch, and return it; return None if the batch is finished, or no longer needed."""
        stream = batch.stream
        if stream.canceled:
            self._ring.give(slot)
            return None
        batch.slot, batch.started = slot, time.perf_counter()
        if batch.error is None and stream.cache is not None:
            try:
                self._loads += [LoadTask(stream.cache, chunk) for chunk in stream.cache.due(batch.step)]
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, with its batch
                batch.fail(error, batch.step._replace(rows=np.empty(0, np.int64), real=0))
        if batch.error is not None or not batch.step.rows.size:
            self.finish(batch, 0, scratch)
            return None
        return batch

    def finish(self, batch: PendingBatch, rows: int, scratch: Scratch) -> None:
        """Count rows as finished. The thread that finishes a batch delivers it."""
        stream = batch.stream
        with stream.lock:
            batch.unfinished -= rows
            if batch.unfinished > 0:
                return
        self._filler.finish(batch, scratch)
        if self._ahead is not None and batch.stream is self._ahead_of:
            self._ahead.finished((batch.step.epoch, batch.step.position))
        with stream.lock:
            if not stream.canceled:
                batch.token = batch.slot.filled(self._ring.free)
                stream.ready[batch.step.epoch, batch.step.position] = batch
                stream.changed.put(None)
                return
        self._return_slot(batch)

    def _return_slot(self, batch: PendingBatch) -> None:
        """Return the slot of a dropped batch to the queue."""
        batch.error = None  # its frames refer to the batch, and would keep its memory
        if batch.token is None:
            self._ring.give(batch.slot)
        batch.token = None
