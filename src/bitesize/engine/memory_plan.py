"""What a loader needs, worked out before it takes anything; refused in full sentences where it does not fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from bitesize.engine.batching import Batching
from bitesize.engine.ring import copied_fields, slot_nbytes
from bitesize.errors import BadSetting, DoesNotFit
from bitesize.memory.budget import Budget, Pool
from bitesize.memory.limits import MOST_STANDBY, Limit
from bitesize.memory.plan import Part, Plan
from bitesize.memory.sizes import counted, format_size
from bitesize.order.order import Order
from bitesize.order.weighted import balanced
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.scratch import scratch_nbytes
from bitesize.sources.base import Source
from bitesize.sources.rows import ChunkStarts
from bitesize.spec import Encoded, Field

# The pool that decoding draws on: this much, enough for a photograph of 12 megapixels decoded by Pillow, or an eighth of
# a large budget; but at most half of what the fixed parts leave, and never less than one small image needs.
POOL = 256 << 20
POOL_SHARE = 8
POOL_LEAST = 4 << 20
# Threads that stand by while others wait for the disk or the interpreter: 14 make 16 reads under way on two processors,
# which is what disks want; they take this part of the budget at most, but 2 there always are.
STANDBY = (2, MOST_STANDBY)
STANDBY_SHARE = 32
# What a thread takes beside its scratch, about: the part of its stack that it uses.
_THREAD = 128 << 10
# Where a source is read run by run: so many streams, fewer where runs are large.
_MOST_LANES, _LANES_NBYTES = 8, 16 << 20
# Beside its rows: masks, row numbers and random numbers of the batches in the making (8 bytes for up to 16 draws).
_ROW_OVERHEAD = 160
# Data of fewer bytes are stored as they may be.
_WORTH_A_HINT = 64 << 20
_log = logging.getLogger("bitesize")


@dataclass(frozen=True)
class Needs:
    """What a loader needs for a batch of any size.

    ``room`` is what this process may take, whatever the budget says, and ``overhead`` what it holds besides; ``window`` are
    the bytes of rows that are held in memory to draw from. Of ``threads``, ``working`` begin to work (0: all); others wait.
    """

    pipeline: Pipeline
    order: Order
    threads: int
    room: Limit
    overhead: int
    window: int = 0
    working: int = 0

    def fixed_parts(self, rows: int) -> list[Part]:
        """List every permanent need but the slots, for batches of so many rows a rank."""
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
            parts.append(Part("window", self.window, f"{held:,} rows to draw from, and what is read next"))
        return [part for part in parts if part.nbytes]

    def slots_part(self, rows: int, slots: int) -> Part:
        """Tell the need of the ring."""
        nbytes = batch_nbytes(self.pipeline, rows)
        return Part("batch buffers", slots * nbytes, f"{counted(slots, 'batch', 'batches')} of {format_size(nbytes)}")

    def pool_nbytes(self, rows: int, slots: int, total: int, left: int) -> int:
        """Choose the pool's size from the budget, and what the other parts leave of it and of the room there is."""
        if not self.pipeline.decodes:
            return 0
        left = min(left, self.room.room - self._permanent(rows, slots))
        return max(POOL_LEAST, min(max(POOL, total // POOL_SHARE), left // 2))

    def make_pool(self, rows: int, slots: int, budget: Budget) -> Pool:
        """Charge the pool; all else must have been charged before."""
        return budget.pool(self.pool_nbytes(rows, slots, budget.total, budget.free), "decoding")

    def total(self, rows: int, slots: int) -> int:
        """Least bytes for batches of so many rows a rank."""
        return self._permanent(rows, slots) + (POOL_LEAST if self.pipeline.decodes else 0)

    def _permanent(self, rows: int, slots: int) -> int:
        return sum(part.nbytes for part in self.fixed_parts(rows)) + self.slots_part(rows, slots).nbytes


def choose_order(
    source: Source, order: Order | str | None, seed: int, shuffle: bool, batch_size: int | str
) -> tuple[Order, ChunkStarts | None]:
    """Make the order that a user asks for, or check the one that is given; and the runs of its window, if it has one."""
    order = _chosen_order(source, order, seed, shuffle)
    if order.window is None:
        return order, None
    chunks = source.chunks() if order.chunks is None else ChunkStarts(np.asarray(order.chunks))
    if chunks is None:
        raise BadSetting(
            f"window: rows of {source!r} do not lie in runs that are cheaper to read together: leave window out, and all are shuffled"
        )
    if order.batch_size is None and not isinstance(batch_size, int | np.integer):
        raise BadSetting('window: batches are shared out among streams, so batch_size must be a number, not "auto"')
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
            raise BadSetting(f'order="balanced" draws classes alike, and {source!r} has no class labels')
        return Order(n, seed, shuffle, weights=balanced(source.labels))
    if not isinstance(order, Order):
        raise BadSetting(f'order must be an Order or "balanced", not {order!r}')
    if seed != 0 or not shuffle:
        raise BadSetting("order excludes shuffle and seed: it says both itself")
    if order.n != n:
        raise BadSetting(f"the order is of {order.n} rows and the source has {n}")
    return order


def _order_by_chunk(source: Source, seed: int) -> Order:
    """Choose windows for a source whose rows are only to be had run by run: by the data alone, so that an order is the same everywhere."""
    chunks = source.chunks()
    assert chunks is not None
    rows = int(np.diff(chunks.starts).max())
    fixed = sum(what.nbytes for what in source.spec.values() if isinstance(what, Field))
    encoded = 0 if chunks.nbytes is None else int(chunks.nbytes.max())
    streams = min(max(_LANES_NBYTES // max(1, rows * fixed + encoded), 1), _MOST_LANES)
    return Order(len(source), seed, window=streams * rows, streams=streams)


def batch_nbytes(pipeline: Pipeline, rows: int) -> int:
    """Return the bytes of one batch of so many rows: its slot, and copies of its small fields."""
    return slot_nbytes(pipeline.slot_fields, rows, copied_fields(pipeline.out, pipeline.source.primary))


def thread_nbytes(pipeline: Pipeline, rows: int) -> int:
    """Tell the bytes of scratch that one thread has for good, for batches of so many rows."""
    bite = min(pipeline.bite, rows)
    own = scratch_nbytes(pipeline.scratch_fields(rows), pipeline.decodes, pipeline.kernel_values)
    return own + pipeline.source.scratch(bite)


def threads_beside(pipeline: Pipeline, budget: Budget) -> int:
    """Choose how many threads stand by for when others wait: as many as a small part of the budget has scratch for."""
    each = max(_THREAD, thread_nbytes(pipeline, pipeline.bite))
    return min(max(budget.total // STANDBY_SHARE // each, STANDBY[0]), STANDBY[1])


def auto_batch_size(needs: Needs, slots: int, most: int, budget: Budget) -> int:
    """Choose the largest power of two, up to ``most``, that fits what is free of the budget; 1 where none does."""
    size = 1 << (max(1, most).bit_length() - 1)
    while size > 1 and needs.total(size, slots) > budget.free:
        size //= 2
    return size


def fitted(needs: Needs, steps: Batching, slots: int, budget: Budget, *, any_threads: bool, any_window: bool) -> Needs:
    """Return needs that fit the budget where they can: with fewer threads, or with less of a window. Both change speed alone.

    Parameters
    ----------
    needs
        As they are where there is room.
    steps
        Rows of a batch.
    slots
        Batches in the ring.
    budget
        What there is.
    any_threads, any_window
        Whether the number of threads and the size of the window are not the user's.
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
        return alone  # what is refused names the least that would do
    whole = format_size(budget.most - free + needs.total(rows, slots), ceil=True)
    _log.warning(
        "rows are shuffled within chunks of %s, and the budget has %s for them: chunks are read more than once, which is slower. "
        'memory="%s" reads each once.',
        format_size(needs.window),
        format_size(window),
        whole,
    )
    return replace(alone, window=window)


def grow_or_refuse(needs: Needs, steps: Batching, slots: int, budget: Budget) -> None:
    """Let an automatic budget grow to the need; raise `DoesNotFit` with need, room and setting where that is not enough."""
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
        ways += f", or lower window or streams of the order: {format_size(needs.window)} are for its window"
    beside = f" and {format_size(rest)} beside them" if rest else ""
    raise DoesNotFit(
        f"{counted(rows, 'row')} of {needs.pipeline.out[needs.pipeline.source.primary]} {'takes' if rows == 1 else 'take'} {format_size(slot)} a batch; {slots} batches in memory need "
        f"{format_size(slots * slot)}{beside}, and {room}{budget.bound}. {ways}."
    )


def _refuse_unless_there_is_room(need: int, room: Limit) -> None:
    """Raise `DoesNotFit` if this process may not take what the budget would allow: the kernel would end it later."""
    if need > room.room:
        raise DoesNotFit(
            f"this loader needs {format_size(need)}, which its budget allows, but {room.name} leaves {format_size(room.room)} to "
            "this process. Lower batch_size, or raise that limit."
        )


def say_left_out(steps: Batching) -> None:
    """Log which rows sit out each epoch, on one rank of all."""
    if steps.left_out and not steps.shard.rank:
        _log.info("%s", steps.left_out_line())


def make_plan(needs: Needs, steps: Batching, slots: int, budget: Budget, pool: Pool | None) -> Plan:
    """Return the plan of a loader, with the pool that decoding draws on, if there is one."""
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
    """Point out float64 where it costs and brings nothing."""
    hints = []
    if drawn.dtype == np.float64:
        hints.append('Batches are float64: dtype="float32" takes half the memory, and models calculate in float32.')
    if isinstance(stored, Field) and stored.dtype == np.float64 and rows * stored.nbytes >= _WORTH_A_HINT:
        now, half = format_size(rows * stored.nbytes), format_size(rows * stored.nbytes // 2)
        hints.append(
            f"The data are stored as float64 ({now}): as float32 they would take half of that ({half}) and load about twice as "
            "fast."
        )
    elif isinstance(stored, Field) and stored.dtype == np.uint8 and drawn.dtype == np.float32:
        hints.append("The data stay 8-bit until they are in the batch: a quarter of float32 on disk, an eighth of float64.")
    return tuple(hints)


def _largest_fitting(needs: Needs, slots: int, rows: int, free: int) -> int:
    low, high = 0, rows
    while high - low > 1:  # the need grows with the rows
        middle = (low + high) // 2
        low, high = (middle, high) if needs.total(middle, slots) <= free else (low, middle)
    return low
