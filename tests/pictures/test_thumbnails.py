"""Thumbnails are small, whatever the image is."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from tests.html.reading import Page

from bitesize.pictures.thumbnails import MOST, SIDE, thumbnail

RANDOM = np.random.default_rng(0)


def shown(row, axes, mask=None):
    """Return the pixels of a thumbnail, and its attributes."""
    (attributes,) = Page(thumbnail(row, axes, "an image", mask)).images
    data = base64.b64decode(attributes["src"].partition("base64,")[2])
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")), attributes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float16, np.float64, np.bool_])
@pytest.mark.parametrize(
    ("shape", "axes"), [((40, 60), "HW"), ((40, 60, 10), "HWC"), ((5, 40, 60), "DHW"), ((5, 40, 60, 2), "DHWC")]
)
def test_rows_of_any_type_have_a_picture(shape, axes, dtype):
    pixels, attributes = shown(RANDOM.integers(0, 255, shape).astype(dtype), axes)
    assert pixels.shape == (40, 60, 3)
    assert len(np.unique(pixels)) > 1
    assert (attributes["width"], attributes["height"]) == ("60", "40")


def test_a_large_image_of_noise_is_a_small_file():
    noise = RANDOM.integers(0, 255, (2000, 3000, 3)).astype(np.uint8)
    pixels, attributes = shown(noise, "HWC")
    assert pixels.shape == (SIDE * 2 // 3, SIDE, 3)
    assert MOST * len(attributes["src"]) < 190_000


def test_a_tiny_image_is_enlarged_without_blur():
    pixels, attributes = shown(RANDOM.integers(0, 255, (8, 8)).astype(np.uint8), "HW")
    assert pixels.shape == (8, 8, 3)
    assert (attributes["width"], attributes["class"]) == ("80", "enlarged")


def test_a_mask_is_colored_over_it():
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 1
    pixels, _ = shown(np.full((20, 20, 3), 100, np.uint8), "HWC", mask)
    assert pixels[0, 0].tolist() == [100, 100, 100]
    assert pixels[0, 19].tolist() != [100, 100, 100]
