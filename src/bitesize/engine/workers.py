"""Threads that fill slots in bites. Bites are dispatched in order, and results do not depend on the speed of threads.

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
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from bitesize.engine.batching import BadRowPolicy, Batching, BatchRows
from bitesize.engine.buffer_pool import BufferPool
from bitesize.engine.cached_source import CachedSource
from bitesize.engine.holding import Holder, Wait
from bitesize.engine.ring import Ring, Slot
from bitesize.engine.stream import BatchStream, Bite, LoadTask, PendingBatch
from bitesize.engine.window_cache import ChunkCache
from bitesize.errors import BitesizeError, LoaderClosed, Stalled, without_frames
from bitesize.memory.budget import Pool
from bitesize.order.keyed_random import draw
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.thread_scaling import ThreadScaler
from bitesize.pipeline.user_functions import Key

STALL_SECONDS = 300.0  # without any progress for this time, a loader is not slow, but hangs


class Engine:
    """Threads, slots and pending work. An engine does not refer to its loader, so that the loader can be collected as garbage."""

    def __init__(
        self,
        pipeline: Pipeline,
        steps: Batching,
        policy: BadRowPolicy,
        ring: Ring,
        scratches: list[Scratch],
        pool: Pool | None,
        scaler: ThreadScaler,
        frames: BufferPool | None,
    ):
        self.pipeline = pipeline
        self.steps = steps
        self.policy = policy
        self.ring = ring
        self.pool = pool
        self.scaler = scaler
        self.run: BatchStream | None = None
        self._frames = frames
        self._loads: deque[LoadTask] = deque()
        self._dispatch = threading.Lock()
        self._current: PendingBatch | None = None
        self._stopping = False
        self._died: BaseException | None = None
        self._wanted: queue.SimpleQueue[None] = queue.SimpleQueue()  # one or more items when there is a stream to work on
        self._pid = os.getpid()
        self._hiring = threading.Lock()
        self._hired = 0
        self._scratches = scratches
        self._moved = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, args=(i, scratch), name=f"bitesize-{i}", daemon=True)
            for i, scratch in enumerate(scratches)
        ]

    # --- the caller's side -------------------------------------------------------------------------------------------

    def start(self, epoch: int, position: int) -> BatchStream:
        """Return a stream that starts at a place. The current stream continues if the place is its next batch."""
        self.check()
        run = self.run
        if run is None or run.canceled or run.taken != (epoch, position):
            self.cancel()
            run = self.run = BatchStream(epoch, position, self._hold(epoch, position))
            self._wanted.put(None)
        if self._hired < self.scaler.working:
            # In another thread: `Thread.start` waits in Python code, where Ctrl-C could leave the new thread locked forever.
            _thread.start_new_thread(self._hire_first, ())
        return run

    def _hold(self, epoch: int, position: int) -> ChunkCache | None:
        if self._frames is None:
            return None
        assert isinstance(self.pipeline.source, CachedSource)
        return ChunkCache(self.pipeline.source, self.steps, (epoch, position), self._frames)

    def _hire_first(self) -> None:
        """Start one thread, which starts the others."""
        try:
            self._hire(1)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._die(error)

    def _hire(self, most: int | None = None) -> None:
        """Start the threads that should work and have not started. Idle threads take no resources of the system until they start."""
        with self._hiring:
            while not self._stopping and self._hired < min(self.scaler.working, most or self.scaler.working):
                number, self._hired = (
                    self._hired,
                    self._hired + 1,
                )  # before the start, because Ctrl-C during the start does not stop the thread
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
        run = self.run
        if run is None or which not in (None, run):
            return
        with run.lock:
            run.canceled = True
            dropped, run.ready = list(run.ready.values()), {}
            run.changed.put(None)
        if run.held is not None:
            run.held.close()
        for filling in dropped:
            self._drop(filling)

    def rest(self) -> None:
        """End the current stream, and wait until its pending batches are finished."""
        self.check()
        run = self.run
        if run is None:
            return
        self.cancel()
        deadline = time.monotonic() + STALL_SECONDS
        while self.ring.free.qsize() + self.ring.leased < len(self.ring) and time.monotonic() < deadline:
            time.sleep(0.001)

    def take(self, run: BatchStream, holder: Holder, ended: Callable[[], bool]) -> PendingBatch:
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
        key = run.taken
        self._moved = time.monotonic()
        wait: Wait | None = None
        collected = False
        while True:
            with run.lock:
                if run.canceled or ended():
                    raise LoaderClosed(
                        "this iterator has ended: a newer iterator of the same loader has replaced it, or it was closed"
                    )
                if key in run.ready:
                    while not run.changed.empty():  # only this thread removes items
                        run.changed.get()
                    # Set before the batch is removed: after Ctrl-C in between, a lost batch must be created again.
                    run.taken = self.steps.after(*key)
                    return run.ready.pop(key)
            if not collected and self.ring.leased == len(self.ring):
                gc.collect(1)  # young reference cycles, which Keras on torch leaves, before any wait
                collected = True
            if self._changed(run):
                continue
            self.check()
            if self.ring.leased == len(self.ring):
                wait = wait or Wait(holder, self.ring)
                wait.go_on()
            else:
                if wait is not None:
                    wait.begin()
                if time.monotonic() - self._moved > STALL_SECONDS:
                    self._raise_stalled(key)

    def _changed(self, run: BatchStream) -> bool:
        """Wait a short time for a change; return whether there was one."""
        try:
            run.changed.get(timeout=0.05)
        except queue.Empty:
            return False
        return True

    def close(self) -> None:
        """End all threads and return all memory. Can be called at any time, also repeatedly."""
        if self.forked:  # the threads are in the parent, and a lock that one of them held during the fork stays locked
            self._stopping = True
            return
        with self._hiring:
            self._stopping = True
        # All steps below can be repeated, because Ctrl-C may have interrupted an earlier call anywhere.
        self.cancel()
        self.ring.free.put(None)
        self._wanted.put(None)
        self.scaler.close()
        for thread in self._threads:
            if thread.ident and thread is not threading.current_thread():
                # Native decoding cannot be interrupted. A thread that still runs after this time is a daemon, and ends by itself.
                thread.join(timeout=2.0)
        if self._current is not None:  # started, and never finished
            self._drop(self._current)
            self._current = None
        self.ring.close()
        if self._frames is not None:
            self._frames.close()
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
        if self._stopping:
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

    def _raise_stalled(self, key: tuple[int, int]) -> None:
        doing = "; ".join(sorted({self._where(*scratch.doing) for scratch in self._scratches}))
        raise Stalled(
            f"no progress for {STALL_SECONDS:.0f} seconds at position {key[1]} of epoch {key[0]}; threads are at: {doing}"
        )

    def _where(self, stage: str, row: int | None) -> str:
        return stage if row is None else f"{stage} {self.pipeline.source.describe(row)}"

    # --- the threads' side -------------------------------------------------------------------------------------------

    def _work(self, number: int, scratch: Scratch) -> None:
        try:
            self._serve(number, scratch)
        except BaseException as error:  # noqa: BLE001 - errors of rows are kept in their batch, so this is a bug, or comes from outside
            self._die(error)

    def _die(self, error: BaseException) -> None:
        self._died = without_frames(error)
        if self.run is not None:
            self.run.changed.put(None)

    def _serve(self, number: int, scratch: Scratch) -> None:
        clock = scratch.clock
        if self.scaler.working > self._hired:
            self._hire()
        while True:
            if number >= self.scaler.working:
                scratch.rest()
                scratch.doing = ("idle", None)
                self.scaler.wait(number)
            asked = time.perf_counter()
            bite = self._next_bite(scratch)
            begun = time.perf_counter()
            clock.idle += begun - asked
            if bite is None:
                scratch.rest()
                return
            used, rows = time.thread_time(), 0
            if isinstance(bite, LoadTask):
                self._load(bite, scratch)
            else:
                rows = bite.stop - bite.start
                self._fill(bite, scratch)
            self._moved = time.monotonic()
            used = time.thread_time() - used
            clock.cpu += used
            clock.busy += time.perf_counter() - begun
            clock.rows += rows
            del bite  # which would hold a batch that its caller has dropped, while this thread waits for its slot
            self.scaler.report(rows, used, begun - asked)
            if self.scaler.working > self._hired:
                self._hire()

    def _next_bite(self, scratch: Scratch) -> Bite | LoadTask | None:
        """Return the next bite, or a chunk to load before it. One thread at a time, so that all work starts in order."""
        scratch.doing = ("waiting for a free slot", None)
        if not self._dispatch.acquire(blocking=False):
            scratch.rest()  # other threads may wait for the memory of this thread
            self._dispatch.acquire()
        try:
            while not self._stopping:
                if self._loads:
                    load = self._loads.popleft()
                    load.held.enter(load.what)
                    return load
                filling = self._current
                if filling is not None and filling.begun < filling.step.rows.size:
                    if not filling.run.canceled:
                        start = filling.begun
                        filling.begun = min(start + self.pipeline.bite, filling.step.rows.size)
                        if filling.run.held is not None:
                            filling.run.held.enter()
                        return Bite(filling, start, filling.begun)
                    rest, filling.begun = filling.step.rows.size - filling.begun, filling.step.rows.size
                    self._done(filling, rest, scratch)
                self._current = None
                if self.ring.free.empty():
                    scratch.rest()
                slot = self.ring.take()
                if slot is not None:
                    self._current = self._begin(slot, scratch)
            self.ring.free.put(None)  # wake the next thread
            return None
        finally:
            self._dispatch.release()

    def _begin(self, slot: Slot, scratch: Scratch) -> PendingBatch | None:
        run = self.run
        if run is None or run.canceled:
            self.ring.free.put(slot)
            self._wanted.get()
            return None
        epoch, position = run.next
        run.next = self.steps.after(epoch, position)
        filling = PendingBatch(run, None, slot, np.empty(0, np.bool_), (), started=time.perf_counter())  # type: ignore[arg-type]
        try:
            step = filling.step = self.steps.step(epoch, position)
            if run.held is not None:
                self._loads += [LoadTask(run.held, what) for what in run.held.due(step)]
            filling.pending = step.rows.size
            filling.mask = np.ones(step.rows.size, np.bool_)
            filling.draws = self._draws(step)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, with its batch
            filling.error = error
            filling.step = BatchRows(epoch, position, 0, np.empty(0, np.int64), 0, 1.0)
            self._done(filling, 0, scratch)
            return None
        if not step.rows.size:
            self._done(filling, 0, scratch)
            return None
        return filling

    def _draws(self, step: BatchRows) -> Sequence[Sequence[float]]:
        counts = self.pipeline.draws
        if not any(counts):
            return [()] * step.rows.size
        positions = step.first + np.arange(step.rows.size, dtype=np.int64)
        columns = [draw(self.steps.order.seed, step.epoch, positions, t, count) for t, count in enumerate(counts) if count]
        rows: Sequence[Sequence[float]] = np.concatenate(columns, axis=1).tolist()
        return rows

    def _load(self, load: LoadTask, scratch: Scratch) -> None:
        scratch.doing = ("reading a chunk from", load.what.start)
        begun = time.perf_counter()
        load.held.load(load.what)
        scratch.clock.read += time.perf_counter() - begun

    def _fill(self, bite: Bite, scratch: Scratch) -> None:
        filling = bite.filling
        step, held = filling.step, filling.run.held
        if held is not None:
            self.pipeline.source.using(held)  # type: ignore[attr-defined]
        try:
            if filling.error is None and not filling.run.canceled:
                self._fill_rows(filling, bite, scratch)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, with its batch
            if not isinstance(error, BitesizeError):  # errors of bitesize name file and row themselves
                error.add_note(f"bitesize: while {self._where(*scratch.doing)} (epoch {step.epoch})")
            filling.error = filling.error or error
        if held is not None:
            self.pipeline.source.using(None)  # type: ignore[attr-defined]
            held.leave(step.rows[bite.start : min(bite.stop, step.real)])
        self._done(filling, bite.stop - bite.start, scratch)

    def _fill_rows(self, filling: PendingBatch, bite: Bite, scratch: Scratch) -> None:
        step = filling.step
        real = max(0, min(bite.stop, step.real) - bite.start)
        arrays = {name: array[bite.start : bite.stop] for name, array in filling.slot.arrays.items()}
        filling.mask[bite.start + real : bite.stop] = False
        if real < bite.stop - bite.start:
            for array in arrays.values():  # padding: the slot still has values of its last batch
                array[real:] = 0
        if not real:
            return
        rows = step.rows[bite.start : bite.start + real]
        some = {name: array[:real] for name, array in arrays.items()}
        key = self._key(step, bite.start)
        failed = self.pipeline.fill(rows, filling.draws[bite.start : bite.start + real], key, some, scratch)
        for i, error in failed.items():
            self._handle_bad(filling, bite.start + i, error, scratch)
        self.pipeline.mix(some, filling.mask[bite.start : bite.start + real], key)

    def _key(self, step: BatchRows, start: int) -> Key:
        return Key(self.steps.order.seed, step.epoch, step.first + start)

    def _handle_bad(self, filling: PendingBatch, i: int, error: Exception, scratch: Scratch) -> None:
        """Raise an error for a bad row, replace the row, or mask it, as the policy demands."""
        step = filling.step
        row, position = int(step.rows[i]), step.first + i
        source = self.pipeline.source
        self.policy.report(step.epoch, row, source.describe(row), error)
        if not self.steps.order.shuffle:
            filling.mask[i] = False
            return
        arrays = {name: array[i : i + 1] for name, array in filling.slot.arrays.items()}
        for attempt in range(self.policy.attempts):
            other = self.steps.order.replacement(step.epoch, position, attempt)
            key = self._key(step, i)
            failed = self.pipeline.fill(np.array([other]), filling.draws[i : i + 1], key, arrays, scratch)
            if not failed:
                step.rows[i] = other
                return
            self.policy.report(step.epoch, other, source.describe(other), failed[0])
        filling.mask[i] = False

    def _done(self, filling: PendingBatch, rows: int, scratch: Scratch) -> None:
        """Count rows as finished. The thread that finishes a batch delivers it."""
        run = filling.run
        with run.lock:
            filling.pending -= rows
            if filling.pending > 0:
                return
        if filling.error is None and not run.canceled:
            try:
                self.pipeline.finish(filling.slot.arrays, filling.step.rows.size, self._key(filling.step, 0), scratch)
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, with its batch
                filling.error = error
        with run.lock:
            if not run.canceled:
                filling.token = filling.slot.filled(self.ring.free)
                run.ready[filling.step.epoch, filling.step.position] = filling
                run.changed.put(None)
                return
        self._drop(filling)

    def _drop(self, filling: PendingBatch) -> None:
        """Return the slot of a dropped batch to the queue."""
        filling.error = None  # its frames refer to the batch, and would keep its memory
        if filling.token is None:
            self.ring.free.put(filling.slot)
        filling.token = None
