"""Bites of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

from bitesize.scan.rows import bites, chunk_bites, spans


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


@examples(60)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 100), st.integers(1, 20), st.booleans()
)  # fmt: skip
def test_spans_cover_all_rows_in_order_and_start_at_multiples(chunks, most, multiple, by_chunk):
    starts = np.cumsum([0, *chunks])
    rows = int(starts[-1])
    found = spans(rows, most, multiple, starts if by_chunk else None)
    assert [row for span in found for row in span] == list(range(rows))
    assert all(len(span) and span.start % multiple == 0 for span in found)
    if by_chunk:
        assert all(np.abs(starts - span.start).min() < multiple for span in found)
    else:
        assert max(map(len, found)) < most + multiple


@pytest.mark.parametrize("cut", [range(23), range(23, 50), range(50, 57)])
def test_bites_of_chunks_in_a_span_stay_within_it(cut):
    numbers = list(chunk_bites(np.array([0, 10, 20, 21, 50, 57]), cut, 12))
    np.testing.assert_array_equal(np.concatenate(numbers), np.arange(cut.start, cut.stop))
