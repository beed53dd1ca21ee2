"""Memory that a loader needs, computed before any of it is allocated, and errors if it does not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bitesize.engine.batching import Batching, order_request
from bitesize.engine.read_ahead import RemoteNeed
from bitesize.engine.ring import copied_fields, slots_request
from bitesize.engine.window.schedule import shared_line
from bitesize.memory.budget import Budget
from bitesize.memory.limits import Limit
from bitesize.memory.plan import Plan
from bitesize.memory.pool import Pool
from bitesize.memory.request import MemoryRequest, total_nbytes
from bitesize.memory.sizes import counted, format_size
from bitesize.order.order import Order
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import scratch_nbytes
from bitesize.spec import Encoded, Field

# Size of the pool for decoding: enough for a photograph of 12 megapixels decoded by Pillow, or an eighth of a large budget;
# but at most half of the memory that the fixed parts leave, and never less than one small image needs.
POOL = 256 << 20
POOL_SHARE = 8
POOL_LEAST = 4 << 20
# Slots in addition to those that the caller holds: one to return next, and one to fill.
SPARE_SLOTS = 2
# Name of the rows that are kept in memory.
KEPT = "rows in memory"
# Smaller data gets no hint about its dtype.
_WORTH_A_HINT = 64 << 20


@dataclass(frozen=True)
class MemoryNeeds:
    """Memory that a loader needs, for batches of any size.

    ``slots`` is the number of batches in memory, and ``window`` the size in bytes of the rows in memory from which an order selects.
    ``normalized`` is the size in bytes of what an output computes from one batch in the memory of this process.
    Of ``threads``, the first ``working`` start at once; others wait. ``limit`` is the tightest limit of this process, apart from the
    budget, and ``overhead`` the memory that the process uses outside the budget. ``kept`` is the request for keeping all rows in
    memory, if they are kept; ``ahead`` is what rows need from object stores.
    """

    pipeline: Pipeline
    order: Order
    slots: int
    threads: int
    working: int
    limit: Limit
    overhead: int
    window: int = 0
    normalized: int = 0
    kept: MemoryRequest | None = None
    ahead: RemoteNeed | None = None

    def requests(self, rows: int) -> list[MemoryRequest]:
        """Return the requests of all parts except the pool for decoding, for batches of ``rows`` rows per rank."""
        kept = [] if self.kept is None else [self.kept]
        return [self.slots_request(rows, self.slots), *self.fixed_requests(rows), *kept]

    def fixed_requests(self, rows: int) -> list[MemoryRequest]:
        """Return the requests that stay until the loader is closed: all except slots and the pool. A new part adds its own here."""
        pipeline, source, windows = self.pipeline, self.pipeline.source, self.order.windows
        requests = [
            _scratch_request(pipeline, rows, self.threads, self.working),
            MemoryRequest("index", source.nbytes, "loader", f"names and labels of {counted(len(source), 'row')}"),
            order_request(self.order, rows),
        ]
        kept = pipeline.cached or pipeline.stored
        if kept is not None:
            detail = f"where each of {counted(len(source), 'row')} lies on disk"
            requests.append(MemoryRequest("cache index", kept.cache_nbytes, "loader", detail))
        if self.ahead is not None:
            requests.append(self.ahead.request)
        if windows is not None:
            held = min(windows.window_rows * windows.streams, len(source))
            requests.append(
                MemoryRequest("window", self.window, "loader", f"{held:,} rows to select from, and the rows to read next")
            )
        detail = (
            f"{counted(self.slots, 'batch', 'batches')} of {format_size(self.normalized)}, because the device is the CPU"
        )
        requests.append(MemoryRequest("normalized batches", self.slots * self.normalized, "batch", detail))
        return [request for request in requests if request.nbytes]

    def slots_request(self, rows: int, slots: int) -> MemoryRequest:
        """Return the request of some slots of ``rows`` rows."""
        copied = copied_fields(self.pipeline.out, self.pipeline.source.primary)
        return slots_request(self.pipeline.slot_fields, rows, slots, copied)

    def decode_request(self, rows: int, total: int, free: int) -> MemoryRequest:
        """Return the request of the pool for decoding, in a budget of ``total`` bytes of which ``free`` are not charged yet."""
        left = min(free, self.limit.room) - total_nbytes(self.requests(rows))
        nbytes = max(POOL_LEAST, min(max(POOL, total // POOL_SHARE), left // 2))
        return MemoryRequest("decoding", nbytes, "row", "in reserve for images while they are decoded")

    def total(self, rows: int) -> int:
        """Return the least bytes for batches of ``rows`` rows per rank."""
        return total_nbytes(self.requests(rows)) + (POOL_LEAST if self.pipeline.decodes else 0)


@dataclass(frozen=True)
class MemoryPlan:
    """Batches of a loader, and the memory that they need: slots, threads, window of the order, and pool for decoding.

    ``least`` is the need of the whole window and few threads in reserve, before both were fitted to the budget. ``keepable`` is the
    request for keeping all rows in memory, of 0 bytes if they cannot be kept.
    """

    batching: Batching
    needs: MemoryNeeds
    least: MemoryNeeds
    decode: MemoryRequest | None
    keepable: MemoryRequest

    @property
    def slot(self) -> MemoryRequest:
        """Request of one slot."""
        return self.needs.slots_request(self.batching.rows_of_rank, 1)

    def with_slots(self, slots: int) -> MemoryPlan:
        """Return the plan with another number of slots."""
        return replace(self, needs=replace(self.needs, slots=slots), least=replace(self.least, slots=slots))

    def with_normalized(self, nbytes: int) -> MemoryPlan:
        """Return the plan with ``nbytes`` bytes for what an output computes from one batch."""
        return replace(self, needs=replace(self.needs, normalized=nbytes), least=replace(self.least, normalized=nbytes))

    def with_kept(self, request: MemoryRequest | None) -> MemoryPlan:
        """Return the plan with all rows in memory, or without."""
        return replace(self, needs=replace(self.needs, kept=request))

    def with_window(self, nbytes: int) -> MemoryPlan:
        """Return the plan with a window of another size."""
        return replace(self, needs=replace(self.needs, window=nbytes))


def _scratch_request(pipeline: Pipeline, rows: int, threads: int, working: int) -> MemoryRequest:
    """Return the request of the scratch of all threads, of which some wait in reserve."""
    each = thread_nbytes(pipeline, rows)
    spare = max(0, threads - working)
    reserve = f" and {spare} in reserve" if spare else ""
    working_threads = f"{threads - spare} thread{'' if threads - spare == 1 else 's'}"
    detail = f"{working_threads}{reserve}, {format_size(each)} each{' to read files into' if pipeline.decodes else ''}"
    return MemoryRequest("thread scratch", threads * each, "loader", detail)


def thread_nbytes(pipeline: Pipeline, rows: int) -> int:
    """Return the bytes of one thread's permanent scratch, for batches of ``rows`` rows."""
    bite = min(pipeline.bite, rows)
    own = scratch_nbytes(pipeline.scratch_fields(rows), pipeline.decodes, pipeline.kernel_values)
    return own + pipeline.source.scratch(bite)


def make_plan(memory_plan: MemoryPlan, budget: Budget, pool: Pool | None) -> Plan:
    """Return the plan of a loader as a table, with the current size of its pool for decoding if it has one."""
    needs, batching = memory_plan.needs, memory_plan.batching
    rows = batching.rows_of_rank
    requests = needs.requests(rows)
    if memory_plan.decode is not None and pool is not None:
        requests.append(replace(memory_plan.decode, nbytes=pool.size))
    source, out, limit = needs.pipeline.source, needs.pipeline.out, needs.limit
    hints = _hints(source.spec[source.primary], out[source.primary], len(source))
    if memory_plan.keepable.nbytes and needs.kept is None:
        hints = (*hints, _not_kept(memory_plan.keepable, budget))
    return Plan(
        rows=len(source),
        batch_size=batching.batch_size,
        batches=len(batching),
        fields={name: f"({rows}, {', '.join(map(str, field.shape))}) {field.dtype}".replace(", )", ",)")
                for name, field in out.items()},
        parts=tuple(requests),
        budget=budget.total,
        origin=budget.origin,
        naive_shape=out[source.primary].shape,
        stored_shape=needs.pipeline.stored_shape(),
        limit=(limit.name, limit.room),
        threads=needs.threads,
        overhead=needs.overhead,
        hints=(*hints, *(f"{line}." for line in batching_lines(batching))),
    )  # fmt: skip


def batching_lines(batching: Batching) -> list[str]:
    """Return what users should know about how an order is cut into batches and divided among ranks: rows left out, chunks read often."""
    shared = shared_line(batching) if batching.order.windows is not None else ""
    return [line for line in (batching.left_out_line(), shared) if line]


def _not_kept(request: MemoryRequest, budget: Budget) -> str:
    """Return a sentence about small rows that are not kept in memory, with the setting that keeps them."""
    enough = format_size(2 * request.nbytes + budget.granted, ceil=True)
    return (
        f"Rows are read from their files in each epoch: keeping them in memory, which is faster, takes {format_size(request.nbytes)}, at "
        f'most half of what the budget has free (memory="{enough}" is enough).'
    )


def _hints(stored: Field | Encoded, drawn: Field, rows: int) -> tuple[str, ...]:
    """Return hints about dtypes that cost memory without benefit."""
    hints = []
    if drawn.dtype == np.float64:
        hints.append('Batches are float64: dtype="float32" takes half the memory, and models compute in float32.')
    if isinstance(stored, Field) and stored.dtype == np.float64 and rows * stored.nbytes >= _WORTH_A_HINT:
        now, half = format_size(rows * stored.nbytes), format_size(rows * stored.nbytes // 2)
        hints.append(
            f"The data is stored as float64 ({now}): as float32 it would take half of that ({half}) and load about twice as fast."
        )
    elif isinstance(stored, Field) and stored.dtype == np.uint8 and drawn.dtype == np.float32:
        hints.append("The data stays 8-bit until it is in the batch: a quarter of float32 on disk, an eighth of float64.")
    return tuple(hints)
