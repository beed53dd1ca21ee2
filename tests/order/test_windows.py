"""An order with a window is a permutation whatever the settings, a function of its place, and as even as streams and chunks allow."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitesize as bs


@st.composite
def orders(draw):
    n = draw(st.integers(1, 500))
    chunks = sorted({0, *draw(st.lists(st.integers(0, n - 1), max_size=60))})
    return bs.Order(
        n,
        seed=draw(st.integers(-(2**70), 2**70)),
        window=draw(st.integers(1, 2 * n)),
        streams=draw(st.integers(1, 20)),
        chunks=chunks,
        groups=draw(st.none() | st.lists(st.sampled_from(chunks), unique=True).map(lambda rows: sorted({0, *rows}))),
        batch_size=draw(st.integers(1, 70)),
        repeat=draw(st.integers(1, 3)),
    )


@given(orders(), st.integers(0, 10**12), st.data())
def test_each_pass_has_each_row_once_and_any_part_can_be_asked_for(order, epoch, data):
    rows = order.rows(epoch, 0, order.length)
    for number in range(order.repeat):
        assert sorted(rows[number * order.n : (number + 1) * order.n].tolist()) == list(range(order.n))
    start = data.draw(st.integers(0, order.length))
    stop = data.draw(st.integers(start, order.length))
    other = pickle.loads(pickle.dumps(order))
    assert other == order
    assert other.rows(epoch, start, stop).tolist() == rows[start:stop].tolist()


def make(n=2000, seed=0, **settings):
    settings = {"window": 400, "chunks": np.arange(0, n, 20), "batch_size": 40} | settings
    return bs.Order(n, seed=seed, **settings)


def test_a_batch_takes_its_rows_lane_by_lane_so_that_ranks_share_no_run():
    order = make()
    windows = order.windows
    of_streams = [set() for _ in range(8)]
    for start in range(0, 2000, 40):
        rows = order.rows(0, start, start + 40)
        for stream in range(8):
            of_streams[stream].update(windows.chunk_of(rows[5 * stream : 5 * stream + 5]).tolist())
    shared = sum(len(chunks) for chunks in of_streams) - 100
    assert 0 <= shared <= 7  # the chunks in which two streams meet


def test_chunks_of_a_group_are_read_one_after_another_and_groups_are_shuffled():
    groups = np.arange(0, 2000, 200)
    order = make(streams=1, window=20, batch_size=20, groups=groups)
    lines = []
    for epoch in range(20):
        chunks = order.windows.chunk_of(order.rows(epoch, 0, 2000)[::20])
        assert (chunks.reshape(10, 10) % 10 == np.arange(10)).all()
        lines.append(tuple((chunks[::10] // 10).tolist()))
    assert len(set(lines)) == 20
    assert order.settings()["runs"] != make(streams=1, window=20, batch_size=20).settings()["runs"]


@pytest.mark.parametrize("groups", [[], [20], [0, 30], [0, 40, 20], [0, 20, 20], [[0]], ["a"], [0, 2000]])
def test_groups_that_cannot_be_are_refused(groups):
    with pytest.raises(bs.BadSetting, match="groups must"):
        make(groups=groups)


def test_epochs_and_seeds_have_orders_of_their_own():
    rows = [make(seed=seed).rows(epoch, 0, 2000) for seed in range(6) for epoch in range(6)]
    for i, one in enumerate(rows):
        for other in rows[:i]:
            assert (one == other).sum() < 20  # about one row in 2,000 stays by chance


def test_over_epochs_a_row_comes_anywhere_in_the_epoch():
    order = make()
    places = np.array([np.argsort(order.rows(epoch, 0, 2000)) for epoch in range(400)])
    for row in (0, 777, 1999):
        counts = np.bincount(places[:, row] // 200, minlength=10)
        assert ((counts - 40) ** 2 / 40).sum() < 33.7  # chi-square with 9 degrees of freedom: one in 10,000


def test_neighbors_do_not_stay_neighbors():
    rows = make().rows(0, 0, 2000)
    assert (np.abs(np.diff(rows)) == 1).mean() < 0.06  # windows of 20 rows a stream would have 1 in 20 at most by chance


@pytest.mark.parametrize("chunks", [[0, 5, 5], [1, 2], [0, 20], [], [[0]], [0.5]])
def test_runs_that_cannot_be_are_refused(chunks):
    with pytest.raises(bs.BadSetting, match="chunks must"):
        bs.Order(10, window=4, batch_size=2, chunks=chunks)


def test_settings_of_a_window_need_one():
    with pytest.raises(bs.BadSetting, match="groups"):
        bs.Order(10, groups=[0])
    for settings in ({"streams": 4}, {"batch_size": 8}, {"chunks": [0]}):
        with pytest.raises(bs.BadSetting, match="pass window="):
            bs.Order(10, **settings)
