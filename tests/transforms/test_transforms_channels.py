"""Images of any number of channels, gray ones without an axis for it, and rows that may be no images."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.properties import examples

import bitesize as bs
from bitesize.errors import BadSetting


def draw(x, *transforms, **options):
    with bs.Loader(
        bs.open(x), batch_size=len(x), memory="64 MiB", shuffle=False, transforms=list(transforms), **options
    ) as loader:
        return next(iter(loader))["x"].copy()


def values(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return random.random(shape).astype(kind)
    return random.integers(max(np.iinfo(kind).min, -3000), min(np.iinfo(kind).max, 3000), shape).astype(kind)


GEOMETRY = [
    bs.Resize(9),
    bs.Resize((7, 30), "pad", fill=3.0),
    bs.Resize(9, interpolation="bicubic"),
    bs.Resize(9, interpolation="nearest"),
    bs.RandomCrop(12, padding=3),
    bs.CenterCrop((30, 6)),
    bs.RandomResizedCrop(8),
    bs.Flip(0.5, 0.5),
    bs.Rotate90((0, 2)),
    bs.Rotate(30),
    bs.Shear(20, 5),
    bs.Translate(0.3, 0.3),
    bs.Zoom(0.5),
    bs.Cutout(p=1.0, fill=2.0),
]


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
# Each dtype compiles kernels of its own.
@pytest.mark.parametrize(
    "dtype", ["u1", "f4", *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in ("u2", "i2", "f8"))]
)
@pytest.mark.parametrize("transform", GEOMETRY, ids=str)
def test_each_channel_is_drawn_as_if_it_were_alone(transform, dtype, layout):
    x = values((3, 14, 20, 10), dtype)
    got = draw(x, transform, layout=layout)
    got = got.transpose(0, 2, 3, 1) if layout == "CHW" else got
    assert got.dtype == x.dtype
    for c in range(x.shape[3]):
        # The random numbers are keyed by seed and position: the same for a source of one channel.
        alone = draw(x[..., c : c + 1].copy(), transform)
        np.testing.assert_allclose(got[..., c].astype(float), alone[..., 0].astype(float), rtol=1e-5, atol=1e-5)


@examples(40)
@given(
    st.integers(1, 32), st.sampled_from(["u1", "u2", "i2", "f4", "f8"]), st.integers(6, 20), st.integers(6, 20),
    st.integers(1, 24), st.integers(1, 24), st.integers(0, 99)
)  # fmt: skip
def test_resizing_is_pillows_channel_by_channel(channels, dtype, height, width, out_h, out_w, seed):
    if channels == width or (height <= 4 and channels > 4):
        return
    x = values((1, height, width, channels), dtype, seed)
    got = draw(x, bs.Resize((out_h, out_w)), dtype="float32")[0]
    for c in range(channels):
        image = Image.fromarray(x[0, ..., c].astype(np.float32))
        expected = np.asarray(image.resize((out_w, out_h), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(got[..., c], expected, rtol=2e-4, atol=2e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
@pytest.mark.parametrize("transform", GEOMETRY, ids=str)
def test_gray_without_an_axis_for_it_stays_so(transform, dtype):
    x = values((3, 14, 20), dtype)
    got = draw(x, transform)
    assert (got == draw(x[..., None].copy(), transform)[..., 0]).all()
    assert got.ndim == 3


def test_gray_without_an_axis_has_masks():
    x = values((4, 14, 20, 1), "u1")
    masks = (x[..., 0] > 128).astype(np.uint8)
    with bs.Loader(bs.open(x, labels=masks), batch_size=4, memory="32 MiB", transforms=[bs.Flip(0.5, 0.5)]) as loader:
        batch = next(iter(loader))
        assert ((batch["x"][..., 0] > 128) == batch["y"]).all()


def test_masks_move_with_images_of_many_channels():
    x = values((4, 14, 20, 7), "u2")
    masks = (x[..., 6] > 1500).astype(np.uint8)
    transforms = [bs.Flip(0.5, 0.5), bs.Rotate90((0, 2))]
    with bs.Loader(bs.open(x, labels=masks), batch_size=4, memory="32 MiB", transforms=transforms) as loader:
        batch = next(iter(loader))
        assert ((batch["x"][..., 6] > 1500) == batch["y"]).all()


class TestNormalize:
    @pytest.mark.parametrize("geometry", [[], [bs.Flip(0)], [bs.Rotate(0)]], ids=str)
    @pytest.mark.parametrize("channels", [2, 4, 5, 9])
    @pytest.mark.parametrize("dtype", ["u1", "u2", "f8"])
    def test_as_many_means_as_channels(self, geometry, channels, dtype):
        x = values((3, 6, 11, channels), dtype)
        unit = 255 if dtype == "u1" else 1
        mean = tuple(float(i + 1) / 10 * (1 if dtype == "u1" else x.max()) for i in range(channels))
        std = tuple(0.5 + i for i in range(channels))
        got = draw(x, *geometry, bs.Normalize(mean, std))
        np.testing.assert_allclose(got, (x / unit - mean) / std, rtol=1e-4, atol=1e-4)
        assert got.dtype == np.float32

    def test_data_measures_each_channel(self):
        x = values((20, 6, 11, 5), "f4") * np.arange(1, 6, dtype=np.float32)
        got = draw(x, bs.Normalize("data")).reshape(-1, 5)
        np.testing.assert_allclose(got.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(got.std(axis=0), 1, atol=1e-4)

    def test_the_last_axis_of_rows_that_are_no_images(self):
        x = values((7, 5), "f4")
        mean, std = (0.1, 0.2, 0.3, 0.4, 0.5), (1.0, 2.0, 1.0, 2.0, 1.0)
        np.testing.assert_allclose(draw(x, bs.Normalize(mean, std)), (x - mean) / std, rtol=1e-5, atol=1e-6)

    def test_a_wrong_number_is_counted_right(self):
        with pytest.raises(BadSetting, match="has 3 means and deviations, but the rows have 5 channels"):
            draw(values((2, 8, 9, 5), "f4"), bs.Normalize((0.1, 0.2, 0.3), (1.0, 1.0, 1.0)))
        with pytest.raises(
            BadSetting, match=r'Normalize\("imagenet"\) has 3 means and deviations, but the rows have 1 channel:'
        ):
            draw(values((2, 8, 9), "f4"), bs.Normalize("imagenet"))
        with pytest.raises(BadSetting, match="has 5 means and 4 deviations"):
            draw(values((2, 8, 9, 5), "f4"), bs.Normalize((0.1,) * 5, (1.0,) * 4))

    def test_two_values_for_all_channels(self):
        x = values((2, 8, 9, 6), "f4")
        np.testing.assert_allclose(draw(x, bs.Normalize(0.5, 0.25)), (x - 0.5) / 0.25, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("geometry", [[], [bs.Zoom(0.2)]], ids=str)
@pytest.mark.parametrize("transform", [bs.Scale(2.0, 1.0), bs.Brightness((2, 2)), bs.Contrast((0.5, 0.5))], ids=str)
def test_what_is_the_same_for_all_channels_needs_no_colors(geometry, transform):
    x = values((2, 8, 9, 6), "f4")
    both = draw(x, *geometry, transform)
    alone = np.concatenate([draw(x[..., c : c + 1].copy(), *geometry, transform) for c in range(6)], axis=-1)
    np.testing.assert_allclose(both, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "transform",
    [bs.Hue(), bs.Saturation(), bs.Grayscale(), bs.ColorJitter(hue=0.1), bs.ColorMatrix((1.0, 0, 0, 0) * 3)],
    ids=lambda transform: type(transform).__name__,
)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_colors_need_three_channels(transform, channels):
    with pytest.raises(BadSetting, match=f"need.* red, green and blue, not {channels} channel"):
        draw(values((2, 8, 9, channels), "f4"), transform)


def test_a_fill_has_a_number_a_channel():
    x = values((1, 5, 7, 6), "u1")
    got = draw(x, bs.CenterCrop(9, fill=(1, 2, 3, 4, 5, 6)))
    assert got[0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(BadSetting, match="a color must be one number, or 6 for images of 6 channels"):
        draw(x, bs.CenterCrop(9, fill=(1, 2, 3)))
    with pytest.raises(BadSetting, match="a color must be one number, or 3 for images of 3 channels"):
        draw(x[..., :3].copy(), bs.Cutout(fill=(1, 2)))


class TestNoImages:
    @pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 28), (4, 20, 30), (3, 48, 64)])
    def test_channels_that_come_first_are_told(self, shape):
        with pytest.raises(BadSetting, match=r"channels seem to come first.*np\.moveaxis\(x, 1, -1\).*bs\.Map"):
            draw(np.zeros((2, *shape), np.float32), bs.Flip())

    @pytest.mark.parametrize("shape", [(64, 64, 64), (16, 24, 24), (20, 30, 40), (16, 16, 16)])
    def test_rows_that_may_be_volumes_are_refused(self, shape):
        with pytest.raises(BadSetting, match=r"may be volumes.*bs\.Map"):
            draw(np.zeros((2, *shape), np.float32), bs.Resize(8))

    @pytest.mark.parametrize("shape", [(5,), (), (2, 4, 5, 6, 3)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(BadSetting, match=r"needs images \(height, width\) or \(height, width, channels\).*bs\.Map"):
            draw(np.zeros((2, *shape), np.float32), bs.Flip())

    def test_many_channels_are_taken_and_said(self, caplog):
        with caplog.at_level(logging.WARNING, "bitesize"):
            draw(np.zeros((2, 20, 30, 24), np.float32), bs.Flip())
        assert "treated as images of 24 channels" in caplog.text

    @pytest.mark.parametrize("shape", [(3, 20, 30), (64, 64, 64)])
    def test_a_layout_leaves_them(self, shape):
        x = values((2, *shape), "f4")
        assert (draw(x, layout="CHW") == x).all()


def test_the_layout_of_images_of_many_channels():
    x = values((2, 20, 30, 7), "u2")
    assert (draw(x, layout="CHW") == x.transpose(0, 3, 1, 2)).all()
