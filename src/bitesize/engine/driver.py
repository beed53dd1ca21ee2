"""The driver of a loader: it starts threads and loops, and changes the number of slots. `Loader` and all outputs use it."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Place
from bitesize.engine.build import Inferred, Resources, charge_slots
from bitesize.engine.cache_report import cache_facts, cache_lines
from bitesize.engine.holding import LOOP, Holder
from bitesize.engine.iterator import BatchIterator
from bitesize.engine.memory_plan import SPARE_SLOTS, MemoryPlan, make_plan
from bitesize.engine.position import Position
from bitesize.engine.read_tasks import ReadTasks
from bitesize.engine.ring import copied_fields
from bitesize.engine.stats import Stats
from bitesize.engine.window.buffers import BufferPool
from bitesize.engine.workers import Engine
from bitesize.errors import DoesNotFit, LoaderClosed
from bitesize.memory.limits import usable_cpus
from bitesize.memory.plan import Plan
from bitesize.pictures.batch_html import RowDescription
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.thread_scaling import ThreadScaler
from bitesize.scan.throughput import measure_bound


class LoaderDriver:
    """Runs a loader. It does not refer to its loader; dropping its last reference ends the threads.

    Parameters
    ----------
    inferred, memory_plan, resources
        Values of the steps that made the loader.
    """

    def __init__(self, inferred: Inferred, memory_plan: MemoryPlan, resources: Resources) -> None:
        settings, needs = inferred.settings, memory_plan.needs
        self.source, self.budget, self.bad_rows = settings.source, settings.budget, settings.bad_rows
        self.pipeline, self._cache = inferred.pipeline, inferred.cache
        self.batching = memory_plan.batching
        self.threads, self._working = needs.threads, min(needs.working, needs.threads)
        self.spec = dict(self.pipeline.out)
        self.copied = copied_fields(self.pipeline.out, self.source.primary)
        source = self.source
        self.rows_are = RowDescription(self.spec, source.primary, source.label_name, source.classes, self.pipeline.layout)
        self.position = Position(self.source, self.batching)
        self.stats = Stats()
        self._memory_plan, self._resources = memory_plan, resources
        self._engine: Engine | None = None
        self._buffers: BufferPool | None = None
        self._iterator: weakref.ref[BatchIterator] | None = None
        self._lock = threading.Lock()
        self._closed = False
        # The charges are released with the driver. A loader that is dropped without close must also end its threads.
        self._finalizer = weakref.finalize(self, _drop, resources, None)

    # --- loops -------------------------------------------------------------------------------------------------------

    def iterate(self, place: Place, *, endless: bool, holder: Holder = LOOP) -> BatchIterator:
        """Return an iterator from a place on.

        Parameters
        ----------
        place
            Epoch and position of the first batch.
        endless
            Whether to continue with the following epochs.
        holder
            Receiver of the batches.
        """
        if self._engine is not None:
            self._engine.check_process()
        with self._lock:
            if self._closed:
                raise LoaderClosed("the loader is closed")
            if self._engine is None:
                self._engine = self._start_engine()
            older = self._iterator() if self._iterator is not None else None
            if older is not None:  # before the new iterator starts, which may continue with pending batches of the older one
                older.close()
            stream = self._engine.start(*self.batching.place(*place))
            self.position.start(place)
            iterator = BatchIterator(self, self._engine, stream, place[0], endless, holder)
            self._iterator = weakref.ref(iterator)
            return iterator

    def load_state_dict(self, state: Mapping[str, Any], *, allow_batch_size_change: bool = False) -> None:
        """Resume from the state of another loader; see `Loader.load_state_dict`."""
        cursor = self.position.check(state, allow_batch_size_change=allow_batch_size_change)
        with self._lock:
            self._make_room(cursor.position)
            self.position.resume(cursor)

    def measure_bound(self, seconds: float) -> float:
        """Measure the speed of reading and decoding alone; see `Loader.measure_bound`."""
        engine = self._engine = self._engine or self._start_engine()
        engine.rest()
        reader = self._resources.kept or self.pipeline.source
        with contextlib.closing(ReadTasks(self.pipeline, reader, self.batching, self._buffers)) as tasks:
            threads, pool = engine.scaler.working, self._resources.pool
            return measure_bound(self.pipeline, tasks.batches(), threads, pool, self.budget, seconds)

    def close(self) -> None:
        """End the threads and return all bytes to the budget; see `Loader.close`."""
        if self._engine is not None and self._engine.forked:
            self._closed = True
            self._finalizer.detach()
            return
        with self._lock:
            self._closed = True
            # Every step can be repeated. If Ctrl-C interrupts this method, the finalizer completes it with the last reference.
            _drop(self._resources, self._engine)
            for charge in self._resources.charges:
                charge.release()
            self._finalizer.detach()
            self._engine = None

    # --- memory ------------------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """Plan of the loader's memory, with the current size of its pool."""
        kept = self._resources.kept
        current = self._memory_plan.with_kept(self._memory_plan.keepable if kept is not None and kept.keeps else None)
        plan = make_plan(current, self.budget, self._resources.pool)
        facts = cache_facts(self.pipeline, self._resources.cache)
        return replace(
            plan, cache=facts, hints=(*cache_lines(facts, self.pipeline.cached or self.pipeline.stored), *plan.hints)
        )

    @property
    def least(self) -> int:
        """Least bytes that the loader needs with its current settings."""
        return self._memory_plan.least.total(self.batching.rows_of_rank)

    @property
    def slots(self) -> int:
        """Number of batches that fit the memory of the loader."""
        return len(self._resources.ring)

    def hold(self, batches: int) -> None:
        """Set how many batches a caller holds while it requests the next: 1 for a loop.

        Raises
        ------
        DoesNotFit
            If the additional slots do not fit the budget.
        """
        with self._lock:
            needs, slot = self._memory_plan.needs, self._memory_plan.slot
            more = batches + SPARE_SLOTS - needs.slots
            if more <= 0:
                return
            self.budget.grow(more * (slot.nbytes + needs.normalized), f"{batches} batches are held at a time")
            charges = charge_slots(slot, more, self.budget)
            self._charge_normalized(more * needs.normalized)
            self._resources.ring.grow(charges)
            self._memory_plan = self._memory_plan.with_slots(needs.slots + more)

    def hold_normalized(self, nbytes: int) -> None:
        """Charge what an output computes from each batch that is held, if that is in the memory of this process.

        Parameters
        ----------
        nbytes
            Bytes for one batch.

        Raises
        ------
        DoesNotFit
            If they do not fit the budget.
        """
        with self._lock:
            needs = self._memory_plan.needs
            if nbytes > needs.normalized:
                more = needs.slots * (nbytes - needs.normalized)
                self.budget.grow(more, "batches are normalized on the CPU")
                self._charge_normalized(more)
                self._memory_plan = self._memory_plan.with_normalized(nbytes)

    def _charge_normalized(self, nbytes: int) -> None:
        if nbytes:
            self._resources.charges.append(self.budget.charge(nbytes, "normalized batches"))

    def each_slot(self, prepare: Callable[[NDArray[np.uint8]], None]) -> None:
        """Call ``prepare`` with the memory of every slot, now and when a slot is added. Call before the first loop."""
        self._resources.ring.each(prepare)

    def adapt(self) -> None:
        """At the start of an epoch, give up rows in memory, or else the prefetch slot, while memory is short. Batches never get fewer rows."""
        full, ring = self.budget.refresh(), self._resources.ring
        kept = self._resources.kept if self._memory_plan.needs.kept is not None else None
        slots, slot = self._memory_plan.needs.slots, self._memory_plan.slot
        if full and kept is not None and kept.keeps:
            kept.give_up()
        elif full and ring.size == slots:
            ring.shrink()
        elif (
            not full and ring.size < slots and slot.nbytes <= self.budget.unused
        ):  # an optional slot must not grow the budget
            with contextlib.suppress(DoesNotFit):  # another loader of the budget was faster
                ring.grow(charge_slots(slot, 1, self.budget))
        elif not full and kept is not None:
            kept.keep_again()

    def begin_epoch(self) -> None:
        """Adapt to the memory that is free, and find rows that other processes have added to the cache."""
        self.adapt()
        if self._resources.cache is not None:
            self._resources.cache.refresh()

    def begin_batch(self) -> None:
        """Find rows that other processes have added to the cache meanwhile."""
        if self._resources.cache is not None:
            self._resources.cache.refresh(within_epoch=True)

    def end_epoch(self) -> None:
        """Complete the rows that the epoch has added to the cache."""
        if self._resources.cache is not None:
            self._resources.cache.end_epoch()

    def _make_room(self, position: int) -> None:
        """Reserve memory for windows of all streams, if batches are cut across streams from now on."""
        if self._cache is None or not position % self.batching.batch_size:
            return
        window = self._cache.window_nbytes(self.batching, all_streams=True)
        more = window - self._memory_plan.needs.window
        if more > 0:
            self._resources.charges.append(self.budget.charge(more, "window"))
            self._memory_plan = self._memory_plan.with_window(window)
            if self._buffers is not None:
                self._buffers.grow(more)

    # --- threads -----------------------------------------------------------------------------------------------------

    def _start_engine(self) -> Engine:
        ring, pool, pipeline = self._resources.ring, self._resources.pool, self.pipeline
        fields = pipeline.scratch_fields(self.batching.rows_of_rank)
        scratches = [Scratch(fields, pipeline.decodes, pipeline.kernel_values, pool) for _ in range(self.threads)]
        stored = pipeline.stored
        hits = int if stored is None else lambda: stored.hits
        self.stats.watch([scratch.clock for scratch in scratches], usable_cpus(), self.source.spec, self.spec, hits)
        self._buffers = BufferPool(self._memory_plan.needs.window) if self._cache is not None else None
        reader = self._resources.kept or pipeline.source
        scaler = ThreadScaler(self._working, self.threads)
        ahead = self._resources.ahead
        engine = Engine(pipeline, reader, self.batching, self.bad_rows, ring, scratches, pool, scaler, self._buffers, ahead)
        older, self._finalizer = self._finalizer, weakref.finalize(self, _drop, self._resources, engine)
        older.detach()
        return engine


def _drop(resources: Resources, engine: Engine | None) -> None:
    """End an engine, or return the memory that it would have used; and close the cache."""
    try:
        _end(resources, engine)
    finally:
        if resources.cache is not None:
            resources.cache.close()


def _end(resources: Resources, engine: Engine | None) -> None:
    if engine is not None:
        engine.close()
    if resources.kept is not None:
        resources.kept.give_up()
    if engine is not None:
        return
    resources.ring.close()
    if resources.pool is not None:
        resources.pool.close()
