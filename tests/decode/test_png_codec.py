"""PNG of 16 bits with several channels."""

import numpy as np
import pytest
from tests.decode.test_tiff_codec import unchanged, values_of

from bitesize.errors import BadFile

imagecodecs = pytest.importorskip("imagecodecs")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_values_are_kept(channels, dtype):
    values = values_of(dtype, channels)
    got = unchanged(imagecodecs.png_encode(values if channels > 1 else values[..., 0]))
    assert got.dtype == dtype
    assert (got == values).all()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_file_cut_short_is_damaged(channels):
    data = imagecodecs.png_encode(values_of("uint16", channels))
    with pytest.raises(BadFile):
        unchanged(data[: len(data) // 2])


def test_palettes_are_the_colors_that_they_stand_for():
    import io

    from PIL import Image

    colors = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    image = Image.fromarray(colors).quantize(64)
    file = io.BytesIO()
    image.save(file, "PNG")
    assert (unchanged(file.getvalue()) == np.asarray(image.convert("RGB"))).all()
