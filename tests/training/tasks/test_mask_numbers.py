"""The numbers in masks."""

import numpy as np

import bitesize as bs
from bitesize.training.tasks.mask_numbers import count_numbers


def test_numbers_of_masks_with_many_voxels_are_all_counted():
    masks = np.random.default_rng(0).choice([0, 1, 300], (2, 8, 120, 130), p=[0.7, 0.2, 0.1]).astype(np.uint16)
    source = bs.open(np.zeros(masks.shape, np.uint8), labels=masks, axes="DHW")
    assert count_numbers(source) == {number: int((masks == number).sum()) for number in (0, 1, 300)}
