"""What an order can do besides: limits, passes, weights, shares. Each is a pure function of seed, epoch and position."""

import dataclasses
import json
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitesize import BadSetting, Order
from bitesize.order.mixture import Mixture

KINDS = {
    "natural": Order(1000, shuffle=False),
    "limited": Order(100_000, seed=3, limit_rows=70_000),
    "repeated": Order(30_000, seed=3, repeat=3),
    "weighted": Order(1000, seed=3, weights=np.arange(1000) ** 2, repeat=2),
    "mixed": Order(1000, seed=3, mixture=Mixture((900, 100), (0.5, 0.5))),
    "mixed, natural": Order(1000, shuffle=False, mixture=Mixture((900, 100), (2, 1))),
    "all at once": Order(1000, seed=3, mixture=Mixture((900, 100), (0.5, 0.5)), limit_rows=300, repeat=5),
}


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 10**9), st.data())
def test_any_part_of_an_epoch_is_that_part_of_the_whole(kind, epoch, data):
    order = KINDS[kind]
    start = data.draw(st.integers(0, order.length))
    stop = data.draw(st.integers(start, min(order.length, start + 500)))
    middle = data.draw(st.integers(start, stop))
    whole = order.rows(epoch, start, stop)
    assert np.array_equal(whole, np.concatenate([order.rows(epoch, start, middle), order.rows(epoch, middle, stop)]))
    assert whole.size == 0 or (whole.min() >= 0 and whole.max() < order.n)
    again = pickle.loads(pickle.dumps(order))
    assert again == order
    assert np.array_equal(again.rows(epoch, start, stop), whole)


def test_a_limit_ends_the_epoch_and_each_epoch_has_other_rows():
    order = Order(1000, seed=1, limit_rows=100)
    assert order.length == 100
    epochs = [set(order.rows(epoch, 0, 100).tolist()) for epoch in range(3)]
    assert all(len(rows) == 100 for rows in epochs)
    assert len(epochs[0] | epochs[1] | epochs[2]) > 200
    assert Order(1000, shuffle=False, limit_rows=100).rows(5, 0, 100).tolist() == list(range(100))
    assert Order(50, limit_rows=100).length == 50


def test_passes_are_the_epochs_of_the_plain_order_one_behind_the_other():
    plain, twice = Order(777, seed=4), Order(777, seed=4, repeat=2)
    assert twice.length == 2 * 777
    both = np.concatenate([plain.rows(6, 0, 777), plain.rows(7, 0, 777)])
    assert np.array_equal(twice.rows(3, 0, 2 * 777), both)


def test_weights_decide_how_often_a_row_comes():
    weights = np.array([0.0, 1, 2, 3, 0, 4, 0])
    order = Order(7, seed=1, weights=weights, repeat=10_000)
    counts = np.bincount(order.rows(0, 0, order.length), minlength=7)
    assert counts[weights == 0].sum() == 0
    expected = order.length * weights[weights > 0] / 10
    assert ((counts[weights > 0] - expected) ** 2 / expected).sum() < 30  # 3 degrees of freedom
    assert not np.array_equal(order.rows(0, 0, 100), order.rows(1, 0, 100))
    assert order.replacement(0, 3, 0) in {1, 2, 3, 5}


def test_a_weight_of_0_never_comes_at_either_end():
    order = Order(4, weights=[0.0, 5e-324, 1e300, 0], repeat=50_000)
    assert set(order.rows(0, 0, order.length).tolist()) == {2}
    from bitesize.order.weighted import Weights

    assert Weights([0, 1, 1, 0], 4).at(np.array([0.0, 0.5, np.nextafter(1, 0), 1.0])).tolist() == [1, 2, 2, 2]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9)), min_size=2, max_size=4),
    st.booleans(),
    st.integers(0, 5),
)
def test_shares_are_exact_and_no_row_comes_twice_before_each_has_come_once(parts, shuffle, seed):
    rows, shares = [n for n, _ in parts], [share for _, share in parts]
    mixture = Mixture(tuple(rows), tuple(map(float, shares)))
    order = Order(sum(rows), seed, shuffle, mixture=mixture)
    period = sum(mixture.quotas)
    epochs = -(-period // order.length)
    stream = np.concatenate([order.rows(epoch, 0, order.length) for epoch in range(epochs)])[:period]
    ends = np.cumsum(rows)
    for i, (n, share) in enumerate(parts):
        mine = stream[(stream >= ends[i] - n) & (stream < ends[i])]
        assert len(mine) * sum(shares) == period * share
        counts = Counter(mine.tolist())
        most = max(counts.values())
        assert min(counts[row] for row in range(ends[i] - n, ends[i])) >= most - 1


def test_odd_shares_are_met_to_four_digits():
    for shares in ((1 / 3, 1 / 3, 1 / 3), (0.123456789, 0.4, 0.476543211), (np.pi, np.e)):
        quotas = Mixture(tuple(10 for _ in shares), shares).quotas
        for quota, share in zip(quotas, shares, strict=True):
            assert abs(quota / sum(quotas) - share / sum(shares)) < 1e-4


def test_orders_are_equal_when_they_give_the_same_rows():
    assert Order(5, weights=[1, 2, 3, 4, 5]) == Order(5, weights=np.arange(1.0, 6))
    assert Order(5, weights=[1, 2, 3, 4, 5]) != Order(5, weights=[1, 2, 3, 4, 6])
    assert Order(5, weights=[1, 2, 3, 4, 5]) != Order(5)
    changed = dataclasses.replace(Order(5, weights=[0, 0, 1, 0, 0]), seed=9)
    assert changed.rows(0, 0, 5).tolist() == [2] * 5
    for order in KINDS.values():
        assert json.loads(json.dumps(order.settings())) == order.settings()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"weights": [1, 2]}, r"shape \(5,\), not \(2,\)"),
        ({"weights": [1, 2, -1, 1, 1]}, "at least 0"),
        ({"weights": [0] * 5}, "above 0"),
        ({"weights": [1, 2, np.nan, 1, 1]}, "finite"),
        ({"weights": [1e308] * 5}, "finite"),
        ({"weights": [1] * 5, "shuffle": False}, "excludes shuffle=False"),
        ({"limit_rows": 0}, "limit_rows must be at least 1"),
        ({"repeat": 0}, "repeat must be at least 1"),
        ({"repeat": 2.0}, "repeat must be an integer"),
        ({"mixture": Mixture((2, 2), (1, 1))}, "4 rows, but the order has 5"),
    ],
)
def test_what_cannot_be_is_said(settings, says):
    with pytest.raises(BadSetting, match=says):
        Order(5, **settings)


@pytest.mark.parametrize("shares", [(1,), (1, 0), (1, -1), (1, np.nan), (1, np.inf), (1, 1e-9)])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(BadSetting, match="shares"):
        Mixture((5, 5), shares)
