"""Rows of an array in memory, copied or cast in a random order, against NumPy."""

import numpy as np
import pytest

from bitesize.kernels.cast import cast_chosen_rows
from bitesize.kernels.gather import gather_rows


@pytest.mark.parametrize("values", [1, 3, 100, 3072, 40_000])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_rows_are_copied_and_cast_as_numpy_does(values, count):
    random = np.random.default_rng(values)
    source = random.integers(0, 256, (20, values), dtype=np.uint8)
    source.flags.writeable = False
    rows = random.integers(0, 20, count)
    out = np.empty((count, values), np.uint8)
    gather_rows(source, rows, out)
    assert np.array_equal(out, source[rows])
    factor, offset = np.full((1, 1536), 0.5, np.float32), np.full((1, 1536), 2.0, np.float32)
    for plain, expected in ((True, source[rows].astype(np.float32)), (False, source[rows].astype(np.float32) / 2 + 2)):
        cast = np.empty((count, values), np.float32)
        line = np.empty(1536, np.float32)
        cast_chosen_rows(source, rows, plain, factor, offset, line, (0.0, 0.0), 0, 1, cast, 1, 1)
        assert np.array_equal(cast, expected)
