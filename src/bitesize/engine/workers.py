"""Threads that fill slots in bites: in order of dispatch, without ever depending on who is faster.

A `BatchStream` is one unbroken sequence of batches from some epoch and position on; it passes over epoch ends, so the first
batches of the next epoch are made while the last of this one are used. Asking for another place cancels the run and
begins a new one on the same slots and threads.
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
from bitesize.engine.thread_scaling import ThreadScaler
from bitesize.engine.window_cache import ChunkCache
from bitesize.errors import BitesizeError, LoaderClosed, Stalled, without_frames
from bitesize.memory.budget import Pool
from bitesize.order.keyed_random import draw
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.user_functions import Key

STALL_SECONDS = 300.0  # nothing at all moved for so long: not slow, but hung


class Engine:
    """Threads, slots and what they work on. It knows nothing of its loader, so that the loader can be garbage."""

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
        self._wanted: queue.SimpleQueue[None] = queue.SimpleQueue()  # one item, or more, when there is a run to work on
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
        """Begin at a place; goes on with the present run where that is its next batch."""
        self.check()
        run = self.run
        if run is None or run.canceled or run.taken != (epoch, position):
            self.cancel()
            run = self.run = BatchStream(epoch, position, self._hold(epoch, position))
            self._wanted.put(None)
        if self._hired < self.scaler.working:
            # From another thread: `Thread.start` waits in Python code, where Ctrl-C could leave the new thread locked for good.
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
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            self._die(error)

    def _hire(self, most: int | None = None) -> None:
        """Start the threads that are to work and have not begun; those that stand by take nothing of the system until then."""
        with self._hiring:
            while not self._stopping and self._hired < min(self.scaler.working, most or self.scaler.working):
                number, self._hired = self._hired, self._hired + 1  # first: Ctrl-C while it starts does not stop it
                try:
                    self._threads[number].start()
                except RuntimeError:
                    self._hired = number
                    if number < self.scaler.least:
                        raise
                    self.scaler.limit(number)  # the system gives no more: address space, or a limit on processes
                    return

    def cancel(self, which: BatchStream | None = None) -> None:
        """End the present run, if it is ``which``; what is ready is dropped, what is being made is dropped when it is done."""
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
        """End the present run, and wait until what is being made is done."""
        self.check()
        run = self.run
        if run is None:
            return
        self.cancel()
        deadline = time.monotonic() + STALL_SECONDS
        while self.ring.free.qsize() + self.ring.leased < len(self.ring) and time.monotonic() < deadline:
            time.sleep(0.001)

    def take(self, run: BatchStream, holder: Holder, ended: Callable[[], bool]) -> PendingBatch:
        """Wait for the run's next batch; while the caller holds every slot, for as long as ``holder`` is waited for.

        ``ended`` tells, under the lock of the run, whether who asks has been replaced.

        Raises
        ------
        BatchesHeld
            If the caller holds every slot.
        Stalled
            If nothing moves.
        LoaderClosed
            If the run was canceled meanwhile.
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
                        "this iterator has ended: a newer one of the same loader took its place, or it was closed"
                    )
                if key in run.ready:
                    while not run.changed.empty():  # this thread alone takes out
                        run.changed.get()
                    # Before the batch is taken: Ctrl-C may come in between, and one that is lost must be made anew.
                    run.taken = self.steps.after(*key)
                    return run.ready.pop(key)
            if not collected and self.ring.leased == len(self.ring):
                gc.collect(1)  # young reference cycles, as Keras on torch leaves them, before any wait
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
        """Wait a moment for a change; tell whether there was one."""
        try:
            run.changed.get(timeout=0.05)
        except queue.Empty:
            return False
        return True

    def close(self) -> None:
        """End threads and give everything back; safe to call at any time, more than once."""
        if self.forked:  # none of the threads is here, and a lock that one of them held when the fork came stays locked
            self._stopping = True
            return
        with self._hiring:
            self._stopping = True
        # Nothing below minds being done again: Ctrl-C may have ended an earlier try anywhere.
        self.cancel()
        self.ring.free.put(None)
        self._wanted.put(None)
        self.scaler.close()
        for thread in self._threads:
            if thread.ident and thread is not threading.current_thread():
                # Native decoding cannot be interrupted; what still runs after that is a daemon and ends by itself.
                thread.join(timeout=2.0)
        if self._current is not None:  # begun, and never to be finished
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
        """Whether this is a forked child of the process that has the threads."""
        return os.getpid() != self._pid

    def check(self) -> None:
        """Raise if there are no threads to work, without waiting for anything.

        Raises
        ------
        LoaderClosed
            If it is closed, one of its threads died, or they are in another process.
        """
        if self._stopping:
            raise LoaderClosed("the loader is closed")
        if self._died is not None:
            raise LoaderClosed(f"a thread of this loader has died ({self._died!r}): make a new Loader") from self._died
        self.check_process()

    def check_process(self) -> None:
        """Raise in a forked child, where every lock may be locked for good.

        Raises
        ------
        LoaderClosed
            If the threads are in another process.
        """
        if self.forked:
            raise LoaderClosed(
                "this loader was made in another process: its threads do not survive a fork. Make a Loader in each process "
                "(for PyTorch: num_workers=0, since bitesize has threads of its own)"
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
        except BaseException as error:  # noqa: BLE001 - what becomes of rows ends in their batch: this is a bug, or from outside
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
                scratch.doing = ("standing by", None)
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
            del bite  # through which a batch that its caller lost would be held while this thread waits for its slot
            self.scaler.report(rows, used, begun - asked)
            if self.scaler.working > self._hired:
                self._hire()

    def _next_bite(self, scratch: Scratch) -> Bite | LoadTask | None:
        """Cut the next bite, or give what it needs in memory; one thread at a time, so all begin in order."""
        scratch.doing = ("waiting for a free slot", None)
        if not self._dispatch.acquire(blocking=False):
            scratch.rest()  # others may wait for what this thread has
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
            self.ring.free.put(None)  # wake the next
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
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, who gets it with its batch
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
        scratch.doing = ("reading on from", load.what.start)
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
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, who gets it with its batch
            if not isinstance(error, BitesizeError):  # ours name file and row themselves
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
            for array in arrays.values():  # padding: the slot has what its last batch left
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
        """Raise, put another row in its place, or mask it, as the policy says."""
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
        """Count rows as done; the thread that finishes a batch delivers it."""
        run = filling.run
        with run.lock:
            filling.pending -= rows
            if filling.pending > 0:
                return
        if filling.error is None and not run.canceled:
            try:
                self.pipeline.finish(filling.slot.arrays, filling.step.rows.size, self._key(filling.step, 0), scratch)
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller, who gets it with its batch
                filling.error = error
        with run.lock:
            if not run.canceled:
                filling.token = filling.slot.filled(self.ring.free)
                run.ready[filling.step.epoch, filling.step.position] = filling
                run.changed.put(None)
                return
        self._drop(filling)

    def _drop(self, filling: PendingBatch) -> None:
        """Take a slot back from a batch that nobody gets."""
        filling.error = None  # whose frames lead back to the batch, and would keep its memory
        if filling.token is None:
            self.ring.free.put(filling.slot)
        filling.token = None
