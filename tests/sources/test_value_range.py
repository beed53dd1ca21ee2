"""The range of values is measured on a few evenly spaced rows, within the budget."""

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.errors import BadSetting, DoesNotFit
from bitesize.sources.arrays import Arrays
from bitesize.sources.value_range import ValueRange, full_brightness, narrow_in_words, value_range


@pytest.mark.parametrize(
    ("brightest", "full"),
    [(0, 255), (255, 255), (255.4, 255), (256, 1023), (3785, 4095), (4096, 16_383), (65_535, 65_535), (65_536, None)],
)
def test_full_brightness_is_that_of_the_fewest_bits(brightest, full):
    assert full_brightness(brightest) == full


def test_advice_for_narrow_values_is_the_value_of_full_brightness_not_that_of_the_brightest_pixel():
    said = narrow_in_words(3785, np.dtype(np.uint16))
    assert "within 0 to 3,785 of 65,535" in said
    assert "(12-bit data?)" in said
    assert "bs.Scale(1 / 4095)" in said


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([[0, 7], [200, 255]], np.uint8), ValueRange(0.0, 255.0, True, 2, "uint8")),
        (np.array([[-1.5, 7], [200, np.nan]]), ValueRange(-1.5, 200.0, False, 2, "float64")),
        (np.array([[0.0, 7], [200, np.inf]], np.float32), ValueRange(0.0, 200.0, True, 2, "float32")),
        (np.array([[0, 4095]], np.uint16), ValueRange(0.0, 4095.0, True, 1, "uint16")),
        (np.array([[True, False]]), ValueRange(0.0, 1.0, True, 1, "bool")),
        (np.array([0.25, 0.5], np.float16), ValueRange(0.25, 0.5, False, 2, "float16")),
    ],
)
def test_arrays_of_each_type(x, expected):
    assert value_range(bs.open(x)) == expected


def test_no_finite_value_has_no_range():
    found = value_range(bs.open(np.full((3, 2), np.nan)))
    assert np.isnan(found.minimum)
    assert np.isnan(found.maximum)
    assert (found.integral, found.rows) == (False, 3)


def test_a_sample_reaches_from_the_first_row_to_the_last():
    found = value_range(bs.open(np.arange(1000.0)), rows=3)
    assert found == ValueRange(0.0, 999.0, True, 3, "float64")


def test_large_rows_are_measured_whole():
    x = np.zeros((2, 300_000))
    x[1, -1], x[0, 70_000] = 9, -0.5
    assert value_range(bs.open(x)) == ValueRange(-0.5, 9.0, False, 2, "float64")


def test_images_are_decoded_and_bad_files_left_out(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((4, 5, 3), 10 * i + 5, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    budget = bs.Budget("32 MiB")
    assert value_range(bs.open(tmp_path), memory=budget) == ValueRange(5.0, 25.0, True, 2, "uint8")
    assert budget.granted == 0


def test_npy_files_that_cannot_be_read_are_left_out(tmp_path):
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.full(4, i + 0.5))
    (tmp_path / "2.npy").write_bytes(b"no array")
    assert value_range(bs.open(tmp_path)) == ValueRange(0.5, 1.5, False, 2, "float64")


def test_a_row_is_charged_before_it_is_read():
    with pytest.raises(DoesNotFit, match="a sample of rows"):
        value_range(bs.open(np.zeros((1, 4 << 20))), memory="16 MiB")


def test_text_has_no_range():
    with pytest.raises(BadSetting, match="needs numbers"):
        value_range(Arrays(np.array([[b"ab", b"cd"]])))
