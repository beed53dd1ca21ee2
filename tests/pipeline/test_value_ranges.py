"""Transforms that expect values of a range refuse data of another, instead of making nonsense of it."""

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.errors import BadSetting

BYTES = np.random.default_rng(0).integers(0, 256, (40, 12, 14, 3), np.uint8)
UNIT = BYTES / 255.0


def draw(x, *transforms, **options):
    with bs.Loader(
        bs.open(x), batch_size=4, memory="16 MiB", shuffle=False, transforms=list(transforms), **options
    ) as loader:
        return next(iter(loader))["x"].copy()


@pytest.mark.parametrize(
    ("transform", "name"),
    [
        (bs.Normalize("imagenet"), r'Normalize\("imagenet"\)'),
        (bs.Contrast(), "Contrast"),
        (bs.ColorJitter(contrast=0.2), "ColorJitter"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint16", "int16"])
def test_values_of_0_to_255_are_refused_with_the_way_on(transform, name, dtype):
    with pytest.raises(
        BadSetting, match=rf"x holds {dtype} values from 0 to 255, but {name} expects 0 to 1: put bs\.Scale\(1 / 255\) "
    ):
        draw(BYTES.astype(dtype), transform)


def test_the_way_on_gives_what_bytes_give():
    expected = draw(BYTES, bs.Normalize("imagenet"))
    for dtype in ("float64", "float32", "uint16"):
        got = draw(BYTES.astype(dtype), bs.Scale(1 / 255), bs.Normalize("imagenet"))
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    assert np.abs(expected).max() < 3


@pytest.mark.parametrize("greatest", [4095, 65_535])
def test_the_scale_fits_the_values(greatest):
    x = (UNIT * greatest).round().astype(np.uint16)
    with pytest.raises(BadSetting, match=rf"put bs\.Scale\(1 / {greatest}\) before it"):
        draw(x, bs.Normalize("imagenet"))
    assert np.abs(draw(x, bs.Scale(1 / greatest), bs.Normalize("imagenet"))).max() < 3


def test_values_around_0_need_an_offset():
    with pytest.raises(BadSetting, match=r"from -128 to 127, but .* bs\.Scale\(factor, offset\)"):
        draw(BYTES.astype(np.float32) - 128, bs.Normalize("imagenet"))
    with pytest.raises(BadSetting, match=r"from -128 to 127, but .* bs\.Scale\(factor, offset\)"):
        draw(BYTES.astype(np.float32) - 128, bs.Normalize(0.5, 0.25))


@pytest.mark.parametrize("mean", [0.45, (0.485, 0.456, 0.406)])
def test_numbers_for_0_to_1_are_refused_too(mean):
    std = 0.25 if isinstance(mean, float) else (0.25,) * 3
    with pytest.raises(BadSetting, match=r"expects 0 to 1: put bs\.Scale\(1 / 255\) before it"):
        draw(BYTES.astype(np.float64), bs.Normalize(mean, std))
    with pytest.raises(
        BadSetting, match=r"deviations from the mean of .*: its numbers are for another scale: put bs\.Scale"
    ):
        draw(BYTES * 0.999, bs.Normalize(mean, std))


def test_numbers_for_0_to_255_are_refused_where_values_are_0_to_1():
    with pytest.raises(BadSetting, match="divide its numbers by 255"):
        draw(UNIT, bs.Normalize(127.5, 60))
    with pytest.raises(BadSetting, match="divide them by 255"):
        draw(BYTES, bs.Normalize(127.5, 60))


def test_a_scale_of_what_is_scaled_already_is_refused():
    with pytest.raises(BadSetting, match=r"x holds float64 values from 0 to 1 already: leave out bs\.Scale\(1 / 255\)"):
        draw(UNIT, bs.Scale(1 / 255))
    with pytest.raises(BadSetting, match=r"from 0 to 1 already"):
        draw(BYTES, bs.Scale(1 / 255), bs.Scale(1 / 255))


@pytest.mark.parametrize(
    ("x", "transforms"),
    [
        (UNIT, [bs.Normalize("imagenet"), bs.Contrast()]),
        (UNIT * 2 - 1, [bs.Normalize(0.0, 1.0), bs.Contrast()]),
        (UNIT * 2 - 1, [bs.Scale(1 / 2, 1 / 2), bs.Normalize("imagenet")]),
        (UNIT * 1.1 - 0.05, [bs.Normalize("imagenet")]),
        (BYTES.astype("f4") - 128, [bs.Scale(1 / 255)]),
        (np.random.default_rng(0).normal(0, 1, (50, 3)), [bs.Scale(1 / 200)]),
        (BYTES[..., 0] > 9, [bs.Scale(2.0, -1.0)]),
        (BYTES, [bs.Contrast(), bs.Normalize("imagenet")]),
        (BYTES.astype("f4"), [bs.Normalize(120.0, 70.0)]),
        (BYTES.astype("f4"), [bs.Brightness(), bs.Hue(), bs.Saturation(), bs.Flip()]),
        (BYTES.astype("f4"), [bs.Normalize("data")]),
        (np.where(BYTES > 254, 40_000.0, BYTES / 255), [bs.Normalize("data")]),
        ((BYTES > 128).astype("f4"), [bs.Scale(1 / 255)]),
        (np.full((5, 3), np.nan), [bs.Normalize(0.0, 1.0)]),
        (np.random.default_rng(0).normal(0, [1, 1000], (50, 2)), [bs.Normalize((0.0, 5000.0), (1.0, 1.0))]),
    ],
)
def test_what_may_be_meant_is_taken(x, transforms):
    draw(x, *transforms)


def test_rows_that_cannot_be_read_are_left_out(tmp_path):
    for i in range(5):
        np.save(tmp_path / f"{i}.npy", BYTES[i].astype(np.float32))
    (tmp_path / "2.npy").write_bytes(b"no array")
    with pytest.raises(BadSetting, match=r"from 0 to 255"):
        bs.Loader(bs.open(tmp_path), batch_size=2, memory="16 MiB", transforms=[bs.Normalize("imagenet")])


def test_the_sample_is_given_back():
    budget = bs.Budget("16 MiB")
    with pytest.raises(BadSetting):
        bs.Loader(bs.open(BYTES.astype("f4")), batch_size=2, memory=budget, transforms=[bs.Normalize("imagenet")])
    assert budget.granted == 0


def test_images_of_16_bits_are_measured(tmp_path):
    Image.fromarray((BYTES[0, ..., 0].astype(np.uint16)) * 16).save(tmp_path / "x.png")
    source = bs.open(tmp_path / "x.png", mode="I;16")
    with pytest.raises(
        BadSetting, match=r"x holds uint16 values from \d+ to 4\d\d\d, but Contrast expects 0 to 1: put bs.Scale"
    ):
        bs.Loader(source, batch_size=1, memory="16 MiB", transforms=[bs.Contrast()])


@pytest.mark.parametrize("scale", [bs.Scale(1 / 255), bs.Scale(1 / 127.5, -1.0), bs.Scale(-2.0)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_normalize_by_the_data_follows_a_scale(scale, dtype):
    x = BYTES.astype(dtype)
    with bs.Loader(bs.open(x), batch_size=40, memory="16 MiB", transforms=[scale, bs.Normalize("data")]) as loader:
        got = next(iter(loader))["x"]
        np.testing.assert_allclose(got.mean(axis=(0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(got.std(axis=(0, 1, 2)), 1, atol=1e-4)


def test_normalize_by_the_data_is_of_values_as_stored():
    for before in (bs.Normalize(0.5, 0.25), bs.ColorMatrix((0.5, 0, 0, 0) * 3)):
        with pytest.raises(BadSetting, match=r'Normalize\("data"\) is for values as stored, but .* before it changes them'):
            draw(BYTES, before, bs.Normalize("data"))


@pytest.mark.parametrize("transform", [bs.Normalize("imagenet"), bs.Contrast(), bs.ColorJitter(contrast=0.2)], ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_of_minus_1_to_1_are_refused_where_0_to_1_is_expected(transform, dtype):
    with pytest.raises(
        BadSetting,
        match=r"from -1 to 1, but .* expects 0 to 1: leave out .* or scale .* bs\.Scale\(1 / 2, 1 / 2\) before it",
    ):
        draw((UNIT * 2 - 1).astype(dtype), transform)
    with pytest.raises(BadSetting, match=r"expects 0 to 1"):
        draw(BYTES, bs.Scale(1 / 127.5, -1.0), transform)


@pytest.mark.parametrize("factor", [1 / 255, 1 / 127.5, 1 / 65_535, 0.00392])
def test_a_scale_of_normalized_values_is_refused(factor):
    with pytest.raises(BadSetting, match=r"from -1 to 1 already: leave out bs\.Scale"):
        draw(UNIT * 2 - 1, bs.Scale(factor))
    with pytest.raises(BadSetting, match=r"from -2 to 2, which are normalized already: leave out bs\.Scale"):
        draw(UNIT * 4 - 2, bs.Scale(factor))


@pytest.mark.parametrize(("greatest", "dtype"), [(4095, "u2"), (65_535, "u2"), (65_535, "f4"), (65_535, "f8")])
@pytest.mark.parametrize("scale", [bs.Scale(1 / 255), bs.Scale(1 / 256), bs.Scale(1 / 127.5, -1.0)], ids=str)
def test_a_scale_for_8_bits_of_wider_values_is_refused_with_the_right_one(greatest, dtype, scale):
    x = (UNIT * greatest).round().astype(dtype)
    with pytest.raises(
        BadSetting, match=rf"from 0 to {greatest}, but bs\.Scale.* is for values from 0 to 255.* bs\.Scale\(1 / {greatest}\)"
    ):
        draw(x, scale)
    assert draw(x, bs.Scale(1 / greatest)).max() == 1


def test_a_scale_for_8_bits_of_ct_values_names_the_way_of_the_data():
    x = (UNIT * 4000).round().astype(np.int16) - 1000
    with pytest.raises(
        BadSetting, match=r'from -1000 to 3000, .* the result would be -3\.9\d+ to 11\.76; use bs\.Normalize\("data"\)'
    ):
        draw(x, bs.Scale(1 / 255))


@pytest.mark.parametrize("factor", [1 / 65_535, 1 / 4095])
def test_a_scale_for_16_bits_of_bytes_is_refused(factor):
    with pytest.raises(
        BadSetting, match=r"uint8 values from 0 to 255, but .* is for 16-bit values: use bs\.Scale\(1 / 255\)"
    ):
        draw(BYTES, bs.Scale(factor))


class TestBooleans:
    @pytest.mark.parametrize("transform", [bs.Contrast(0.5), bs.Brightness(0.3), bs.Contrast(0.0)], ids=str)
    @pytest.mark.parametrize("shape", [(4, 12, 14, 3), (4, 12, 14), (4, 20)])
    def test_changes_of_value_are_refused(self, transform, shape):
        with pytest.raises(
            BadSetting, match=r"rows of bool can only be True and False: convert them with astype\(np\.float32\)"
        ):
            draw(np.ones(shape, np.bool_), transform)

    @pytest.mark.parametrize(
        "transform", [bs.Saturation(), bs.ColorJitter(0.2), bs.Grayscale(), bs.Flip(), bs.Resize(4), bs.Rotate(9)], ids=str
    )
    def test_drawing_is_refused_with_the_way_on(self, transform):
        with pytest.raises(BadSetting, match=r"images of bool cannot be transformed: use astype\(np\.uint8\)"):
            draw(BYTES > 128, transform)

    def test_a_scale_of_bytes_is_refused(self):
        with pytest.raises(BadSetting, match=r"bool values from 0 to 1 already: leave out bs\.Scale\(1 / 255\)"):
            draw(BYTES > 128, bs.Scale(1 / 255))

    def test_normalize_takes_them_as_0_and_1(self):
        assert (draw(BYTES > 128, bs.Normalize(0.5, 0.5)) == np.where(BYTES[:4] > 128, 1.0, -1.0)).all()

    def test_complex_numbers_are_refused_too(self):
        with pytest.raises(BadSetting, match="Contrast changes real numbers, but rows are complex128"):
            draw(np.ones((4, 5), complex), bs.Contrast())


class TestSeries:
    @pytest.mark.parametrize(
        "transform",
        [bs.Flip(), bs.Resize(8), bs.CenterCrop(2), bs.RandomCrop(2), bs.Rotate(9), bs.Rotate90((0, 2)), bs.Cutout()],
        ids=str,
    )
    @pytest.mark.parametrize("shape", [(100, 3), (3, 100), (4, 256), (7, 28)])
    def test_they_are_no_images(self, transform, shape):
        with pytest.raises(BadSetting, match=rf"look like a series of {min(shape)} values: use bs\.Map"):
            draw(np.zeros((5, *shape), np.float32), transform)

    @pytest.mark.parametrize("shape", [(28, 28), (8, 100), (4, 5), (7, 27)])
    def test_gray_images_stay_images(self, shape):
        assert draw(np.zeros((5, *shape), np.float32), bs.Flip()).shape == (4, *shape)

    def test_an_axis_for_the_channel_makes_them_images(self):
        x = np.arange(5 * 300, dtype=np.float32).reshape(5, 100, 3)
        assert (draw(x[..., None], bs.Flip(1.0))[..., 0] == x[:4, :, ::-1]).all()

    def test_changes_of_value_take_them(self):
        x = np.full((5, 100, 3), 4.0, np.float32)
        assert (draw(x, bs.Normalize(2.0, 1.0)) == 2).all()
