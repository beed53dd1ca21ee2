"""The engine: threads that fill slots in bites, and the caller that takes batches. Results do not depend on the speed of threads.

A `BatchStream` is a continuous sequence of batches from one place on. It continues over the ends of epochs, so the first batches of
the next epoch are filled while the last batches of the current epoch are in use. A request for another place cancels the stream and
starts a new one with the same slots and threads.
"""

from __future__ import annotations

import _thread
import gc
import os
import queue
import threading
import time
from collections.abc import Callable

from bitesize.engine.bad_rows import BadRowPolicy
from bitesize.engine.batching import Batching
from bitesize.engine.dispatch import Dispatcher
from bitesize.engine.filling import Filler
from bitesize.engine.holding import Holder, Wait
from bitesize.engine.read_ahead import RowsAhead
from bitesize.engine.ring import Ring
from bitesize.engine.stream import BatchStream, LoadTask, PendingBatch
from bitesize.engine.window.buffers import BufferPool
from bitesize.errors import LoaderClosed, Stalled, without_frames
from bitesize.memory.pool import Pool
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.read_context import ReadContext, RowReader
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.thread_scaling import ThreadScaler
from bitesize.storage.limiter import while_wanted

STALL_SECONDS = 300.0  # without any progress for this time, a loader is not slow, but hangs
# Native decoding and requests cannot be interrupted. Threads that still run after this time are daemons, and end by themselves.
_ENDING_SECONDS = 1.0


class Engine:
    """Threads, slots and pending work. An engine does not refer to its loader, so that the loader can be collected as garbage."""

    def __init__(
        self,
        pipeline: Pipeline,
        reader: RowReader,
        batching: Batching,
        policy: BadRowPolicy,
        ring: Ring,
        scratches: list[Scratch],
        pool: Pool | None,
        scaler: ThreadScaler,
        buffers: BufferPool | None,
        ahead: RowsAhead | None,
    ):
        self.ring = ring
        self.pool = pool
        self.scaler = scaler
        self._reader, self._batching = reader, batching
        self._filler = Filler(pipeline, batching, policy)
        self._dispatcher = Dispatcher(pipeline.source, batching, pipeline.bite, ring, self._filler, buffers, ahead)
        self._died: BaseException | None = None
        self._pid = os.getpid()
        self._hiring = threading.Lock()
        self._hired = 0
        self._scratches = scratches
        self._progress = time.monotonic()  # time of the last progress
        self._threads = [
            threading.Thread(target=self._work, args=(i, scratch), name=f"bitesize-{i}", daemon=True)
            for i, scratch in enumerate(scratches)
        ]

    # --- the caller's side -------------------------------------------------------------------------------------------

    def start(self, epoch: int, position: int) -> BatchStream:
        """Return a stream that starts at a place. The current stream continues if the place is its next batch."""
        self.check()
        stream = self._dispatcher.start(epoch, position)
        if self._hired < self.scaler.working:
            # In another thread: `Thread.start` waits in Python code, where Ctrl-C could leave the new thread locked forever.
            _thread.start_new_thread(self._hire_first, ())
        return stream

    def _hire_first(self) -> None:
        """Start one thread, which starts the others."""
        try:
            self._hire(1)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._die(error)

    def _hire(self, most: int | None = None) -> None:
        """Start the threads that should work and have not started. Idle threads take no resources of the system until they start."""
        with self._hiring:
            while not self._dispatcher.stopping and self._hired < min(self.scaler.working, most or self.scaler.working):
                number = self._hired
                self._hired = number + 1  # before the start, because Ctrl-C during the start does not stop the thread
                try:
                    self._threads[number].start()
                except RuntimeError:
                    self._hired = number
                    if number < self.scaler.least:
                        raise
                    self.scaler.limit(number)  # the system allows no more threads: address space, or a limit on processes
                    return

    def cancel(self, which: BatchStream | None = None) -> None:
        """End the current stream, if it is ``which``. Ready batches are dropped now, and pending batches when they are finished."""
        self._dispatcher.cancel(which)

    def rest(self) -> None:
        """End the current stream, and wait until its pending batches are finished."""
        self.check()
        if self._dispatcher.stream is None:
            return
        self.cancel()
        deadline = time.monotonic() + STALL_SECONDS
        while self.ring.free.qsize() + self.ring.leased < len(self.ring) and time.monotonic() < deadline:
            time.sleep(0.001)

    def next_batch(self, stream: BatchStream, holder: Holder, ended: Callable[[], bool]) -> PendingBatch:
        """Wait for the next batch of a stream, and return it. While the caller holds every slot, ``holder`` limits the time.

        ``ended`` returns, under the lock of the stream, whether the caller's iterator has been replaced.

        Raises
        ------
        BatchesHeld
            If the caller holds every slot for too long.
        Stalled
            If there is no progress.
        LoaderClosed
            If the stream was canceled during the wait.
        """
        self.check()
        place = stream.next_to_return
        self._progress = time.monotonic()
        wait: Wait | None = None
        collected = False
        while True:
            with stream.lock:
                if stream.canceled or ended():
                    raise LoaderClosed(
                        "this iterator has ended: a newer iterator of the same loader has replaced it, or it was closed"
                    )
                if place in stream.ready:
                    while not stream.changed.empty():  # only this thread removes items
                        stream.changed.get()
                    # Set before the batch is removed: after Ctrl-C in between, a lost batch must be created again.
                    stream.next_to_return = self._batching.after(*place)
                    return stream.ready.pop(place)
            if not collected and self.ring.leased == len(self.ring):
                gc.collect(1)  # young reference cycles, which Keras on torch leaves, before any wait
                collected = True
            if self._changed(stream):
                continue
            self.check()
            if self.ring.leased == len(self.ring):
                wait = wait or Wait(holder, self.ring)
                wait.go_on()
            else:
                if wait is not None:
                    wait.begin()
                if time.monotonic() - self._progress > STALL_SECONDS:
                    self._raise_stalled(place)

    def _changed(self, stream: BatchStream) -> bool:
        """Wait a short time for a change; return whether there was one."""
        try:
            stream.changed.get(timeout=0.05)
        except queue.Empty:
            return False
        return True

    def close(self) -> None:
        """End all threads and return all memory. Can be called at any time, also repeatedly."""
        if self.forked:  # the threads are in the parent, and a lock that one of them held during the fork stays locked
            self._dispatcher.stopping = True
            return
        with self._hiring:
            self._dispatcher.stopping = True
        # All steps below can be repeated, because Ctrl-C may have interrupted an earlier call anywhere.
        self.cancel()
        self._dispatcher.wake_all()
        self.scaler.close()
        deadline = time.monotonic() + _ENDING_SECONDS  # for all of them: all may wait for the same server
        for thread in self._threads:
            if thread.ident and thread is not threading.current_thread():
                thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._dispatcher.close()
        self._threads = []
        if self.pool is not None:
            self.pool.close()

    @property
    def forked(self) -> bool:
        """Return whether this process is a forked child of the process that has the threads."""
        return os.getpid() != self._pid

    def check(self) -> None:
        """Raise an error if there are no threads that can work, without waiting.

        Raises
        ------
        LoaderClosed
            If the engine is closed, one of its threads has died, or the threads are in another process.
        """
        if self._dispatcher.stopping:
            raise LoaderClosed("the loader is closed")
        if self._died is not None:
            raise LoaderClosed(f"a thread of this loader has died ({self._died!r}): create a new Loader") from self._died
        self.check_process()

    def check_process(self) -> None:
        """Raise an error in a forked child, where every lock may be locked forever.

        Raises
        ------
        LoaderClosed
            If the threads are in another process.
        """
        if self.forked:
            raise LoaderClosed(
                "this loader was created in another process, and its threads do not survive a fork. Create a Loader in each process "
                "(for PyTorch, use num_workers=0, since bitesize has its own threads)"
            )

    def _raise_stalled(self, place: tuple[int, int]) -> None:
        stages = "; ".join(sorted({self._filler.describe_stage(scratch) for scratch in self._scratches}))
        raise Stalled(
            f"no progress for {STALL_SECONDS:.0f} seconds at position {place[1]} of epoch {place[0]}; threads are at: {stages}"
        )

    # --- the threads' side -------------------------------------------------------------------------------------------

    def _work(self, number: int, scratch: Scratch) -> None:
        try:
            with while_wanted(lambda: not self._dispatcher.stopping):
                self._serve(number, scratch)
        except BaseException as error:  # noqa: BLE001 - errors of rows are kept in their batch, so this is a bug, or comes from outside
            self._die(error)

    def _die(self, error: BaseException) -> None:
        self._died = without_frames(error)
        if self._dispatcher.stream is not None:
            self._dispatcher.stream.changed.put(None)

    def _serve(self, number: int, scratch: Scratch) -> None:
        clock, context = scratch.clock, ReadContext(self._reader, scratch)
        if self.scaler.working > self._hired:
            self._hire()
        while True:
            if number >= self.scaler.working:
                scratch.rest()
                scratch.doing = ("idle", None)
                self.scaler.wait(number)
            requested = time.perf_counter()
            task = self._dispatcher.next(scratch)
            begun = time.perf_counter()
            clock.idle += begun - requested
            if task is None:
                scratch.rest()
                return
            cpu, rows = time.thread_time(), 0
            if isinstance(task, LoadTask):
                _load(task, scratch)
            else:
                rows = task.stop - task.start
                self._filler.fill(task, context)
                self._dispatcher.finish(task.batch, rows, scratch)
            self._progress = time.monotonic()
            cpu = time.thread_time() - cpu
            clock.cpu += cpu
            clock.busy += time.perf_counter() - begun
            clock.rows += rows
            del task  # which would hold a batch that its caller has dropped, while this thread waits for its slot
            self.scaler.report(rows, cpu, begun - requested)
            if self.scaler.working > self._hired:
                self._hire()


def _load(task: LoadTask, scratch: Scratch) -> None:
    """Load a chunk."""
    scratch.doing = ("reading a chunk from", task.chunk.start)
    begun = time.perf_counter()
    task.cache.load(task.chunk)
    scratch.clock.read += time.perf_counter() - begun
