"""Pages of TIFF files: the first, channels, slices of a volume, or rows."""

import pickle

import numpy as np
import pytest

import bitesize as bs
from bitesize.errors import BadSetting

tifffile = pytest.importorskip("tifffile")
STACKS = np.random.default_rng(0).integers(0, 4096, (4, 5, 20, 30), np.uint16)


@pytest.fixture
def folder(tmp_path):
    for k, stack in enumerate(STACKS):
        (tmp_path / "ab"[k // 2]).mkdir(exist_ok=True)
        compression = {"compression": "zlib"} if k % 2 else {}
        tifffile.imwrite(tmp_path / "ab"[k // 2] / f"{k}.tif", stack, photometric="minisblack", **compression)
    return tmp_path


def load(source, *transforms):
    with bs.Loader(source, batch_size=len(source), memory="64 MiB", shuffle=False, transforms=list(transforms)) as loader:
        batch = next(iter(loader))
        return batch["x"].copy(), batch["y"].copy() if "y" in source.spec else None


@pytest.mark.parametrize(
    ("pages", "expected", "axes"),
    [
        ("first", STACKS[:, 0][..., None], None),
        ("channels", np.moveaxis(STACKS, 1, -1), "HWC"),
        ("depth", STACKS, "DHW"),
        ("rows", STACKS.reshape(20, 20, 30, 1), "HWC"),
    ],
)
def test_pages_are_what_the_setting_says(folder, pages, expected, axes):
    source = bs.open(folder, pages=pages)
    x, y = load(source)
    assert x.dtype == np.uint16
    assert (x == expected).all()
    assert y.tolist() == np.repeat([0, 1], len(expected) // 2).tolist()
    assert axes is None or source.spec["x"].axes == axes
    assert (load(pickle.loads(pickle.dumps(source)))[0] == expected).all()


def test_colors_are_the_last_axis_of_a_volume(tmp_path):
    stack = np.random.default_rng(0).integers(0, 256, (4, 8, 9, 3), np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="rgb")
    source = bs.open(tmp_path / "x.tif", pages="depth")
    assert source.spec["x"].axes == "DHWC"
    assert (load(source)[0][0] == stack).all()


def test_by_default_the_first_is_used_and_a_line_says_so(folder):
    said = [str(choice) for choice in bs.open(folder).choices]
    assert "pages of TIFF files: only the first (0.tif has 5) (pages= changes this)" in said


@pytest.mark.parametrize(
    ("axes", "shape", "meaning"),
    [("ZYX", (5, 20, 30), "depth"), ("CYX", (20, 30, 5), "channels"), ("TYX", (20, 30, 1), "rows")],
)
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_metadata_decide_where_they_say_what_pages_are(tmp_path, axes, shape, meaning, kind):
    tifffile.imwrite(tmp_path / "x.tif", STACKS[0], metadata={"axes": axes}, **{kind: True})
    source = bs.open(tmp_path)
    assert source.spec["x"].shape == shape
    assert any(f"{meaning}, by the axes {axes} in their metadata" in choice.chosen for choice in source.choices)


def test_a_stack_of_another_shape_is_a_bad_row(folder):
    tifffile.imwrite(folder / "b" / "9.tif", STACKS[0][:3], photometric="minisblack")
    (folder / "b" / "99.tif").write_bytes(b"II*\0 no TIFF")
    for pages in ("channels", "depth"):
        found = bs.check(bs.open(folder, pages=pages), memory="64 MiB")
        assert [row.row for row in found.bad] == [4, 5]
        assert "has 3 pages, but" in found.bad[0].reason


def test_a_file_that_cannot_be_read_is_one_bad_row(folder):
    (folder / "b" / "99.tif").write_bytes(b"II*\0 no TIFF")
    source = bs.open(folder, pages="rows")
    assert len(source) == 21
    assert [row.row for row in bs.check(source, memory="64 MiB").bad] == [20]
    assert source.describe(7).endswith("1.tif, page 3")


def test_rows_are_transformed_as_arrays_are(folder):
    images, _ = load(bs.open(folder, pages="rows"), bs.Resize(16), bs.Normalize("data"))
    arrays, _ = load(bs.open(STACKS.reshape(20, 20, 30, 1)), bs.Resize(16), bs.Normalize("data"))
    np.testing.assert_allclose(images, arrays, atol=1e-6)


def test_other_settings_are_refused(folder):
    with pytest.raises(BadSetting, match='pages must be "first", "channels", "depth" or "rows", not \'all\''):
        bs.open(folder, pages="all")
    with pytest.raises(BadSetting, match="leave out mode='RGB'"):
        bs.open(folder, pages="rows", mode="RGB")


@pytest.mark.parametrize("pages", ["first", "channels", "depth", "rows"])
def test_pages_of_data_that_have_none_are_refused(tmp_path, pages):
    np.save(tmp_path / "x.npy", np.zeros((4, 8, 8), np.uint8))
    (tmp_path / "y.csv").write_text("a,b\n1,2\n3,4\n")
    for data in (tmp_path / "x.npy", tmp_path / "y.csv", np.zeros((4, 8, 8), np.uint8)):
        with pytest.raises(bs.BadSetting, match=f"pages='{pages}' is for TIFF files and series of DICOM files"):
            bs.open(data, pages=pages)
