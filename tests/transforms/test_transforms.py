"""Transforms, seen through the loader: what comes out is what Pillow and NumPy would have made."""

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A lossless image, so that Pillow and we start from the same pixels."""
    path = tmp_path_factory.mktemp("image") / "a.png"
    Image.fromarray(noise(90, 120)).save(path)
    return path


def _one(what, transforms, **options):
    with bs.Loader(bs.open(what), batch_size=1, transforms=transforms, memory="64 MiB", **options) as loader:
        return next(iter(loader))["x"][0].copy()


def test_resize_is_pillows(image):
    for interpolation, filter_ in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        expected = np.asarray(Image.open(image).resize((50, 40), filter_)).astype(int)
        assert np.abs(_one([image], [bs.Resize((40, 50), interpolation=interpolation)]) - expected).max() <= 1


def test_without_fast_decode_a_jpeg_is_resized_as_pillow_does_and_with_it_nearly_so(tmp_path):
    path = write_jpeg(tmp_path / "a.jpg", noise(600, 800))
    expected = np.asarray(Image.open(path).resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(_one([path], [bs.Resize(64)], fast_decode=False) - expected).max() <= 1
    assert np.abs(_one([path], [bs.Resize(64)]) - expected).mean() <= 1.4


def test_images_come_out_as_they_are_without_transforms(image):
    assert np.array_equal(_one([image], []), np.asarray(Image.open(image)))


def test_normalize_and_scale_count_eight_bits_as_0_to_255(image):
    pixels = np.asarray(Image.open(image)).astype(np.float64)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for transforms, expected in (
        ([bs.Normalize("imagenet")], (pixels / 255 - mean) / std),
        ([bs.Scale(1 / 255), bs.Normalize("imagenet")], (pixels / 255 - mean) / std),
        ([bs.Scale(1 / 255)], pixels / 255),
        ([bs.Scale(2, -1)], pixels * 2 - 1),
        ([bs.Normalize(0.5, (0.5, 0.25, 0.5))], (pixels / 255 - 0.5) / [0.5, 0.25, 0.5]),
    ):
        out = _one([image], transforms)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_floats_are_taken_as_they_are():
    x = np.random.default_rng(0).random((1, 6, 5, 3))
    np.testing.assert_allclose(_one(x, [bs.Normalize(0.5, 0.25)]), (x[0] - 0.5) / 0.25, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(_one(x[..., 0, 0], [bs.Scale(3)]), x[0, :, 0, 0] * 3, rtol=1e-6)


def test_a_color_matrix_mixes_channels(image):
    pixels = np.asarray(Image.open(image)).astype(np.float64)
    matrix = (0, 0, 1, -103.939, 0, 1, 0, -116.779, 1, 0, 0, -123.68)
    np.testing.assert_allclose(
        _one([image], [bs.ColorMatrix(matrix)]), pixels[..., ::-1] - [103.939, 116.779, 123.68], atol=1e-3
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int16"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_dtype_and_layout(image, dtype, layout):
    pixels = np.asarray(Image.open(image))
    out = _one([image], [], dtype=dtype, layout=layout)
    assert out.dtype == dtype
    assert np.array_equal(out, pixels if layout == "HWC" else pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("before", ["uint8", "float32", "float64", "float16", "int64", "bool", ">f8"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("shape", [(6, 5, 3), (7,), (), (4, 4)])
def test_rows_of_every_type_are_cast(before, layout, shape):
    x = (np.random.default_rng(0).random((3, *shape)) * 100).astype(before)
    with bs.Loader(bs.open(x), batch_size=3, memory="8 MiB", shuffle=False, dtype="float32", layout=layout) as loader:
        out = next(iter(loader))["x"]
    expected = x.transpose(0, 3, 1, 2) if layout == "CHW" and len(shape) == 3 else x
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected.astype(np.float32))


def test_arrays_of_pixels_take_the_transforms_of_images():
    x = np.stack([noise(40, 60, seed=i) for i in range(4)])
    with bs.Loader(
        bs.open(x), batch_size=4, transforms=[bs.Resize((20, 30)), bs.Flip(1.0)], memory="8 MiB", shuffle=False
    ) as loader:
        out = next(iter(loader))["x"]
    for i in range(4):
        expected = np.asarray(Image.fromarray(x[i]).resize((30, 20), Image.Resampling.BILINEAR))[:, ::-1].astype(int)
        assert np.abs(out[i] - expected).max() <= 1


def test_flips_happen_as_often_as_they_should_and_the_same_in_every_run():
    x = np.zeros((400, 2, 2, 1), np.uint8)
    x[:, 0, 0] = 1
    seen = []
    for threads, batch_size in ((1, 400), (4, 7)):
        with bs.Loader(
            bs.open(x), batch_size=batch_size, transforms=[bs.Flip(0.5, 0.25)], memory="8 MiB", threads=threads, seed=4
        ) as loader:
            corners = np.concatenate([batch["x"].reshape(-1, 4).argmax(axis=1) for batch in loader])
            second = np.concatenate([batch["x"].reshape(-1, 4).argmax(axis=1) for batch in loader])
        seen.append(corners)
        assert not np.array_equal(corners, second)
    assert np.array_equal(*seen)
    mirrored, upended = np.isin(seen[0], (1, 3)).mean(), (seen[0] >= 2).mean()
    assert abs(mirrored - 0.5) < 0.1
    assert abs(upended - 0.25) < 0.1


def test_a_random_crop_stays_within_the_image_and_its_area():
    ramp = np.stack(np.broadcast_arrays(np.arange(100.0)[:, None], np.arange(200.0)[None], 0.0), axis=-1)
    x = np.broadcast_to(ramp, (200, *ramp.shape))
    crop = bs.RandomResizedCrop(8, scale=(0.25, 0.5), ratio=(1, 2))
    with bs.Loader(bs.open(np.ascontiguousarray(x)), batch_size=200, transforms=[crop], memory="64 MiB") as loader:
        out = next(iter(loader))["x"]
    height, width = (out[:, -1, 0, 0] - out[:, 0, 0, 0]) * 8 / 7, (out[:, 0, -1, 1] - out[:, 0, 0, 1]) * 8 / 7
    assert out[..., 0].min() >= 0
    assert out[..., 0].max() <= 99
    assert out[..., 1].max() <= 199
    share = height * width / 20_000
    assert share.min() > 0.22
    assert share.max() < 0.53
    assert share.std() > 0.03
    assert np.unique(np.round(out[:, 0, 0, 1])).size > 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: bs.Resize(0),
        lambda: bs.Resize((-3, 5)),
        lambda: bs.Resize(2.5),
        lambda: bs.Resize((3, 4, 5, 6)),
        lambda: bs.Resize(5, interpolation="lanczos"),
        lambda: bs.Resize(5, "fit"),
        lambda: bs.Resize((5, 6), "shorter"),
        lambda: bs.Resize(5, "pad", fill=()),
        lambda: bs.Resize(5, "pad", fill=float("nan")),
        lambda: bs.Resize(5, "pad", mask_fill=-1),
        lambda: bs.CenterCrop(0),
        lambda: bs.RandomCrop(5, padding=-1),
        lambda: bs.Flip(1.5),
        lambda: bs.Rotate90((4,)),
        lambda: bs.Rotate90(()),
        lambda: bs.Rotate("far"),
        lambda: bs.Rotate((20, 10)),
        lambda: bs.Shear(60, 60),
        lambda: bs.Translate(2.0),
        lambda: bs.Zoom((0, 1)),
        lambda: bs.Normalize("imagenets"),
        lambda: bs.Normalize(0.5),
        lambda: bs.Normalize(0.5, 0),
        lambda: bs.Scale(0),
        lambda: bs.Brightness(-1),
        lambda: bs.Contrast((2, 1)),
        lambda: bs.Saturation(True),
        lambda: bs.Hue(0.7),
        lambda: bs.ColorJitter(hue=2),
        lambda: bs.Grayscale(2),
        lambda: bs.Cutout(scale=(0.5, 2)),
        lambda: bs.Cutout(p=-1),
        lambda: bs.MixUp(0),
        lambda: bs.CutMix("much"),
        lambda: bs.Map(3),
        lambda: bs.Map(len, fields=()),
        lambda: bs.Map(len, output="float32"),
        lambda: bs.RandomResizedCrop(8, scale=(0.5, 0.1)),
        lambda: bs.RandomResizedCrop(8, ratio=(0, 1)),
        lambda: bs.ColorMatrix((1, 2, 3)),
    ],
    ids=range(40),
)
def test_a_transform_that_cannot_be_is_refused(make):
    with pytest.raises(bs.BadSetting):
        make()


def test_means_must_fit_the_channels(image):
    with pytest.raises(bs.BadSetting, match="3 means"):
        _one(np.zeros((1, 4, 4, 1), np.uint8), [bs.Normalize("imagenet")])


@pytest.mark.parametrize("before", ["uint16", "int64", "float32", "float64", "float16"])
def test_a_cast_to_fewer_bits_clamps_and_never_wraps(before):
    x = np.array([[0, 3, 300, 255]], before)
    with bs.Loader(bs.open(x), batch_size=1, memory="1 MiB", dtype="uint8") as loader:
        assert next(iter(loader))["x"].tolist() == [[0, 3, 255, 255]]


def test_integers_that_float32_cannot_hold_are_not_drawn():
    with pytest.raises(bs.BadSetting, match="convert them first"):
        bs.Loader(bs.open(np.zeros((2, 4, 4, 3), np.int64)), batch_size=1, transforms=[bs.Flip()], memory="8 MiB")
