"""Memory that a loader needs, computed before any of it is allocated, and errors if it does not fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from bitesize.engine.batching import Batching
from bitesize.engine.ring import copied_fields, slot_nbytes
from bitesize.errors import BadSetting, DoesNotFit
from bitesize.memory.budget import Budget
from bitesize.memory.limits import MOST_STANDBY, Limit
from bitesize.memory.plan import Part, Plan
from bitesize.memory.pool import Pool
from bitesize.memory.sizes import counted, format_size
from bitesize.order.order import Order
from bitesize.order.weighted import balanced
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import scratch_nbytes
from bitesize.sources.base import Source
from bitesize.sources.rows import ChunkStarts
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
# Number of streams for a source that is read chunk by chunk; fewer if chunks are large.
_MOST_LANES, _LANES_NBYTES = 8, 16 << 20
# Bytes per row in addition to its fields: mask, row number and random numbers of pending batches (8 bytes for up to 16 numbers).
_ROW_OVERHEAD = 160
# Smaller data gets no hint about its dtype.
_WORTH_A_HINT = 64 << 20
_log = logging.getLogger("bitesize")


@dataclass(frozen=True)
class Needs:
    """Memory that a loader needs, for batches of any size.

    ``room`` is the tightest limit of this process, apart from the budget, and ``overhead`` the memory that the process uses outside
    the budget. ``window`` is the size in bytes of the rows in memory from which an order selects. Of ``threads``, the first
    ``working`` start at once (0: all threads); others wait.
    """

    pipeline: Pipeline
    order: Order
    threads: int
    room: Limit
    overhead: int
    window: int = 0
    working: int = 0

    def fixed_parts(self, rows: int) -> list[Part]:
        """Return all permanent parts except the slots, for batches of ``rows`` rows per rank."""
        source, pipeline = self.pipeline.source, self.pipeline
        each = thread_nbytes(pipeline, rows)
        spare = max(0, self.threads - (self.working or self.threads))
        working = f"{self.threads - spare} thread{'' if self.threads - spare == 1 else 's'}"
        beside = f" and {spare} in reserve" if spare else ""
        detail = f"{working}{beside}, {format_size(each)} each{' to read files into' if pipeline.decodes else ''}"
        parts = [Part("thread scratch", self.threads * each, detail)]
        parts.append(Part("index", source.nbytes, f"names and labels of {counted(len(source), 'row')}"))
        parts.append(Part("order", self.order.nbytes + rows * _ROW_OVERHEAD * 4, self.order.detail))
        if self.window and self.order.windows is not None:
            streams = self.order.windows.streams
            held = min(self.order.windows.window_rows * streams, len(source))
            parts.append(Part("window", self.window, f"{held:,} rows to select from, and the rows to read next"))
        return [part for part in parts if part.nbytes]

    def slots_part(self, rows: int, slots: int) -> Part:
        """Return the part of the ring."""
        nbytes = batch_nbytes(self.pipeline, rows)
        return Part("batch buffers", slots * nbytes, f"{counted(slots, 'batch', 'batches')} of {format_size(nbytes)}")

    def pool_nbytes(self, rows: int, slots: int, total: int, left: int) -> int:
        """Return the size of the pool, from the total budget and the memory that the other parts leave."""
        if not self.pipeline.decodes:
            return 0
        left = min(left, self.room.room - self._permanent(rows, slots))
        return max(POOL_LEAST, min(max(POOL, total // POOL_SHARE), left // 2))

    def make_pool(self, rows: int, slots: int, budget: Budget) -> Pool:
        """Charge the pool. All other parts must be charged before."""
        return budget.pool(self.pool_nbytes(rows, slots, budget.total, budget.free), "decoding")

    def total(self, rows: int, slots: int) -> int:
        """Return the least bytes for batches of ``rows`` rows per rank."""
        return self._permanent(rows, slots) + (POOL_LEAST if self.pipeline.decodes else 0)

    def _permanent(self, rows: int, slots: int) -> int:
        return sum(part.nbytes for part in self.fixed_parts(rows)) + self.slots_part(rows, slots).nbytes


def choose_order(
    source: Source, order: Order | str | None, seed: int, shuffle: bool, batch_size: int | str
) -> tuple[Order, ChunkStarts | None]:
    """Return the order for the settings of a loader, and the chunks of its window if it has one. Check an order that is passed."""
    order = _chosen_order(source, order, seed, shuffle)
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


def _chosen_order(source: Source, order: Order | str | None, seed: int, shuffle: bool) -> Order:
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
    fixed = sum(what.nbytes for what in source.spec.values() if isinstance(what, Field))
    encoded = 0 if chunks.nbytes is None else int(chunks.nbytes.max())
    streams = min(max(_LANES_NBYTES // max(1, rows * fixed + encoded), 1), _MOST_LANES)
    return Order(len(source), seed, window=streams * rows, streams=streams)


def batch_nbytes(pipeline: Pipeline, rows: int) -> int:
    """Return the bytes of one batch of ``rows`` rows: its slot, and copies of its small fields."""
    return slot_nbytes(pipeline.slot_fields, rows, copied_fields(pipeline.out, pipeline.source.primary))


def thread_nbytes(pipeline: Pipeline, rows: int) -> int:
    """Return the bytes of one thread's permanent scratch, for batches of ``rows`` rows."""
    bite = min(pipeline.bite, rows)
    own = scratch_nbytes(pipeline.scratch_fields(rows), pipeline.decodes, pipeline.kernel_values)
    return own + pipeline.source.scratch(bite)


def threads_beside(pipeline: Pipeline, budget: Budget) -> int:
    """Return the number of idle threads for times when others wait, limited by the scratch that a small part of the budget allows."""
    each = max(_THREAD, thread_nbytes(pipeline, pipeline.bite))
    return min(max(budget.total // STANDBY_SHARE // each, STANDBY[0]), STANDBY[1])


def auto_batch_size(needs: Needs, slots: int, most: int, budget: Budget) -> int:
    """Return the largest power of two, up to ``most``, that fits the free part of the budget; 1 if none fits."""
    size = 1 << (max(1, most).bit_length() - 1)
    while size > 1 and needs.total(size, slots) > budget.free:
        size //= 2
    return size


def fitted(needs: Needs, steps: Batching, slots: int, budget: Budget, *, any_threads: bool, any_window: bool) -> Needs:
    """Return needs that fit the budget, if possible, with fewer threads or a smaller window. Both affect the speed only.

    Parameters
    ----------
    needs
        Preferred needs.
    steps
        Batches of the loader.
    slots
        Number of batches in the ring.
    budget
        Budget of the loader.
    any_threads, any_window
        Whether the number of threads and the size of the window may change, because the user did not set them.
    """
    rows, free = steps.rows_of_rank, budget.most - budget.granted
    if needs.total(rows, slots) <= free:
        return needs
    threads = range(needs.threads - 1, 0, -1) if any_threads else range(0)
    fewer = next((less for n in threads if (less := replace(needs, threads=n)).total(rows, slots) <= free), None)
    if fewer is not None:
        return fewer
    alone = replace(needs, threads=1 if any_threads else needs.threads)
    window = needs.window - (alone.total(rows, slots) - free)
    if not any_window or window < 0:
        return alone  # so that the error names the least memory that is enough
    whole = format_size(budget.most - free + needs.total(rows, slots), ceil=True)
    _log.warning(
        "shuffling needs %s for chunks in memory, but the budget has %s: chunks are read more than once, which is slower. "
        'With memory="%s", each chunk is read once.',
        format_size(needs.window),
        format_size(window),
        whole,
    )
    return replace(alone, window=window)


def grow_or_refuse(needs: Needs, steps: Batching, slots: int, budget: Budget) -> None:
    """Grow an automatic budget to the need. Raise `DoesNotFit` with need, room and setting if that is not enough."""
    rows = steps.rows_of_rank
    need = needs.total(rows, slots)
    if budget.grow(need, f"batches of {counted(steps.batch_size, 'row')} need it"):
        _refuse_unless_there_is_room(need, needs.room)
        return
    free = budget.most - budget.granted
    slot = batch_nbytes(needs.pipeline, rows)
    rest = need - slots * slot
    room = f"{format_size(free)} of the budget are free" if budget.granted else f"the budget is {format_size(budget.total)}"
    ways = f'raise memory to "{format_size(budget.most - free + need, ceil=True)}"'
    fitting = _largest_fitting(needs, slots, rows, free)
    if fitting:
        ways = f"Lower batch_size to {fitting * steps.shard.world_size} or {ways}"
    else:
        ways = f"No batch fits: {ways}"
        less = format_size(budget.most - free + needs.total(1, slots), ceil=True)
        if f'"{less}"' not in ways:
            ways += f', or to "{less}" with batch_size={steps.shard.world_size}'
    if needs.window > free // 2:
        ways += f", or lower window or streams of the order, whose window needs {format_size(needs.window)}"
    beside = f", plus {format_size(rest)} for other parts" if rest else ""
    raise DoesNotFit(
        f"{counted(rows, 'row')} of {needs.pipeline.out[needs.pipeline.source.primary]} {'takes' if rows == 1 else 'take'} {format_size(slot)} a batch; {slots} batches in memory need "
        f"{format_size(slots * slot)}{beside}, but {room}{budget.bound}. {ways}."
    )


def _refuse_unless_there_is_room(need: int, room: Limit) -> None:
    """Raise `DoesNotFit` if the need is within the budget but above a limit of the process, at which the kernel would end it."""
    if need > room.room:
        raise DoesNotFit(
            f"this loader needs {format_size(need)}, which its budget allows, but {room.name} leaves {format_size(room.room)} for "
            "this process. Lower batch_size, or raise that limit."
        )


def say_left_out(steps: Batching) -> None:
    """Log how many rows are left out of each epoch, on rank 0."""
    if steps.left_out and not steps.shard.rank:
        _log.info("%s", steps.left_out_line())


def make_plan(needs: Needs, steps: Batching, slots: int, budget: Budget, pool: Pool | None) -> Plan:
    """Return the plan of a loader, with its pool for decoding if it has one."""
    rows = steps.rows_of_rank
    parts = [needs.slots_part(rows, slots), *needs.fixed_parts(rows)]
    if pool is not None:
        parts.append(Part("decoding", pool.size, "in reserve for images while they are decoded"))
    source, out = needs.pipeline.source, needs.pipeline.out
    limit = needs.room
    stored = needs.pipeline.stored_shape()
    return Plan(
        rows=len(source),
        batch_size=steps.batch_size,
        batches=len(steps),
        fields={name: f"({rows}, {', '.join(map(str, field.shape))}) {field.dtype}".replace(", )", ",)")
                for name, field in out.items()},
        parts=tuple(parts),
        budget=budget.total,
        origin=budget.origin,
        naive_shape=out[source.primary].shape,
        stored_shape=stored,
        limit=(limit.name, limit.room),
        threads=needs.threads,
        overhead=needs.overhead,
        hints=_hints(source.spec[source.primary], out[source.primary], len(source)) + ((f"{line}.",) if (line := steps.left_out_line()) else ()),
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


def _largest_fitting(needs: Needs, slots: int, rows: int, free: int) -> int:
    low, high = 0, rows
    while high - low > 1:  # the need grows with the rows
        middle = (low + high) // 2
        low, high = (middle, high) if needs.total(middle, slots) <= free else (low, middle)
    return low
