"""Fit a loader to its budget: batch size, threads and window; and refuse a budget that is too small."""

from __future__ import annotations

import logging
from dataclasses import replace

from bitesize.engine.batching import Batching
from bitesize.engine.memory_plan import MemoryNeeds, thread_nbytes
from bitesize.errors import DoesNotFit
from bitesize.memory.budget import Budget
from bitesize.memory.limits import MOST_STANDBY, Limit
from bitesize.memory.sizes import counted, format_size

# Idle threads for times when others wait for the disk or the interpreter: at least 2. With 14, two processors have 16 reads in
# progress, which is best for disks. More than 2 take at most 1 / STANDBY_SHARE of the budget.
STANDBY = (2, MOST_STANDBY)
STANDBY_SHARE = 32
# Approximate memory of a thread in addition to its scratch: the part of its stack that it uses.
_THREAD = 128 << 10
_log = logging.getLogger("bitesize")


def with_more_threads(needs: MemoryNeeds, rows: int, budget: Budget) -> MemoryNeeds:
    """Return needs with more threads in reserve, as many as the scratch that a small part of the budget allows.

    Only if much memory is free: slots that an output adds, and other loaders of the budget, have priority.
    """
    each = max(_THREAD, thread_nbytes(needs.pipeline, needs.pipeline.bite))
    reserve = min(max(budget.total // STANDBY_SHARE // each, STANDBY[0]), STANDBY[1])
    more = replace(needs, threads=needs.working + reserve)
    return more if more.total(rows) <= budget.free // 2 else needs


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
