"""Bites of rows."""

import numpy as np
import pytest

from bitesize.scan.rows import bites, chunk_bites


@pytest.mark.parametrize("rows", [1, 3, 10, 25, 1000])
def test_bites_of_chunks_cover_all_rows_and_cut_only_large_chunks(rows):
    starts = np.array([0, 10, 20, 21, 50, 57])
    numbers = list(chunk_bites(starts, range(57), rows))
    np.testing.assert_array_equal(np.concatenate(numbers), np.arange(57))
    assert max(map(len, numbers)) <= rows
    for bite in numbers:
        chunk = np.searchsorted(starts, [bite[0], bite[-1]], side="right")
        assert chunk[0] == chunk[1] or {bite[0], bite[-1] + 1} <= set(starts.tolist())


def test_bites_cover_all_rows():
    assert [bite.tolist() for bite in bites(range(5), 2)] == [[0, 1], [2, 3], [4]]
