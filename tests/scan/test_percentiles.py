"""Percentiles of all values of a source are exactly those of NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

import bitesize as bs
from bitesize.kernels.levels import value_of
from bitesize.scan.percentiles import percentiles

BUDGET = "256 MiB"


@examples(30)
@given(
    st.sampled_from(["u1", "i1", "u2", "i2", "f4"]), st.integers(1, 40), st.integers(1, 5),
    st.lists(st.floats(0, 100), min_size=1, max_size=3), st.integers(0, 99)
)  # fmt: skip
def test_percentiles_are_numpys(dtype, rows, channels, of, seed):
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    shape = (rows, 3, 7, channels)
    if kind.kind == "f":
        x = (random.normal(size=shape) * 10.0 ** random.integers(-8, 8)).astype(kind)
    else:
        x = random.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, endpoint=True).astype(kind)
    found = percentiles(bs.open(x, axes="HWC"), of, bs.Budget(BUDGET))
    np.testing.assert_allclose(found, np.percentile(x.astype(np.float64), of, axis=(0, 1, 2)), rtol=1e-12)


def test_values_of_both_signs_and_of_any_size_are_in_order():
    x = np.array([[-3e38], [-1.0], [-1e-40], [-0.0], [0.0], [1e-40], [2.5], [3e38], [np.nan], [np.inf]], np.float32)
    found = percentiles(bs.open(x), [0, 100 / 7, 200 / 7, 500 / 7, 600 / 7, 100], bs.Budget(BUDGET))
    np.testing.assert_array_equal(found[:, 0], x[[0, 1, 2, 5, 6, 7], 0])


def test_keys_are_values():
    assert [value_of(key) for key in (0x80000000, 0xBF800000, 0x407FFFFF)] == [0.0, 1.0, -1.0]


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(bs.BadSetting, match="no finite values"):
        percentiles(bs.open(np.full((3, 4), np.nan, np.float32)), [50], bs.Budget(BUDGET))
    with pytest.raises(bs.DoesNotFit):
        percentiles(bs.open(np.zeros((3, 9, 9, 10), np.uint8)), [50], bs.Budget("1 MiB"))


def test_everything_is_released():
    budget = bs.Budget(BUDGET)
    percentiles(bs.open(np.zeros((3, 9, 9, 10), np.float32)), [50], budget)
    assert budget.granted == 0
