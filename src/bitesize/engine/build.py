"""How a loader is made, in four steps: ``resolve`` the settings, ``infer`` the shapes of rows, ``plan`` the memory, ``allocate`` it.

Each step returns a frozen value, made from the value of the step before. Memory is charged by the last step only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from bitesize.engine.bad_rows import BadRowPolicy
from bitesize.engine.batching import Batching, Last
from bitesize.engine.cached_source import CachedSource
from bitesize.engine.distributed import shard_of_this_process
from bitesize.engine.memory_plan import (
    STANDBY,
    MemoryNeeds,
    auto_batch_size,
    decode_request,
    fitted,
    grow_or_refuse,
    threads_beside,
)
from bitesize.engine.ring import Ring
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.charge import Charge
from bitesize.memory.limits import available, check_threads, processor_share
from bitesize.memory.overhead import measure_overhead
from bitesize.memory.pool import Pool
from bitesize.memory.request import MemoryRequest
from bitesize.order.order import Order, Shard
from bitesize.order.weighted import balanced
from bitesize.pipeline.inference import Layout, measured
from bitesize.pipeline.pipeline import Pipeline
from bitesize.sources.base import Source
from bitesize.sources.rows import ChunkStarts
from bitesize.spec import Field
from bitesize.transforms.base import Step

# Slots in addition to those that the caller holds: one to return next, and one to fill.
SPARE_SLOTS = 2
# Largest batch size that "auto" chooses.
_MOST_ROWS = 256
# Number of streams for a source that is read chunk by chunk; fewer if chunks are large.
_MOST_STREAMS, _STREAMS_NBYTES = 8, 16 << 20
_log = logging.getLogger("bitesize")


@dataclass(frozen=True)
class Settings:
    """Settings of a loader, checked, with every default that does not depend on shapes or memory."""

    source: Source
    order: Order
    chunks: ChunkStarts | None  # of the window of the order
    own_order: bool  # whether the user has passed the order, and so the size of its window
    batch_size: int | Literal["auto"]
    shard: Shard
    last: Last
    threads: int | None
    transforms: Sequence[Step]
    layout: Layout
    dtype: DTypeLike | None
    fast_decode: bool
    bad_rows: BadRowPolicy
    budget: Budget


@dataclass(frozen=True)
class Inferred:
    """The pipeline of a loader, with the shapes of rows at each stage, and the cache of its chunks if its order has a window."""

    settings: Settings
    pipeline: Pipeline
    cache: CachedSource | None


@dataclass(frozen=True)
class MemoryPlan:
    """Batches of a loader, and the memory that they need: slots, threads, and the window of the order.

    ``least`` is the need with the least threads and the whole window.
    """

    batching: Batching
    needs: MemoryNeeds
    least: MemoryNeeds

    @property
    def slot(self) -> MemoryRequest:
        """Request of one slot."""
        return self.needs.slots_request(self.batching.rows_of_rank, 1)

    def with_slots(self, slots: int) -> MemoryPlan:
        """Return the plan with another number of slots."""
        return replace(self, needs=replace(self.needs, slots=slots), least=replace(self.least, slots=slots))

    def with_window(self, nbytes: int) -> MemoryPlan:
        """Return the plan with a window of another size."""
        return replace(self, needs=replace(self.needs, window=nbytes))


@dataclass(frozen=True)
class Resources:
    """Memory of a loader: charges of its fixed parts, ring of slots, and pool for decoding."""

    charges: list[Charge]
    ring: Ring
    pool: Pool | None


def resolve(
    source: Source,
    *,
    batch_size: int | Literal["auto"],
    transforms: Sequence[Step],
    memory: int | str | Budget,
    shuffle: bool,
    seed: int,
    order: Order | Literal["balanced"] | None,
    shard: Shard | Literal["auto"] | None,
    last: Last | None,
    threads: int | None,
    layout: Layout,
    dtype: DTypeLike | None,
    on_error: Literal["raise", "skip"],
    max_bad: float,
    fast_decode: bool,
) -> Settings:
    """Check the settings of a loader, and choose the order of rows, the rank, and the handling of the last rows.

    Raises
    ------
    BadSetting
        If a setting is not valid, or does not fit the source.
    """
    if not isinstance(source, Source):
        raise BadSetting(f"source must be a Source, such as the result of bs.open(...), not {type(source).__name__}")
    own_order = isinstance(order, Order)
    chosen, chunks = _with_chunks(source, _chosen_order(source, order, seed, shuffle), batch_size)
    if not isinstance(shard, Shard):
        if shard not in (None, "auto"):
            raise BadSetting(f'shard must be a bs.Shard(rank, world_size) or "auto", not {shard!r}')
        shard = Shard() if shard is None else shard_of_this_process()
    if last is None:
        last = "short" if shard.world_size == 1 else "drop" if chosen.shuffle else "pad"
    threads = check_threads(threads)
    bad_rows = BadRowPolicy(on_error, max_bad, len(source))
    return Settings(
        source, chosen, chunks, own_order, batch_size, shard, last, threads, transforms, layout, dtype, fast_decode, bad_rows,
        as_budget(memory),
    )  # fmt: skip


def _chosen_order(source: Source, order: Order | str | None, seed: int, shuffle: bool) -> Order:
    """Return the order for the settings of a loader. Check an order that is passed."""
    n = len(source)
    if order is None and shuffle and source.mixture is None and source.reads_by_chunk:
        return _order_by_chunk(source, seed)
    if order is None:
        return Order(n, seed, shuffle, mixture=source.mixture)
    if order == "balanced":
        if source.labels is None:
            raise BadSetting(f'order="balanced" needs class labels, but {source!r} has none')
        return Order(n, seed, shuffle, weights=balanced(source.labels))
    if not isinstance(order, Order):
        raise BadSetting(f'order must be an Order or "balanced", not {order!r}')
    if seed != 0 or not shuffle:
        raise BadSetting("pass either order= or shuffle=/seed=; an Order defines both")
    if order.n != n:
        raise BadSetting(f"the order has {order.n} rows, but the source has {n}")
    return order


def _order_by_chunk(source: Source, seed: int) -> Order:
    """Return an order with windows for a source that is read chunk by chunk. It depends on the data only, not on the machine."""
    chunks = source.chunks()
    assert chunks is not None
    rows = int(np.diff(chunks.starts).max())
    fixed = sum(field.nbytes for field in source.spec.values() if isinstance(field, Field))
    encoded = 0 if chunks.nbytes is None else int(chunks.nbytes.max())
    streams = min(max(_STREAMS_NBYTES // max(1, rows * fixed + encoded), 1), _MOST_STREAMS)
    return Order(len(source), seed, window=streams * rows, streams=streams)


def _with_chunks(source: Source, order: Order, batch_size: int | str) -> tuple[Order, ChunkStarts | None]:
    """Return an order with the chunks of the source and the batch size, if it has a window, and these chunks."""
    if order.window is None:
        return order, None
    chunks = source.chunks() if order.chunks is None else ChunkStarts(np.asarray(order.chunks))
    if chunks is None:
        raise BadSetting(
            f"window: {source!r} has no chunks of rows that are cheaper to read together. Remove window to shuffle all rows at once"
        )
    if order.batch_size is None and not isinstance(batch_size, int | np.integer):
        raise BadSetting('window: the streams divide each batch among them, so batch_size must be a number, not "auto"')
    order = replace(order, chunks=chunks.starts, batch_size=order.batch_size or max(1, int(batch_size)))
    assert order.windows is not None
    return order, ChunkStarts(order.windows.starts, chunks.nbytes)


def infer(settings: Settings) -> Inferred:
    """Infer the shapes of rows from the source and the transforms, and check that they fit each other.

    Raises
    ------
    BadSetting
        If transforms, layout or dtype do not fit the source.
    """
    source, budget = settings.source, settings.budget
    cache = CachedSource(source, settings.chunks) if settings.chunks is not None else None
    transforms = measured(source, settings.transforms, budget)
    pipeline = Pipeline(cache or source, transforms, settings.layout, settings.dtype, settings.fast_decode, budget)
    return Inferred(settings, pipeline, cache)


def plan(inferred: Inferred) -> MemoryPlan:
    """Choose batch size, threads and window so that they fit the budget, which grows to the need if it is automatic.

    Raises
    ------
    DoesNotFit
        If the budget is too small. The message has the figures, and a setting that fits.
    BadSetting
        If the batch size is not valid.
    """
    settings, pipeline, budget = inferred.settings, inferred.pipeline, inferred.settings.budget
    working = settings.threads or processor_share()
    needs = MemoryNeeds(
        pipeline,
        settings.order,
        slots=1 + SPARE_SLOTS,
        threads=settings.threads or working + STANDBY[0],
        working=working,
        limit=available(working),
        overhead=measure_overhead(budget.in_use),
    )
    batching = Batching(settings.order, _batch_size(settings, needs), settings.last, settings.shard)
    if pipeline.steps.mixes:
        batching.refuse_torn_pairs()
    if batching.left_out and not batching.shard.rank:
        _log.info("%s", batching.left_out_line())
    least = replace(needs, window=0 if inferred.cache is None else inferred.cache.window_nbytes(batching))
    automatic, rows = settings.threads is None, batching.rows_of_rank
    preferred = _with_more_threads(least, rows, budget) if automatic else least
    chosen = fitted(preferred, rows, budget, any_threads=automatic, any_window=not settings.own_order)
    grow_or_refuse(chosen, batching, budget)
    return MemoryPlan(batching, chosen, least)


def _batch_size(settings: Settings, needs: MemoryNeeds) -> int:
    """Return the batch size of the settings; for ``"auto"`` the largest that fits the budget."""
    batch_size: Any = settings.batch_size
    if batch_size == "auto":
        return auto_batch_size(needs, min(len(settings.source), _MOST_ROWS), settings.budget)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise BadSetting(f'batch_size must be a whole number of at least 1, or "auto", not {batch_size!r}')
    return int(batch_size)


def _with_more_threads(needs: MemoryNeeds, rows: int, budget: Budget) -> MemoryNeeds:
    """Return needs with more threads in reserve, if much memory is free: slots of outputs and other loaders have priority."""
    more = replace(needs, threads=needs.working + threads_beside(needs.pipeline, budget))
    return more if more.total(rows) <= budget.free // 2 else needs


def allocate(memory_plan: MemoryPlan, budget: Budget) -> Resources:
    """Charge all memory of a loader, and allocate its slots. Its threads, which start with the first loop, use the rest."""
    needs, rows = memory_plan.needs, memory_plan.batching.rows_of_rank
    pipeline = needs.pipeline
    fixed = [request for request in needs.requests(rows) if request.lifetime == "loader"]
    charges = [budget.charge(request.nbytes, request.name) for request in fixed]
    slots = charge_slots(memory_plan.slot, needs.slots, budget)
    decode = decode_request(needs.decode_nbytes(rows, budget.total, budget.free))
    pool = budget.pool(decode.nbytes, decode.name) if pipeline.decodes else None
    return Resources(charges, Ring(pipeline.slot_fields, rows, slots), pool)


def charge_slots(slot: MemoryRequest, count: int, budget: Budget) -> list[Charge]:
    """Charge some slots: all of them, or none if they do not fit the budget.

    Raises
    ------
    DoesNotFit
        If they do not fit the budget.
    """
    return [budget.charge(slot.nbytes, slot.name) for _ in range(count)]
