"""Whatever the settings, each chunk is told of before it is needed, for as many rows as are asked of it, and memory stays bounded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitesize.engine.batching import Batching, Last
from bitesize.engine.window.schedule import PrefetchSchedule, resident_rows
from bitesize.order.order import Order, Shard


@st.composite
def cut_orders(draw: st.DrawFn) -> Batching:
    """Make an order with windows, and batches of one rank."""
    n = draw(st.integers(1, 600))
    equal = range(0, n, draw(st.integers(1, 60)))
    chunks = draw(st.sampled_from([list(equal), sorted({0, *draw(st.lists(st.integers(0, n - 1), max_size=40))})]))
    world = draw(st.integers(1, 4))
    batch_size = draw(st.integers(1, 64)) * world
    order = Order(
        n,
        seed=draw(st.integers(0, 99)),
        window=draw(st.integers(1, 2 * n)),
        streams=draw(st.integers(1, 12)),
        chunks=chunks,
        batch_size=draw(st.sampled_from([batch_size, batch_size, draw(st.integers(1, 300))])),
        limit_rows=draw(st.sampled_from([None, None, draw(st.integers(1, n))])),
        repeat=draw(st.sampled_from([1, 1, draw(st.integers(1, 4))])),
    )
    lasts: list[Last] = ["drop", "pad"] if world > 1 else ["drop", "pad", "short"]
    last: Last = draw(st.sampled_from(lasts)) if order.length >= batch_size else "pad"
    return Batching(order, batch_size, last, Shard(draw(st.integers(0, world - 1)), world))


@given(steps=cut_orders(), data=st.data())
def test_every_row_finds_its_run_and_no_run_stays_longer(steps: Batching, data: st.DataObject) -> None:
    windows = steps.order.windows
    assert windows is not None
    aligned = data.draw(st.booleans())
    start = (
        data.draw(st.integers(0, len(steps) - 1)) * steps.batch_size
        if aligned
        else data.draw(st.integers(0, steps.order.length))
    )
    place = steps.place(data.draw(st.integers(0, 3)), start)
    schedule = PrefetchSchedule(steps, *place)
    sizes = np.diff(windows.starts)
    left: dict[int, int] = {}
    bound = resident_rows(steps, all_streams=not aligned)
    for _ in range(data.draw(st.integers(1, 3 * len(steps)))):
        step = steps.step(*place)
        for chunk, uses in schedule.due(step):
            left[chunk] = left.get(chunk, 0) + uses
        assert sum(int(sizes[chunk]) for chunk in left) <= bound
        for chunk in windows.chunk_of(step.rows[: step.real]).tolist():
            left[chunk] -= 1  # a KeyError: nobody told of it
            if not left[chunk]:
                del left[chunk]
        place = steps.after(*place)
