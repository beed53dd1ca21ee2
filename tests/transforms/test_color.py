"""Colors against their definition in float64."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import noise
from tests.properties import examples
from tests.transforms.test_geometry import many, one

import bitesize as bs

PIXELS = noise(6, 7)
LUMA = np.array([0.299, 0.587, 0.114])


def brightness(x, f):
    return x * f


def contrast(x, f):
    return (x - 127.5) * f + 127.5


def saturation(x, f):
    return (x @ LUMA)[..., None] * (1 - f) + x * f


factors = st.floats(0.0, 3.0)


@examples(50)
@given(st.lists(st.tuples(st.sampled_from(["Brightness", "Contrast", "Saturation"]), factors), min_size=1, max_size=4))
def test_color_steps_are_composed_without_clamping_between(steps):
    expected = PIXELS.astype(np.float64)
    for name, factor in steps:
        expected = {"Brightness": brightness, "Contrast": contrast, "Saturation": saturation}[name](expected, factor)
    made = [getattr(bs, name)((factor, factor)) for name, factor in steps]
    # float32 keeps 7 digits: of values up to 255 * 3**4 about 2e-3
    np.testing.assert_allclose(one(PIXELS, *made, dtype="float32"), expected, rtol=1e-5, atol=5e-3)
    assert np.abs(one(PIXELS, *made) - np.clip(expected, 0, 255)).max() <= 0.51


def test_after_scaling_the_middle_gray_is_a_half():
    out = one(PIXELS, bs.Scale(1 / 255), bs.Contrast((2, 2)))
    np.testing.assert_allclose(out, (PIXELS / 255 - 0.5) * 2 + 0.5, atol=1e-5)


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.1, 1 / 3])
def test_hue_turns_colors_and_keeps_their_brightness(turn):
    out = one(PIXELS, bs.Hue((turn, turn)), dtype="float32").astype(np.float64)
    np.testing.assert_allclose(out @ LUMA, PIXELS @ LUMA, atol=1e-3)
    back = np.concatenate([out[None], np.zeros((1, *out.shape))]).astype(np.float32)
    with bs.Loader(
        bs.open(back), batch_size=2, shuffle=False, transforms=[bs.Hue((-turn, -turn))], memory="8 MiB"
    ) as loader:
        np.testing.assert_allclose(next(iter(loader))["x"][0], PIXELS, atol=1e-2)
    # A third of a circle brings reddish colors near green, as in HSV, though not exactly there.
    weak = (np.array([[[140, 120, 120]]]) + np.zeros((1, 1, 3))).astype(np.uint8)
    hue = colorsys.rgb_to_hsv(*(one(weak, bs.Hue((turn, turn)), dtype="float32")[0, 0] / 255).tolist())[0]
    assert min(abs(hue - turn % 1), 1 - abs(hue - turn % 1)) < 0.06


def test_color_jitter_is_its_four_steps_in_order():
    jitter = bs.ColorJitter((1.5, 1.5), (0.5, 0.5), (0.2, 0.2), (0.1, 0.1))
    steps = [bs.Brightness((1.5, 1.5)), bs.Contrast((0.5, 0.5)), bs.Saturation((0.2, 0.2)), bs.Hue((0.1, 0.1))]
    np.testing.assert_allclose(one(PIXELS, jitter, dtype="float32"), one(PIXELS, *steps, dtype="float32"), atol=1e-3)
    assert np.array_equal(one(PIXELS, bs.ColorJitter()), PIXELS)


def test_grayscale_happens_as_often_as_it_should():
    out = many(PIXELS, 400, bs.Grayscale(0.3), dtype="float32")
    gray = np.ptp(out, axis=-1).max(axis=(1, 2)) < 1e-3
    assert 0.2 < gray.mean() < 0.4
    np.testing.assert_allclose(out[gray][0], np.broadcast_to((PIXELS @ LUMA)[..., None], PIXELS.shape), atol=1e-3)


def test_factors_are_spread_evenly_over_their_range():
    out = many(np.full((1, 1, 3), 100, np.uint8), 2000, bs.Brightness(0.4), dtype="float32")[:, 0, 0, 0] / 100
    assert 0.6 <= out.min() < 0.61
    assert 1.39 < out.max() <= 1.4
    assert abs(out.mean() - 1) < 0.02


def test_gray_images_have_brightness_and_contrast_and_nothing_else():
    gray = PIXELS[..., :1]
    np.testing.assert_allclose(
        one(gray, bs.ColorJitter((2, 2), (0.5, 0.5)), dtype="float32"), contrast(gray * 2.0, 0.5), atol=1e-3
    )
    for step in (bs.Saturation(), bs.Hue(), bs.Grayscale(), bs.ColorJitter(hue=0.1), bs.ColorMatrix(range(12))):
        with pytest.raises(bs.BadSetting, match="red, green and blue"):
            one(gray, step)


def test_brightness_of_rows_that_are_no_images_differs_from_row_to_row():
    x = np.ones((50, 5), np.float32)
    with bs.Loader(bs.open(x), batch_size=50, transforms=[bs.Brightness(0.5)], memory="8 MiB") as loader:
        out = next(iter(loader))["x"]
    assert (out == out[:, :1]).all()
    assert np.unique(out[:, 0]).size > 40


def test_alpha_keeps_its_own_scale():
    pixels = np.dstack([PIXELS, np.full((6, 7), 51, np.uint8)])
    out = one(pixels, bs.Saturation((0.5, 0.5)), bs.Normalize("imagenet"))
    np.testing.assert_allclose(out[..., 3], 0.2, rtol=1e-5)
