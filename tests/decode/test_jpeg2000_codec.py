"""JPEG 2000 of several components of more than 8 bits."""

import numpy as np
import pytest
from tests.decode.test_tiff_codec import unchanged, values_of

from bitesize.errors import BadFile

imagecodecs = pytest.importorskip("imagecodecs")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("codec", ["jp2", "j2k"])
def test_values_are_kept(channels, codec):
    values = values_of("uint16", channels)
    data = imagecodecs.jpeg2k_encode(values if channels > 1 else values[..., 0], reversible=True, level=0, codecformat=codec)
    got = unchanged(bytes(data))
    assert got.dtype == np.uint16
    assert (got == values).all()


def test_a_file_cut_short_is_damaged():
    data = bytes(imagecodecs.jpeg2k_encode(values_of("uint16", 3), reversible=True, level=0))
    with pytest.raises(BadFile):
        unchanged(data[: len(data) // 2])
