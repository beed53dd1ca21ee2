"""Memory that a loader needs, computed before any of it is allocated, and errors if it does not fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from bitesize.engine.batching import Batching, order_request
from bitesize.engine.ring import copied_fields, slots_request
from bitesize.errors import DoesNotFit
from bitesize.memory.budget import Budget
from bitesize.memory.limits import MOST_STANDBY, Limit
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
# Idle threads for times when others wait for the disk or the interpreter: at least 2. With 14, two processors have 16 reads in
# progress, which is best for disks. More than 2 take at most 1 / STANDBY_SHARE of the budget.
STANDBY = (2, MOST_STANDBY)
STANDBY_SHARE = 32
# Approximate memory of a thread in addition to its scratch: the part of its stack that it uses.
_THREAD = 128 << 10
# Smaller data gets no hint about its dtype.
_WORTH_A_HINT = 64 << 20
_log = logging.getLogger("bitesize")


@dataclass(frozen=True)
class MemoryNeeds:
    """Memory that a loader needs, for batches of any size.

    ``slots`` is the number of batches in memory, and ``window`` the size in bytes of the rows in memory from which an order selects.
    Of ``threads``, the first ``working`` start at once; others wait. ``limit`` is the tightest limit of this process, apart from the
    budget, and ``overhead`` the memory that the process uses outside the budget.
    """

    pipeline: Pipeline
    order: Order
    slots: int
    threads: int
    working: int
    limit: Limit
    overhead: int
    window: int = 0

    def requests(self, rows: int) -> list[MemoryRequest]:
        """Return the requests of all parts except the pool for decoding, for batches of ``rows`` rows per rank."""
        pipeline, source, windows = self.pipeline, self.pipeline.source, self.order.windows
        requests = [
            self.slots_request(rows, self.slots),
            _scratch_request(pipeline, rows, self.threads, self.working),
            MemoryRequest("index", source.nbytes, "loader", f"names and labels of {counted(len(source), 'row')}"),
            order_request(self.order, rows),
        ]
        if windows is not None:
            held = min(windows.window_rows * windows.streams, len(source))
            requests.append(
                MemoryRequest("window", self.window, "loader", f"{held:,} rows to select from, and the rows to read next")
            )
        return [request for request in requests if request.nbytes]

    def slots_request(self, rows: int, slots: int) -> MemoryRequest:
        """Return the request of some slots of ``rows`` rows."""
        copied = copied_fields(self.pipeline.out, self.pipeline.source.primary)
        return slots_request(self.pipeline.slot_fields, rows, slots, copied)

    def decode_nbytes(self, rows: int, total: int, left: int) -> int:
        """Return the size of the pool for decoding, from the total budget and the memory that the other parts leave."""
        if not self.pipeline.decodes:
            return 0
        left = min(left, self.limit.room - total_nbytes(self.requests(rows)))
        return max(POOL_LEAST, min(max(POOL, total // POOL_SHARE), left // 2))

    def total(self, rows: int) -> int:
        """Return the least bytes for batches of ``rows`` rows per rank."""
        return total_nbytes(self.requests(rows)) + (POOL_LEAST if self.pipeline.decodes else 0)


def _scratch_request(pipeline: Pipeline, rows: int, threads: int, working: int) -> MemoryRequest:
    """Return the request of the scratch of all threads, of which some wait in reserve."""
    each = thread_nbytes(pipeline, rows)
    spare = max(0, threads - working)
    reserve = f" and {spare} in reserve" if spare else ""
    working_threads = f"{threads - spare} thread{'' if threads - spare == 1 else 's'}"
    detail = f"{working_threads}{reserve}, {format_size(each)} each{' to read files into' if pipeline.decodes else ''}"
    return MemoryRequest("thread scratch", threads * each, "loader", detail)


def decode_request(nbytes: int) -> MemoryRequest:
    """Return the request of a pool for decoding."""
    return MemoryRequest("decoding", nbytes, "row", "in reserve for images while they are decoded")


def thread_nbytes(pipeline: Pipeline, rows: int) -> int:
    """Return the bytes of one thread's permanent scratch, for batches of ``rows`` rows."""
    bite = min(pipeline.bite, rows)
    own = scratch_nbytes(pipeline.scratch_fields(rows), pipeline.decodes, pipeline.kernel_values)
    return own + pipeline.source.scratch(bite)


def threads_beside(pipeline: Pipeline, budget: Budget) -> int:
    """Return the number of idle threads for times when others wait, limited by the scratch that a small part of the budget allows."""
    each = max(_THREAD, thread_nbytes(pipeline, pipeline.bite))
    return min(max(budget.total // STANDBY_SHARE // each, STANDBY[0]), STANDBY[1])


def auto_batch_size(needs: MemoryNeeds, most: int, budget: Budget) -> int:
    """Return the largest power of two, up to ``most``, that fits the free part of the budget; 1 if none fits."""
    size = 1 << (max(1, most).bit_length() - 1)
    while size > 1 and needs.total(size) > budget.free:
        size //= 2
    return size


def fitted(needs: MemoryNeeds, rows: int, budget: Budget, *, any_threads: bool, any_window: bool) -> MemoryNeeds:
    """Return needs that fit the budget, if possible, with fewer threads or a smaller window. Both affect the speed only.

    Parameters
    ----------
    needs
        Preferred needs.
    rows
        Rows of a batch, per rank.
    budget
        Budget of the loader.
    any_threads, any_window
        Whether the number of threads and the size of the window may change, because the user did not set them.
    """
    free = budget.most - budget.granted
    if needs.total(rows) <= free:
        return needs
    threads = range(needs.threads - 1, 0, -1) if any_threads else range(0)
    fewer = next((less for n in threads if (less := replace(needs, threads=n)).total(rows) <= free), None)
    if fewer is not None:
        return fewer
    alone = replace(needs, threads=1 if any_threads else needs.threads)
    window = needs.window - (alone.total(rows) - free)
    if not any_window or window < 0:
        return alone  # so that the error names the least memory that is enough
    whole = format_size(budget.most - free + needs.total(rows), ceil=True)
    _log.warning(
        "shuffling needs %s for chunks in memory, but the budget has %s: chunks are read more than once, which is slower. "
        'With memory="%s", each chunk is read once.',
        format_size(needs.window),
        format_size(window),
        whole,
    )
    return replace(alone, window=window)


def grow_or_refuse(needs: MemoryNeeds, batching: Batching, budget: Budget) -> None:
    """Grow an automatic budget to the need. Raise `DoesNotFit` with need, room and setting if that is not enough."""
    rows, slots = batching.rows_of_rank, needs.slots
    need = needs.total(rows)
    if budget.grow(need, f"batches of {counted(batching.batch_size, 'row')} need it"):
        _refuse_unless_there_is_room(need, needs.limit)
        return
    free = budget.most - budget.granted
    buffers = sum(request.nbytes for request in needs.requests(rows) if request.lifetime == "batch")
    rest = need - buffers
    room = f"{format_size(free)} of the budget are free" if budget.granted else f"the budget is {format_size(budget.total)}"
    ways = f'raise memory to "{format_size(budget.most - free + need, ceil=True)}"'
    fitting = _largest_fitting(needs, rows, free)
    if fitting:
        ways = f"Lower batch_size to {fitting * batching.shard.world_size} or {ways}"
    else:
        ways = f"No batch fits: {ways}"
        less = format_size(budget.most - free + needs.total(1), ceil=True)
        if f'"{less}"' not in ways:
            ways += f', or to "{less}" with batch_size={batching.shard.world_size}'
    if needs.window > free // 2:
        ways += f", or lower window or streams of the order, whose window needs {format_size(needs.window)}"
    other_parts = f", plus {format_size(rest)} for other parts" if rest else ""
    primary = needs.pipeline.out[needs.pipeline.source.primary]
    raise DoesNotFit(
        f"{counted(rows, 'row')} of {primary} {'takes' if rows == 1 else 'take'} {format_size(buffers // slots)} a batch; {slots} "
        f"batches in memory need {format_size(buffers)}{other_parts}, but {room}{budget.bound}. {ways}."
    )


def _refuse_unless_there_is_room(need: int, limit: Limit) -> None:
    """Raise `DoesNotFit` if the need is within the budget but above a limit of the process, at which the kernel would end it."""
    if need > limit.room:
        raise DoesNotFit(
            f"this loader needs {format_size(need)}, which its budget allows, but {limit.name} leaves {format_size(limit.room)} for "
            "this process. Lower batch_size, or raise that limit."
        )


def _largest_fitting(needs: MemoryNeeds, rows: int, free: int) -> int:
    low, high = 0, rows
    while high - low > 1:  # the need grows with the rows
        middle = (low + high) // 2
        low, high = (middle, high) if needs.total(middle) <= free else (low, middle)
    return low


def make_plan(needs: MemoryNeeds, batching: Batching, budget: Budget, pool: Pool | None) -> Plan:
    """Return the plan of a loader, with its pool for decoding if it has one."""
    rows = batching.rows_of_rank
    requests = [*needs.requests(rows), *([decode_request(pool.size)] if pool is not None else [])]
    source, out, limit = needs.pipeline.source, needs.pipeline.out, needs.limit
    hints = _hints(source.spec[source.primary], out[source.primary], len(source))
    left_out = batching.left_out_line()
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
        hints=(*hints, f"{left_out}.") if left_out else hints,
    )  # fmt: skip


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
