"""Predicted masks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitesize.training.mask_predictions import MaskPredictions, resized


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_resizing_by_a_whole_factor_repeats_each_pixel(height, width, factor):
    mask = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    large = resized(mask, (height * factor, width * factor))
    assert (large == mask.repeat(factor, 0).repeat(factor, 1)).all()
    assert (resized(large, (height, width)) == mask).all()


def test_masks_come_in_the_sizes_of_the_images():
    masks = np.zeros((2, 2, 2), np.uint8)
    found = MaskPredictions(masks, ("a",), (0,), ["x.png", "y.png"].__getitem__, {1: "damaged"}, size=lambda row: (5, 3))
    assert [None if mask is None else mask.shape for _, mask in found] == [(5, 3), None]
    assert "y.png: no prediction: damaged" in repr(found)


def test_masks_of_volumes_are_resized_along_all_three_axes():
    mask = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    found = MaskPredictions(mask[None], ("a",), (0,), ["v.npy"].__getitem__, size=lambda row: (4, 2, 6))
    assert (found[0].mask == mask.repeat(2, axis=0).repeat(3, axis=2)).all()
