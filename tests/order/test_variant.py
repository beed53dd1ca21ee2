"""The settings of an order select its variant; equal orders share blocks of positions, others never do."""

import dataclasses

import numpy as np
import pytest

import bitesize as bs
from bitesize.order.mixture import Mixed, Mixture
from bitesize.order.shuffled import Sequential, Shuffled
from bitesize.order.variant import BLOCK
from bitesize.order.weighted import Weighted
from bitesize.order.windowed import Windowed

WINDOW = {"window": 100, "chunks": range(0, 1000, 20), "batch_size": 10}


@pytest.mark.parametrize(
    ("settings", "variant", "detail"),
    [
        ({"shuffle": False}, Sequential, "row numbers"),
        ({}, Shuffled, "one block of the shuffle, row numbers"),
        ({"weights": np.arange(1000)}, Weighted, "weights of all rows, row numbers"),
        ({"mixture": Mixture((600, 400), (1, 1))}, Mixed, "one block of the shuffle, row numbers"),
        ({"mixture": Mixture((600, 400), (1, 1)), "shuffle": False}, Mixed, "row numbers"),
        (WINDOW, Windowed, "windows of the shuffle, row numbers"),
    ],
)
def test_settings_select_the_variant(settings, variant, detail):
    order = bs.Order(1000, seed=3, repeat=2, **settings)
    assert type(order._variant) is variant
    assert order.detail == detail
    assert list(order.settings())[:4] == ["version", "n", "seed", "shuffle"]
    assert list(order.settings())[-2:] == ["limit_rows", "repeat"]
    for position in (0, 999, 1000, 1999):  # of both passes
        others = {order.replacement(1, position, attempt) for attempt in range(16)}
        assert len(others) > 1
        assert all(0 <= row < 1000 for row in others)


def test_a_replacement_is_of_the_same_source_or_chunk():
    mixed = bs.Order(1000, mixture=Mixture((600, 400), (1, 1)))
    windowed = bs.Order(1000, **WINDOW)
    for position in range(0, 1000, 97):
        row = int(mixed.rows(2, position, position + 1)[0])
        assert all((mixed.replacement(2, position, attempt) < 600) == (row < 600) for attempt in range(8))
        row = int(windowed.rows(2, position, position + 1)[0])
        assert all(windowed.replacement(2, position, attempt) // 20 == row // 20 for attempt in range(8))


def test_only_equal_orders_share_blocks():
    n = BLOCK + 10
    orders = [bs.Order(n, seed=1), bs.Order(n, seed=2), bs.Order(n, seed=1, limit_rows=BLOCK + 5), bs.Order(4 * n, seed=1)]
    rows = [order.rows(0, BLOCK - 5, BLOCK + 5) for order in orders]
    assert np.array_equal(rows[0], rows[2])
    assert not np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[3])
    assert np.array_equal(dataclasses.replace(orders[0]).rows(0, BLOCK - 5, BLOCK + 5), rows[0])
    with pytest.raises(ValueError, match="read-only"):
        orders[0].rows(0, 0, 5)[0] = 1
