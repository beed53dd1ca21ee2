import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitesize import BadSetting, Order, Shard
from bitesize.order.keyed_random import uniform
from bitesize.order.variant import BLOCK


@pytest.mark.parametrize("n", [*range(1, 260), 1000, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 200_003])
def test_every_epoch_has_each_row_exactly_once(n):
    rows = Order(n, seed=n).rows(1, 0, n)
    assert np.array_equal(np.sort(rows), np.arange(n))


@given(st.integers(1, 300_000), st.integers(0, 2**70), st.data())
def test_any_part_of_an_epoch_is_that_part_of_the_whole(n, seed, data):
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, min(n, start + 1000)))
    order = Order(n, seed)
    middle = (start + stop) // 2
    parts = np.concatenate([order.rows(3, start, middle), order.rows(3, middle, stop)])
    assert np.array_equal(order.rows(3, start, stop), parts)


def test_rows_far_out_in_an_enormous_order_are_distinct_and_in_range():
    order = Order(10**12, seed=5)
    rows = order.rows(0, 10**12 - 200_000, 10**12)
    assert len(np.unique(rows)) == 200_000
    assert rows.min() >= 0
    assert rows.max() < 10**12


def test_epochs_and_seeds_give_different_orders_and_the_same_ones_again():
    def key(seed, epoch):
        return tuple(Order(50, seed).rows(epoch, 0, 50).tolist())

    assert key(1, 0) == key(1, 0)
    assert len({key(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25  # (0, 1) is not (1, 0)


def test_positions_are_even():
    # 2,000 seeds of 16 rows: chi-square over the 256 pairs of (position, row), 225 degrees of freedom.
    counts = np.zeros((16, 16))
    for seed in range(2000):
        counts[np.arange(16), Order(16, seed).rows(0, 0, 16)] += 1
    chi = ((counts - 125) ** 2 / 125).sum()
    assert chi < 225 + 5 * np.sqrt(2 * 225)


def test_the_natural_order_is_natural():
    assert Order(10, shuffle=False).rows(7, 2, 5).tolist() == [2, 3, 4]


@pytest.mark.parametrize("n", [0, -1, 2**63 + 1])
def test_an_order_needs_rows(n):
    with pytest.raises(BadSetting):
        Order(n)


def test_ranks_cut_each_batch_without_gap_or_overlap():
    for rows in range(40):
        cuts = [Shard(rank, 7).share(rows) for rank in range(7)]
        assert [start for start, _ in cuts] + [rows] == [0] + [stop for _, stop in cuts]


def test_random_numbers_depend_on_the_position_and_not_on_the_batch():
    whole = uniform(3, 1, np.arange(100), 2, 4)
    assert np.array_equal(uniform(3, 1, np.arange(40, 60), 2, 4), whole[40:60])
    assert whole.min() >= 0
    assert whole.max() < 1
    assert len(np.unique(whole)) == 400
    assert not np.array_equal(uniform(3, 2, np.arange(100), 2, 4), whole)
    assert not np.array_equal(uniform(3, 1, np.arange(100), 1, 4), whole)


def test_random_numbers_are_even():
    values = uniform(0, 0, np.arange(100_000), 0, 2)
    assert np.abs(values.mean(axis=0) - 0.5).max() < 0.005
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.02
    assert abs(np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]) < 0.02
