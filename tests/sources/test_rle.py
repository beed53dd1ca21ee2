"""Run-length codes: damaged ones are refused, and lengths are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitesize as bs
from bitesize.sources.rle import area, check_lengths, fill_runs, run_lengths


def compressed(lengths):
    """Return the text of pycocotools for run lengths, written from its description: differences to two before, in groups of five bits."""
    text = ""
    for i, length in enumerate(lengths):
        value, more = length - (lengths[i - 2] if i > 2 else 0), True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 * more))
    return text


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=40))
def test_compressed_lengths_are_those_that_were_written(lengths):
    assert run_lengths(compressed(lengths)) == lengths


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_runs_fill_the_pixels_of_the_object(height, width, seed):
    drawn = np.random.default_rng(seed).random((height, width)) < 0.5
    flat = np.append(np.diff(np.append(False, drawn.ravel(order="F"))), True)
    lengths = np.diff(np.append(0, np.append(np.flatnonzero(flat[:-1]), drawn.size))).tolist()
    out = np.zeros((height, width), np.uint8)
    check_lengths(lengths, height, width)
    fill_runs(lengths, 7, out)
    np.testing.assert_array_equal(out, drawn * np.uint8(7))
    assert area(lengths) == drawn.sum()


@pytest.mark.parametrize("text", ["\x10", "o", "é"])
def test_damaged_text_is_refused(text):
    with pytest.raises(bs.BadFile, match="a run-length code"):
        run_lengths(text)


@pytest.mark.parametrize("lengths", [[5], [10, -1], [9.0], ["9"]])
def test_lengths_that_do_not_cover_the_image_are_refused(lengths):
    with pytest.raises(bs.BadFile, match="3 x 3 pixels"):
        check_lengths(lengths, 3, 3)
