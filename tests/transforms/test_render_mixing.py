"""Rows of one bite whose colors are mixed, and others whose colors are not."""

import numpy as np

import bitesize as bs


def test_values_that_are_not_finite_stay_in_their_channel_unless_colors_are_mixed():
    images = np.ones((32, 6, 6, 3), np.float32)
    images[..., 0] = np.nan
    with bs.Loader(
        bs.open(images), batch_size=32, memory="16 MiB", transforms=[bs.Grayscale(0.5), bs.Flip()], shuffle=False
    ) as loader:
        x = next(iter(loader))["x"].copy()
    gray = np.isnan(x[..., 1]).all(axis=(1, 2))
    assert 0 < gray.sum() < 32
    assert np.isnan(x[..., 0]).all()
    assert np.isfinite(x[~gray][..., 1:]).all()
