"""Windows and percentiles: what is outside is clipped, wherever the pixels are from and whatever follows."""

import numpy as np
import pytest
from PIL import Image
from tests.transforms import numpy_reference as ref
from tests.transforms.test_transforms_matrix import DTYPES, check, loaded, values

import bitesize as bs
from bitesize.errors import BadSetting


@pytest.mark.parametrize("dtype", [*DTYPES, "f8", "i4"])
@pytest.mark.parametrize("shape", [(14, 20, 3), (14, 20, 4), (14, 20, 5), (14, 20), (40,), (6, 7, 8, 2)], ids=str)
@pytest.mark.parametrize("moves", [False, True], ids=["values", "with a flip"])
def test_percentiles_of_each_row_are_numpys(dtype, shape, moves):
    if moves and (len(shape) == 1 or dtype == "i4"):
        pytest.skip("no image that can be moved")
    x = values(dtype, (3, *shape))
    transforms = [bs.Flip(1.0), bs.Percentiles(5, 90)] if moves else [bs.Percentiles(5, 90)]
    channels = shape[-1] if len(shape) > 2 else 1
    expected = np.stack([ref.percentiles(row.reshape(-1, channels), 5, 90) for row in x]).reshape(x.shape)
    if dtype == "u1" and channels == 4:
        expected[..., 3] = x[..., 3] / 255  # alpha
    if moves:
        expected = np.flip(expected, x.ndim - 1 if len(shape) == 2 else x.ndim - 2)
    for target in ("float32", "float16"):
        check(loaded(bs.open(x), transforms, dtype=target)["x"], expected, target, steep=4.0)


def test_percentiles_leave_out_values_that_are_not_finite_and_a_constant_row_is_0():
    x = np.full((3, 8, 8, 1), 7.0, np.float32)
    x[1, 0, :4, 0] = np.nan, np.inf, -np.inf, 107
    x[2] = np.nan
    got = loaded(bs.open(x), [bs.Percentiles(0, 100)])["x"]
    assert (got[0] == 0).all()
    assert np.isnan(got[1, 0, 0, 0])
    assert got[1, 0, 1:5, 0].tolist() == [1, 0, 1, 0]
    assert np.isnan(got[2]).all()
    of_data = loaded(bs.open(x[:2]), [bs.Percentiles(0, 100, "data")])["x"]
    np.testing.assert_array_equal(of_data[1], got[1])


def test_a_crop_does_not_change_the_percentiles_of_its_row():
    x = values("u2", (2, 14, 20, 3))
    whole = loaded(bs.open(x), [bs.Percentiles()])["x"]
    np.testing.assert_array_equal(loaded(bs.open(x), [bs.CenterCrop(8), bs.Percentiles()])["x"], whole[:, 3:11, 6:14])
    np.testing.assert_array_equal(loaded(bs.open(x), [bs.Percentiles(), bs.CenterCrop(8)])["x"], whole[:, 3:11, 6:14])


def test_values_are_clipped_before_what_follows_and_after_resizing():
    x = values("f4", (2, 14, 20, 3)) * 4 - 2
    source, resized = bs.open(x), np.stack([ref.resize(row, (9, 9)) for row in x])
    unit = (resized * 2).clip(0, 1)  # the window 0 to 0.5
    for steps, expected in (
        ([], unit),
        ([bs.Normalize((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))], (unit - (0.5, 0.4, 0.3)) / (0.1, 0.2, 0.3)),
        ([bs.Scale(-3, 1)], unit * -3 + 1),
        ([bs.Brightness((1.4, 1.4)), bs.Contrast((0.5, 0.5))], (unit * 1.4 - 0.5) * 0.5 + 0.5),
        ([bs.Scale(2), bs.Window(1, 1)], (unit * 2 - 0.5).clip(0, 1)),
    ):
        for layout in ("HWC", "CHW"):
            got = loaded(source, [bs.Resize(9), bs.Window(0.25, 0.5), *steps], layout=layout)["x"]
            check(got if layout == "HWC" else got.transpose(0, 2, 3, 1), expected, "f4", steep=4.0)
    got = loaded(source, [bs.Resize(9), bs.Window(0.25, 0.5), bs.Scale(200)], dtype="uint8")["x"]
    check(got, unit * 200, "u1")


def test_what_is_erased_has_its_color_and_what_is_outside_is_windowed():
    x = np.full((1, 4, 4, 3), 5.0, np.float32)
    got = loaded(bs.open(x), [bs.CenterCrop(6, fill=100), bs.Window(5, 10), bs.Cutout((1, 1), (1, 1), p=1.0, fill=-3)])["x"]
    assert (got == -3).all()
    got = loaded(bs.open(x), [bs.Cutout((0.2, 0.2), (1, 1), p=1.0, fill=30), bs.Window(5, 10)])["x"]
    assert set(np.unique(got)) == {0.5, 1.0}
    assert loaded(bs.open(x), [bs.CenterCrop(6, fill=100), bs.Window(5, 10)])["x"][0, 0, 0].tolist() == [1, 1, 1]


def test_windows_of_each_channel():
    x = values("i2", (2, 9, 11, 5))
    centers, widths = np.array([0, 100, 2000, -500, 1e4]), np.array([400, 3000, 1, 1e4, 6e4])
    got = loaded(bs.open(x), [bs.Window(tuple(centers), tuple(widths))])["x"]
    check(got, ((x - centers) / widths + 0.5).clip(0, 1), "f4", steep=400.0)  # the narrowest window has 65536 / 1 levels


def test_decoded_images_are_measured_as_well(tmp_path):
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 65535, (30, 40), np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    source = bs.open(tmp_path, labels=False, mode="I;16")
    expected = np.stack([ref.percentiles(np.array(Image.open(tmp_path / f"{i}.png"))[..., None], 1, 99) for i in range(2)])
    check(loaded(source, [bs.Percentiles()])["x"], expected, "f4", steep=4.0)
    of_all = ref.percentiles(np.stack([np.array(Image.open(tmp_path / f"{i}.png")) for i in range(2)])[..., None], 1, 99)
    check(loaded(source, [bs.Percentiles(per="data")])["x"], of_all, "f4", steep=4.0)


def test_measured_numbers_are_a_window_for_other_loaders():
    x = values("u2", (4, 9, 9, 2))
    with bs.Loader(bs.open(x), batch_size=4, memory="64 MiB", transforms=[bs.Percentiles(per="data")]) as loader:
        (window,) = loader.transforms
    lows, highs = np.percentile(x, (1, 99), axis=(0, 1, 2))
    np.testing.assert_allclose(window.center, (lows + highs) / 2)
    np.testing.assert_allclose(window.width, highs - lows)


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([bs.Scale(2), bs.Percentiles()], r"put Percentiles\(\) before Scale"),
        ([bs.Brightness(), bs.Percentiles()], r"put Percentiles\(\) before Brightness"),
        ([bs.Cutout(), bs.Percentiles()], r"put Percentiles\(\) before Cutout"),
        ([bs.Scale(2), bs.Percentiles(per="data")], r"put Percentiles\(per='data'\) before Scale"),
        ([bs.Window(1, 2), bs.Normalize("data")], "remove one of the two"),
        ([bs.Window(1, 2), bs.Hue()], r"put Hue\(\) before Window"),
        ([bs.Window((1, 2), (1, 2))], "2 centers and widths, but the rows have 3 channels"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(transforms, message):
    with pytest.raises(BadSetting, match=message):
        loaded(bs.open(values("f4", (2, 9, 9, 3))), transforms)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bs.Window(1, 0), lambda: bs.Window("a", 1), lambda: bs.Window((1, 2), (1, 2, 3)), lambda: bs.Window((), ()),
        lambda: bs.Percentiles(5, 5), lambda: bs.Percentiles(-1), lambda: bs.Percentiles(high=101),
        lambda: bs.Percentiles(per="batch"), lambda: bs.Percentiles("1", 2),
    ],
    ids=range(9),
)  # fmt: skip
def test_settings_are_checked(make):
    with pytest.raises(BadSetting):
        make()


def test_percentiles_of_a_row_are_not_measured_on_pixels_that_a_cache_has_resized(tmp_path):
    for i in range(2):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (30, 40, 3), np.uint8)).save(tmp_path / f"{i}.png")
    steps, cache = [bs.Resize(16), bs.Flip(), bs.Percentiles(5, 95)], bs.Cache(tmp_path / "cache", "16 MiB", "pixels")
    with pytest.raises(BadSetting, match="measures the values as stored"):
        bs.Loader(bs.open(tmp_path), batch_size=2, memory="64 MiB", transforms=steps, cache=cache)
