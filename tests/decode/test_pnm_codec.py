"""PPM and PGM of 16 bits."""

import numpy as np
import pytest
from tests.decode.test_tiff_codec import unchanged

from bitesize.errors import BadFile


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("full", [300, 4095, 65_535])
def test_values_are_kept_as_written(channels, full):
    values = np.random.default_rng(0).integers(0, full, (7, 9, channels), np.uint16, endpoint=True)
    data = b"P%d\n# a comment\n9 7\n%d\n" % (5 if channels == 1 else 6, full) + values.astype(">u2").tobytes()
    got = unchanged(data)
    assert got.dtype == np.uint16
    assert (got == values).all()
    with pytest.raises(BadFile):
        unchanged(data[:-1])
