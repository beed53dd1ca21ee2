"""Loader: batches of a source, in a reproducible order, within a memory budget."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitesize.engine.batching import BadRowPolicy, Batching, Last
from bitesize.engine.buffer_pool import BufferPool
from bitesize.engine.cached_source import CachedSource
from bitesize.engine.described import Described
from bitesize.engine.distributed import shard_of_this_process
from bitesize.engine.holding import LOOP, Holder
from bitesize.engine.iterator import BatchIterator
from bitesize.engine.memory_plan import (
    STANDBY,
    Needs,
    auto_batch_size,
    choose_order,
    fitted,
    grow_or_refuse,
    make_plan,
    say_left_out,
    threads_beside,
)
from bitesize.engine.position import Position
from bitesize.engine.read_tasks import ReadTasks
from bitesize.engine.ring import Ring
from bitesize.engine.stats import Stats
from bitesize.engine.workers import Engine
from bitesize.errors import BadSetting, DoesNotFit, LoaderClosed
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.limits import available, check_threads, processor_share, usable_cpus
from bitesize.memory.overhead import measure_overhead
from bitesize.memory.plan import Plan
from bitesize.order.order import Order, Shard
from bitesize.pipeline.inference import Layout
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.thread_scaling import ThreadScaler
from bitesize.scan.normalization import resolve_normalization
from bitesize.scan.throughput import measure_bound
from bitesize.sources.base import Source
from bitesize.transforms.base import Step


class Loader(Described, Position):
    """Batches of a source in a reproducible order, created by threads within a memory budget.

    A ``for`` loop over a loader is one epoch. A batch is a dict of NumPy arrays, ``{"x": (64, 224, 224, 3) float32, "y":
    (64,) int64}``. Its large fields are views into memory of the loader, which is reused once nothing references them (see `Batch`).

    Parameters
    ----------
    source
        Source of the rows, from `bitesize.open`.
    batch_size
        Rows per batch (total of all ranks), or ``"auto"``: the largest power of two up to 256 that fits the budget.
    transforms
        Transforms of each row, in order.
    memory
        Budget: bytes, a string such as ``"512 MiB"``, a `Budget` that several loaders share, or ``"auto"``: a quarter of the
        memory that this process may still take. An automatic budget grows if the batches need more, up to three quarters.
    shuffle
        Whether each epoch has a new random order; otherwise the natural order.
    seed
        Seed of the orders and of all augmentation.
    order
        An `Order`, which excludes ``shuffle`` and ``seed``; or ``"balanced"``: rows are sampled at random, with replacement,
        and all classes are equally frequent.
    shard
        Rank of this process and number of ranks, if several processes train together. ``"auto"`` takes them from
        `torch.distributed`, `jax.distributed` or torchrun's environment.
    last
        Handling of rows that do not fill a batch: ``"short"``, ``"drop"`` or ``"pad"`` (with a mask). The default is ``"short"``;
        with several ranks, ``"drop"`` when shuffling and ``"pad"`` otherwise.
    threads
        Number of threads that read and decode. By default, one thread per processor of this process, and up to 14 more, which are
        used while other threads wait for the disk or for the interpreter's lock.
    layout
        Position of the channels: ``"HWC"`` or ``"CHW"``.
    dtype
        Dtype of ``x``. By default, the dtype after the transforms: 8-bit images stay uint8, `Normalize` and `Scale` return
        float32.
    on_error
        Handling of a row that cannot be read: ``"raise"``, or ``"skip"``, which replaces it by another random row when shuffling,
        and masks it otherwise.
    max_bad
        Largest share of an epoch's rows that may be skipped. One row is always allowed.
    fast_decode
        Whether to decode a JPEG at a fraction of its size if the result is much smaller anyway.

    Raises
    ------
    DoesNotFit
        If the budget is too small. The message has the figures, and a setting that fits. Nothing was allocated.
    BadSetting
        If a setting is not valid, or does not fit the source.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> loader = bs.Loader(bs.open(np.arange(10.0), [0, 1] * 5), batch_size=4, memory="16 MiB", shuffle=False)
    >>> for batch in loader:
    ...     print(batch["x"].tolist(), batch["y"].tolist())
    [0.0, 1.0, 2.0, 3.0] [0, 1, 0, 1]
    [4.0, 5.0, 6.0, 7.0] [0, 1, 0, 1]
    [8.0, 9.0] [0, 1]
    >>> loader.close()
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int | Literal["auto"],
        transforms: Sequence[Step] = (),
        memory: int | str | Budget = "auto",
        shuffle: bool = True,
        seed: int = 0,
        order: Order | Literal["balanced"] | None = None,
        shard: Shard | Literal["auto"] | None = None,
        last: Last | None = None,
        threads: int | None = None,
        layout: Layout = "HWC",
        dtype: DTypeLike | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        max_bad: float = 0.01,
        fast_decode: bool = True,
    ) -> None:
        if not isinstance(source, Source):
            raise BadSetting(f"source must be a Source, such as the result of bs.open(...), not {type(source).__name__}")
        own_window = isinstance(order, Order)
        order, chunks = choose_order(source, order, seed, shuffle, batch_size)
        if not isinstance(shard, Shard):
            if shard not in (None, "auto"):
                raise BadSetting(f'shard must be a bs.Shard(rank, world_size) or "auto", not {shard!r}')
            shard = Shard() if shard is None else shard_of_this_process()
        if last is None:
            last = "short" if shard.world_size == 1 else "drop" if order.shuffle else "pad"
        threads = check_threads(threads)
        self.source = source
        self.budget = as_budget(memory)
        self.stats = Stats()
        transforms = resolve_normalization(source, transforms, self.budget)
        self._windowed = CachedSource(source, chunks) if chunks is not None else None
        self._pipeline = Pipeline(self._windowed or source, transforms, layout, dtype, fast_decode, self.budget)
        self._working = threads or processor_share()
        self._held = 1
        room = available(self._working)
        besides = measure_overhead(self.budget.in_use)
        wanted = threads or self._working + STANDBY[0]
        self._needs = self._least_needs = Needs(self._pipeline, order, wanted, room, besides, working=self._working)
        if batch_size == "auto":
            batch_size = auto_batch_size(self._needs, self._slots, min(len(source), 256), self.budget)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise BadSetting(f'batch_size must be a whole number of at least 1, or "auto", not {batch_size!r}')
        self.steps = Batching(order, int(batch_size), last, shard)
        if self._windowed is not None:
            window = self._windowed.window_nbytes(self.steps)
            self._needs = self._least_needs = replace(self._needs, window=window)
        if self._pipeline.steps.mixes:
            self.steps.refuse_torn_pairs()
        say_left_out(self.steps)
        self._policy = BadRowPolicy(on_error, max_bad, len(source))
        self._engine: Engine | None = None
        self._frames: BufferPool | None = None
        self._iterator: weakref.ref[BatchIterator] | None = None
        Position.__init__(self)
        self._closed = False
        if threads is None:
            more = replace(self._needs, threads=self._working + threads_beside(self._pipeline, self.budget))
            # Only if much memory is free: slots that an output adds, and other loaders of the budget, have priority.
            if more.total(self.steps.rows_of_rank, self._slots) <= self.budget.free // 2:
                self._needs = more
        self._needs = fitted(
            self._needs, self.steps, self._slots, self.budget, any_threads=threads is None, any_window=not own_window
        )
        self.threads, self._working = self._needs.threads, min(self._working, self._needs.threads)
        grow_or_refuse(self._needs, self.steps, self._slots, self.budget)
        self._charge_all()
        self._pipeline.warm()

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """Plan of the loader's memory."""
        return make_plan(self._needs, self.steps, self._slots, self.budget, self._parts[2])

    @property
    def least(self) -> int:
        """Least bytes that the loader needs with its current settings."""
        return self._least_needs.total(self.steps.rows_of_rank, self._slots)

    # --- what it does ------------------------------------------------------------------------------------------------

    def __iter__(self) -> BatchIterator:
        return self.iterate(self.begin(), endless=False)

    def iterate(self, place: tuple[int, int], *, endless: bool, holder: Holder = LOOP) -> BatchIterator:
        """Return an iterator from a place on; for outputs that drive the loader themselves.

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
            chunk = self._engine.start(*self.steps.place(*place))
            self._taken = place
            iterator = BatchIterator(self, self._engine, chunk, place[0], endless, holder)
            self._iterator = weakref.ref(iterator)
            return iterator

    def hold(self, batches: int) -> None:
        """Set how many batches a caller holds while it requests the next: 1 for a loop. For outputs.

        Raises
        ------
        DoesNotFit
            If the additional slots do not fit the budget.
        """
        with self._lock:
            if batches <= self._held:
                return
            ring = self._parts[1]
            self.budget.grow((batches - self._held) * ring.slot_nbytes, f"{batches} batches are held at a time")
            ring.grow(batches - self._held)
            self._held = batches

    def each_slot(self, prepare: Callable[[NDArray[np.uint8]], None]) -> None:
        """Call ``prepare`` with the memory of every slot, now and when a slot is added. For outputs, before the first loop."""
        self._parts[1].each(prepare)

    def measure_bound(self, seconds: float = 1.0) -> float:
        """Measure how many rows per second this loader's threads could read and decode if they did nothing else.

        A running loop over the loader ends.

        Parameters
        ----------
        seconds
            Approximate time to measure. Batches in progress are finished.

        Returns
        -------
        float
            Rows per second, measured from epoch 0 on.
        """
        engine = self._engine = self._engine or self._start_engine()
        engine.rest()
        threads, pool = engine.scaler.working, self._parts[2]
        with contextlib.closing(ReadTasks(self._pipeline, self.steps, self._frames)) as tasks:
            return measure_bound(self._pipeline, tasks.batches(), threads, pool, self.budget, seconds)

    def close(self) -> None:
        """End the threads and return all bytes to the budget. Batches that are still referenced stay valid.

        In a forked child, nothing is ended, because the threads and bytes belong to the parent.
        """
        if self._engine is not None and self._engine.forked:
            self._closed = True
            self._finalizer.detach()
            return
        with self._lock:
            self._closed = True
            self._release()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """Number of batches that fit the memory of the loader."""
        return len(self._parts[1])

    @property
    def _slots(self) -> int:
        # One slot to return next and one to fill, in addition to those that the caller holds.
        return self._held + 2

    def adapt(self) -> None:
        """At the start of an epoch, give up the prefetch slot while memory is short. Batches never get fewer rows."""
        full, ring = self.budget.refresh(), self._parts[1]
        if full and ring.size == self._slots:
            ring.shrink()
        elif (
            not full and ring.size < self._slots and ring.slot_nbytes <= self.budget.free
        ):  # an optional slot must not grow the budget
            with contextlib.suppress(DoesNotFit):  # another loader of the budget was faster
                ring.grow(1)

    def _make_room(self, position: int) -> None:
        """Reserve memory for windows of all streams, if batches are cut across streams from now on."""
        if self._windowed is None or not position % self.batch_size:
            return
        more = self._windowed.window_nbytes(self.steps, all_streams=True) - self._needs.window
        if more > 0:
            self._parts[0].append(self.budget.charge(more, "window"))
            self._needs = replace(self._needs, window=self._needs.window + more)
            if self._frames is not None:
                self._frames.grow(more)

    def _charge_all(self) -> None:
        """Charge all permanent memory. The engine that uses it starts with the first loop."""
        needs, rows = self._needs, self.steps.rows_of_rank
        charges = [self.budget.charge(part.nbytes, part.what) for part in needs.fixed_parts(rows)]
        ring = Ring(self._pipeline.slot_fields, rows, self._slots, self.budget, self.copied)
        pool = needs.make_pool(rows, self._slots, self.budget) if self._pipeline.decodes else None
        self._parts = (charges, ring, pool)
        # The charges are released with the loader. A loader that is dropped without close must also end its threads.
        self._finalizer = weakref.finalize(self, _drop, ring, pool, None)

    def _start_engine(self) -> Engine:
        _, ring, pool = self._parts
        fields = self._pipeline.scratch_fields(self.steps.rows_of_rank)
        kernel_values, decodes = self._pipeline.kernel_values, self._pipeline.decodes
        scratches = [Scratch(fields, decodes, kernel_values, pool) for _ in range(self.threads)]
        self.stats.watch([scratch.clock for scratch in scratches], usable_cpus(), self.source.spec, self.spec)
        self._frames = BufferPool(self._needs.window) if self._windowed is not None else None
        scaler = ThreadScaler(self._working, self.threads)
        engine = Engine(self._pipeline, self.steps, self._policy, ring, scratches, pool, scaler, self._frames)
        older, self._finalizer = self._finalizer, weakref.finalize(self, _drop, ring, pool, engine)
        older.detach()
        return engine

    def _release(self) -> None:
        # Every step can be repeated. If Ctrl-C interrupts this method, the finalizer completes it with the last reference.
        _drop(self._parts[1], self._parts[2], self._engine)
        for charge in self._parts[0]:
            charge.release()
        self._finalizer.detach()
        self._engine = None


def _drop(ring: Ring, pool: object, engine: Engine | None) -> None:
    """End an engine, or return the memory that it would have used."""
    if engine is not None:
        engine.close()
    else:
        ring.close()
        if pool is not None:
            pool.close()  # type: ignore[attr-defined]
