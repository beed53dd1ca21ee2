"""How a loader is made, in four steps: ``resolve`` the settings, ``infer`` the shapes of rows, ``plan`` the memory, ``allocate`` it.

Each step returns a frozen value, made from the value of the step before. Memory is charged by the last step only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from numpy.typing import DTypeLike

from bitesize.checks import is_whole
from bitesize.engine.bad_rows import BadRowPolicy
from bitesize.engine.batching import Batching, Last
from bitesize.engine.distributed import shard_of_this_process
from bitesize.engine.fitting import STANDBY, auto_batch_size, fitted, grow_or_refuse, with_more_threads
from bitesize.engine.kept_rows import KeptRows, fits_beside, request_of
from bitesize.engine.memory_plan import SPARE_SLOTS, MemoryNeeds, MemoryPlan, batching_lines
from bitesize.engine.order_choice import choose_order
from bitesize.engine.read_ahead import RowsAhead, remote_need
from bitesize.engine.ring import Ring
from bitesize.engine.window.source import CachedSource
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.charge import Charge
from bitesize.memory.limits import available, check_threads, processor_share, spare_threads
from bitesize.memory.overhead import measure_overhead
from bitesize.memory.pool import Pool
from bitesize.memory.request import MemoryRequest
from bitesize.order.order import Order, Shard
from bitesize.packed.cache_folder import CacheFolder
from bitesize.packed.cache_settings import Cache, cache_setting
from bitesize.packed.row_cache import RowCache
from bitesize.pipeline.caching import root_of
from bitesize.pipeline.inference import Layout
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.stages import sort_transforms
from bitesize.pipeline.stored_rows import StoredRows, is_remote, keeps_stored, plan_stored
from bitesize.scan.normalization import resolve_normalization
from bitesize.sources.base import Source
from bitesize.sources.protocol import ChunkStarts
from bitesize.transforms.base import Step

# Largest batch size that "auto" chooses.
_MOST_ROWS = 256
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
    cache: Cache | None


@dataclass(frozen=True)
class Inferred:
    """The pipeline of a loader, with the shapes of rows at each stage, and the cache of its chunks if its order has a window."""

    settings: Settings
    pipeline: Pipeline
    cache: CachedSource | None


@dataclass(frozen=True)
class Resources:
    """Memory of a loader: charges of its fixed parts, ring of slots, pool for decoding, rows in memory, cache on disk, requests ahead."""

    charges: list[Charge]
    ring: Ring
    pool: Pool | None
    kept: KeptRows | None
    cache: RowCache | None
    ahead: RowsAhead | None


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
    cache: Cache | str | os.PathLike[str] | None = None,
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
    chosen, chunks = choose_order(source, order, seed, shuffle, batch_size)
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
        as_budget(memory), cache_setting(cache),
    )  # fmt: skip


def infer(settings: Settings) -> Inferred:
    """Infer the shapes of rows from the source and the transforms, and check that they fit each other.

    Raises
    ------
    BadSetting
        If transforms, layout or dtype do not fit the source.
    """
    source, budget = settings.source, settings.budget
    stored = _stored_rows(settings)
    if isinstance(stored, StoredRows):
        source = stored
    cache = CachedSource(source, settings.chunks) if settings.chunks is not None else None
    transforms = resolve_normalization(source, settings.transforms, budget)
    pipeline = Pipeline(
        cache or source, transforms, settings.layout, settings.dtype, settings.fast_decode, budget, settings.cache, stored
    )
    if pipeline.not_cached:
        _log.info("cache: nothing is kept: %s", pipeline.not_cached)
    return Inferred(settings, pipeline, cache)


def _stored_rows(settings: Settings) -> StoredRows | str | None:
    """Return the source with a cache of its rows in their stored form; why nothing is kept; or None for other caches, or none."""
    if settings.cache is None or not keeps_stored(settings.source, settings.cache):
        return None
    kept = plan_stored(settings.source, sort_transforms(settings.transforms), settings.cache)
    return kept if isinstance(kept, str) else StoredRows(settings.source, kept, settings.cache.size != 0)


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
    remote = remote_need(settings.source, by_chunk=inferred.cache is not None)
    needs = MemoryNeeds(
        pipeline,
        settings.order,
        slots=1 + SPARE_SLOTS,
        threads=settings.threads or working + STANDBY[0],
        working=working,
        limit=available(working),
        overhead=measure_overhead(budget.in_use),
        ahead=None if remote is None else remote.fitted(budget.free, spare_threads(working, budget.total)),
    )
    batching = Batching(settings.order, _batch_size(settings, needs), settings.last, settings.shard)
    if pipeline.stages.mixes:
        batching.refuse_torn_pairs()
    if not batching.shard.rank:
        for line in batching_lines(batching):
            _log.info("%s", line)
    least = replace(needs, window=0 if inferred.cache is None else inferred.cache.window_nbytes(batching))
    automatic, rows = settings.threads is None, batching.rows_of_rank
    preferred = with_more_threads(least, rows, budget) if automatic else least
    chosen = fitted(preferred, rows, budget, any_threads=automatic, any_window=not settings.own_order)
    grow_or_refuse(chosen, batching, budget)
    decode = chosen.decode_request(rows, budget.total, budget.free) if pipeline.decodes else None
    keepable = request_of(pipeline.source)
    kept = keepable if fits_beside(keepable, chosen, rows, budget) else None
    return MemoryPlan(batching, replace(chosen, kept=kept), least, decode, keepable)


def _batch_size(settings: Settings, needs: MemoryNeeds) -> int:
    """Return the batch size of the settings; for ``"auto"`` the largest that fits the budget."""
    batch_size: Any = settings.batch_size
    if batch_size == "auto":
        return auto_batch_size(needs, min(len(settings.source), _MOST_ROWS), settings.budget)
    if not is_whole(batch_size, least=1):
        raise BadSetting(f'batch_size must be a whole number of at least 1, or "auto", not {batch_size!r}')
    return int(batch_size)


def allocate(memory_plan: MemoryPlan, settings: Settings) -> Resources:
    """Charge all memory of a loader, and allocate its slots. Its threads, which start with the first loop, use the rest."""
    budget = settings.budget
    needs, rows, decode = memory_plan.needs, memory_plan.batching.rows_of_rank, memory_plan.decode
    charges = [budget.charge(request.nbytes, request.name) for request in needs.fixed_requests(rows)]
    slots = charge_slots(memory_plan.slot, needs.slots, budget)
    pool = budget.pool(decode.nbytes, decode.name) if decode is not None else None
    ring = Ring(needs.pipeline.slot_fields, rows, slots)
    keepable = memory_plan.keepable
    kept = KeptRows(needs.pipeline.source, keepable, budget, first=rows) if keepable.nbytes else None
    if kept is not None and needs.kept is not None:
        kept.keep()
    cache = _open_cache(memory_plan, settings)
    ahead = None
    if needs.ahead is not None:
        caches = [each for each in (needs.pipeline.cached, needs.pipeline.stored, kept) if each is not None]
        ahead = RowsAhead(settings.source, memory_plan.batching, needs.ahead, caches)
    return Resources(charges, ring, pool, kept, cache, ahead)


def _open_cache(memory_plan: MemoryPlan, settings: Settings) -> RowCache | None:
    """Open the cache of a pipeline, whose index is charged."""
    pipeline, cache = memory_plan.needs.pipeline, settings.cache
    cached = pipeline.cached or pipeline.stored
    if cached is None or cache is None or not cached.keeps:
        return None
    key, about = cached.plan.key(settings.source, settings.fast_decode, settings.layout)
    folder = CacheFolder(cache.path, cache.limit, key, about)
    rows = RowCache(
        folder, cached.plan.fields, len(root_of(settings.source)), cached.plan.row_nbytes * len(settings.source), memory_plan.needs.working,
        always=is_remote(settings.source),
    )  # fmt: skip
    cached.attach(rows)
    return rows


def charge_slots(slot: MemoryRequest, count: int, budget: Budget) -> list[Charge]:
    """Charge some slots: all of them, or none if they do not fit the budget.

    Raises
    ------
    DoesNotFit
        If they do not fit the budget.
    """
    return [budget.charge(slot.nbytes, slot.name) for _ in range(count)]
