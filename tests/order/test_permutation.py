"""The shuffle: exact for every length, and as even as NumPy's, by the same tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

from bitesize import Order
from bitesize.order.mix64 import keys
from bitesize.order.permutation import permute, permute_compiled, permute_reference, rounds

SEEDS = 3000


def ours(n, count):
    positions = np.arange(n)
    return np.array([permute(n, keys((seed, 0), rounds(n)), positions) for seed in range(count)])


def numpys(n, count):
    return np.array([np.random.default_rng(seed).permutation(n) for seed in range(count)])


def test_every_length_up_to_2000_is_a_permutation():
    for n in range(1, 2001):
        rows = permute(n, keys((n, 1), rounds(n)), np.arange(n))
        assert np.array_equal(np.bincount(rows, minlength=n), np.ones(n)), n


@examples(300)
@given(st.integers(2001, 400_000), st.integers(0, 2**80), st.integers(0, 2**40))
def test_longer_ones_are_permutations_too(n, seed, epoch):
    assert np.array_equal(np.sort(permute(n, keys((seed, epoch), rounds(n)), np.arange(n))), np.arange(n))


@pytest.mark.parametrize("n", [10**12, 2**40 + 1, 2**62 - 1, 2**63])
def test_enormous_ones_stay_in_range_and_never_repeat(n):
    places = np.random.default_rng(0).integers(0, n, 300_000, dtype=np.int64)
    places = np.unique(np.concatenate([places, [0, n - 1]]).astype(np.int64))
    rows = permute(n, keys((1, 2), rounds(n)), places)
    assert rows.min() >= 0
    assert int(rows.max()) < n
    assert len(np.unique(rows)) == len(places)
    # Uniform over the whole range: 64 bins.
    counts = np.bincount((rows.astype(np.float64) / n * 64).astype(int), minlength=64)
    assert chi_square(counts) < limit(63)


@examples(200)
@given(st.integers(1, 2**63), st.integers(0, 2**80), st.integers(0, 5000))
def test_compiled_code_computes_the_same_shuffle(n, seed, count):
    key, positions = keys((seed, 0), rounds(n)), np.arange(max(0, n - count), n, dtype=np.uint64).astype(np.int64)
    rows = permute_compiled(n, key, positions)
    assert rows.dtype == np.int64
    assert np.array_equal(rows, permute_reference(n, key, positions))


def chi_square(counts):
    expected = counts.sum() / counts.size
    return ((counts - expected) ** 2 / expected).sum()


def limit(freedom):
    """Give what a sound shuffle stays below, but for one case in ten million."""
    return freedom + 5.2 * np.sqrt(2 * freedom) + 10


def evenness(rows):
    """Chi-square of (position, row) pairs, over the degrees of freedom; 1 for a perfect shuffle."""
    count, n = rows.shape
    table = np.zeros((n, n))
    np.add.at(table, (np.tile(np.arange(n), count), rows.ravel()), 1)
    return chi_square(table), (n - 1) ** 2


def neighbors(rows):
    """Chi-square of how far apart, around the circle, the rows at neighboring positions are."""
    n = rows.shape[1]
    apart = np.bincount(((rows[:, 1:] - rows[:, :-1]) % n).ravel(), minlength=n)[1:]
    return chi_square(apart), n - 2


def agreement(first, second):
    """How often two orders agree at a position, in standard deviations from once an order."""
    same = (first == second).sum(axis=1)
    return abs(same.mean() - 1) * np.sqrt(len(same))


@pytest.mark.parametrize("make", [ours, numpys])
@pytest.mark.parametrize("n", [3, 7, 16, 33, 100])
def test_positions_and_neighbors_are_even(make, n):
    rows = make(n, SEEDS)
    for measure in (evenness, neighbors):
        found, freedom = measure(rows)
        assert found < limit(max(1, freedom)), measure.__name__


@pytest.mark.parametrize("make", [ours, numpys])
def test_neighboring_seeds_have_nothing_in_common(make):
    rows = make(50, SEEDS)
    assert agreement(rows[:-1], rows[1:]) < 5.2
    ranks = rows - rows.mean()
    for shift in (1, 2, 7):
        correlation = (ranks[:-shift] * ranks[shift:]).mean() / rows.var()
        assert abs(correlation) < 5.2 / np.sqrt(rows[shift:].size)


def test_epochs_have_nothing_in_common_with_one_another_nor_with_neighboring_seeds():
    orders = {(seed, epoch): Order(1000, seed).rows(epoch, 0, 1000) for seed in range(12) for epoch in range(12)}
    rows = np.array(list(orders.values()))
    ranks = (rows - 499.5) / rows.std()
    correlation = ranks @ ranks.T / 1000
    np.fill_diagonal(correlation, 0)
    # 10,296 pairs: 5 deviations of 1 / sqrt(1000).
    assert np.abs(correlation).max() < 5 / np.sqrt(1000)
