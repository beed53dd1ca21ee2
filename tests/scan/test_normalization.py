"""`Normalize("data")`: one mean and deviation per channel, those of NumPy, of images and volumes of any type."""

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.packed import row_cache
from bitesize.spec import has_alpha

tifffile = pytest.importorskip("tifffile")
KINDS = ["arrays", "tiff", "pages", "patches", "volumes", "files of volumes"]


def values(dtype, shape):
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return random.normal(2.0, 3.0, shape).astype(dtype)
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return random.integers(least, most, shape, dtype, endpoint=True)


def opened(kind, dtype, channels, folder):
    """Return rows as an array, and the source of the same rows."""
    depth = (5,) if "volumes" in kind else ()
    x = values(dtype, (3, *depth, 6, 7, channels))
    for i, row in enumerate(x):
        if kind == "tiff":
            photometric = "rgb" if channels == 3 else "minisblack"
            tifffile.imwrite(
                folder / f"{i}.tif", row, photometric=photometric, planarconfig="contig" if channels > 1 else None
            )
        elif kind == "pages":
            tifffile.imwrite(folder / f"{i}.tif", np.moveaxis(row, -1, 0), photometric="minisblack")
        elif kind == "patches":
            tifffile.imwrite(
                folder / f"{i}.tif", row, photometric="minisblack", planarconfig="contig" if channels > 1 else None
            )
        elif kind == "files of volumes":
            np.save(folder / f"{i}.npy", row)
    if kind in ("arrays", "volumes"):
        return x, bs.open(x, axes="DHWC" if depth else "HWC")
    if kind == "patches":
        return x, bs.patches(folder, (6, 7))
    settings = {"tiff": {"mode": "unchanged"}, "pages": {"pages": "channels"}}.get(kind, {"axes": "DHWC"})
    return x, bs.open(folder, **settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_each_channel_has_the_mean_and_the_deviation_of_numpy(kind, channels, dtype, tmp_path):
    x, source = opened(kind, dtype, channels, tmp_path)
    with bs.Loader(source, batch_size=3, memory="64 MiB", shuffle=False, transforms=[bs.Normalize("data")]) as loader:
        mean, std = (np.array(numbers) for numbers in loader.transforms[0].numbers)
        got = next(iter(loader))[source.primary].copy()
    whole = 255.0 if dtype == "uint8" else 1.0
    # Arrays of four channels of 8 bits are colors with alpha: nothing in them says otherwise.
    colors = 3 if (kind, dtype, channels) == ("arrays", "uint8", 4) else channels
    exact, over = x.astype(np.float64) / whole, tuple(range(x.ndim - 1))
    np.testing.assert_allclose(mean, exact.mean(over)[:colors], rtol=1e-9)
    np.testing.assert_allclose(std, exact.std(over)[:colors], rtol=1e-9)
    expected = (exact[..., :colors] - mean) / std
    np.testing.assert_allclose(got.reshape(x.shape)[..., :colors], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "alpha"),
    [
        ({"photometric": "rgb", "extrasamples": ["unassalpha"]}, True),
        ({"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": "jpeg2000"}, True),
        ({"photometric": "rgb", "extrasamples": ["unspecified"]}, False),
        ({"photometric": "minisblack", "planarconfig": "contig"}, False),
        ({"photometric": "separated"}, False),
    ],
    ids=["RGBA", "RGBA by tifffile", "RGB and infrared", "bands", "CMYK"],
)
def test_tags_of_a_tiff_say_whether_the_fourth_channel_is_alpha(settings, alpha, tmp_path):
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", values("uint8", (32, 32, 4)), **settings)
    source = bs.open(tmp_path, mode="unchanged")
    assert source.spec["x"].channels == 4
    assert has_alpha(source.spec["x"]) is alpha
    found = bs.statistics(source)
    assert (found.alpha, len(found.mean), len(found.normalization[0])) == (alpha, 4, 3 if alpha else 4)


def test_cmyk_of_a_jpeg_has_no_alpha(tmp_path):
    Image.new("CMYK", (8, 8), (10, 20, 30, 40)).save(tmp_path / "x.jpg")
    assert not has_alpha(bs.open(tmp_path, mode="unchanged").spec["x"])


def test_four_bands_of_16_bits_in_files_are_treated_alike_as_those_of_arrays(tmp_path):
    x = values("uint16", (2, 6, 7, 4))
    for i, row in enumerate(x):
        tifffile.imwrite(tmp_path / f"{i}.tif", row, photometric="minisblack", planarconfig="contig")
    for step in (bs.Normalize(30_000.0, 7_000.0), bs.Scale(0.5, 3.0), bs.Window(1000, 20000)):
        got = []
        for source in (bs.open(x), bs.open(tmp_path)):
            with bs.Loader(source, batch_size=2, memory="64 MiB", shuffle=False, transforms=[step]) as loader:
                got.append(next(iter(loader))["x"].copy())
        assert (got[0] == got[1]).all(), step


def test_a_packed_store_keeps_bands_and_axes(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(2):
        tifffile.imwrite(tmp_path / f"images/{i}.tif", values("uint8", (4, 6, 7)), photometric="minisblack")
    pages = bs.open(tmp_path / "images", pages="channels")
    volumes = bs.open(values("int16", (3, 5, 6, 7)), axes="DHW")
    for name, source in (("pages", pages), ("volumes", volumes)):
        bs.pack(source, tmp_path / name)
        packed = bs.open(tmp_path / name)
        assert packed.spec["x"] == source.spec["x"]


STEPS = {
    "normalize": [bs.Resize(8), bs.Flip(), bs.Normalize(0.5, 0.25)],
    "padded": [bs.Resize(8, "pad", fill=9.0), bs.Flip(), bs.Scale(0.1, 3.0)],
    "window": [bs.Resize(8), bs.Flip(), bs.Window(100, 50)],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("channels", [4, 40])
def test_bands_are_bands_in_caches_and_packed_stores(channels, steps, tmp_path, monkeypatch):
    monkeypatch.setattr(row_cache, "_REST", 0.0)  # the cache is filled at once
    (tmp_path / "images").mkdir()
    for i in range(4):
        x = values("uint8", (8, 9, channels))
        tifffile.imwrite(tmp_path / f"images/{i}.tif", x, photometric="minisblack", planarconfig="contig")
    source = bs.open(tmp_path / "images")

    def epochs(source, **settings):
        with bs.Loader(source, batch_size=4, memory="64 MiB", seed=1, transforms=steps, **settings) as loader:
            return [next(iter(loader))["x"].copy() for _ in range(3)]

    expected = epochs(source)
    for kind in ("exact", "pixels"):
        folder = tmp_path / kind
        tolerance = 0 if kind == "exact" else 0.05  # resized pixels are whole levels
        for _ in range(2):
            for own, other in zip(expected, epochs(source, cache=bs.Cache(folder, "64 MiB", kind)), strict=True):
                np.testing.assert_allclose(other, own, atol=tolerance)
    bs.pack(source, tmp_path / "packed", kind="pixels")
    for own, other in zip(expected, epochs(bs.open(tmp_path / "packed")), strict=True):
        np.testing.assert_array_equal(other, own)
