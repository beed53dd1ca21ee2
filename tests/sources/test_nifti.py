"""NIfTI files: rows are what nibabel gives, in the documented axes; damaged files are bad rows."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_bad_rows, check_source

nibabel = pytest.importorskip("nibabel")

DATA = Path(nibabel.__file__).parent / "tests" / "data"
SHIPPED = ["anatomical.nii", "functional.nii", "example4d.nii.gz", "standard.nii.gz", "example_nifti2.nii.gz",
           "reoriented_anat_moved.nii", "resampled_anat_moved.nii"]  # fmt: skip
DTYPES = [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]


def expected(path, *, orient=True, scaled=False):
    """Return what nibabel gives, with the axes of a row."""
    image = nibabel.load(path)
    image = nibabel.as_closest_canonical(image) if orient and len(image.shape) > 2 else image
    values = image.get_fdata(dtype=np.float32) if scaled else np.asanyarray(image.dataobj)
    return values.transpose(*range(min(3, values.ndim))[::-1], *range(3, values.ndim))


def assert_equal_bits(row, values):
    assert row.dtype == values.dtype.newbyteorder("=")
    assert row.tobytes() == np.ascontiguousarray(values.astype(row.dtype)).tobytes()


def affine(random, *, oblique=False):
    """Return an affine of a random orientation."""
    made = np.eye(4)
    made[:3, :3] = np.eye(3)[random.permutation(3)] * random.choice([-1, 1], 3) * random.uniform(0.5, 3, 3)
    if oblique:
        made[:3, :3] += random.uniform(-0.1, 0.1, (3, 3))
    return made


def write(path, values, affine_of=None, slope=None, inter=0):
    """Write a file whose stored values are ``values``."""
    image = nibabel.Nifti1Image(values, np.eye(4) if affine_of is None else affine_of)
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(path)
    if slope is not None:  # nibabel divides by the slope while it writes
        data = bytearray(path.read_bytes() if path.suffix == ".nii" else gzip.decompress(path.read_bytes()))
        data[352 : 352 + values.nbytes] = values.tobytes(order="F")
        path.write_bytes(data if path.suffix == ".nii" else gzip.compress(bytes(data)))
    return path


@pytest.mark.parametrize("orient", [True, False])
@pytest.mark.parametrize("name", SHIPPED)
def test_files_that_nibabel_ships_are_read_equal_to_it(name, orient):
    if not (DATA / name).exists():
        pytest.skip("this nibabel does not ship its test data")
    stored = nibabel.load(DATA / name).dataobj
    scaled = (stored.slope, stored.inter) != (1, 0)
    assert_equal_bits(bs.open(DATA / name, orient=orient)[0]["x"], expected(DATA / name, orient=orient, scaled=scaled))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_stored_values_keep_their_dtype_in_every_orientation(tmp_path, dtype, suffix):
    random = np.random.default_rng(1)
    for i in range(8):
        values = (random.random((5, 4, 3)) * 250).astype(dtype)
        path = write(tmp_path / f"{i}{suffix}", values, affine(random, oblique=i % 2 == 1))
        assert_equal_bits(bs.open(path)[0]["x"], expected(path))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_scaled_values_are_those_of_nibabel_in_float32(tmp_path, dtype):
    random = np.random.default_rng(2)
    values = (random.random((5, 4, 3)) * 250).astype(dtype)
    for slope, inter in ((0.1, -3.7), (2.0, 0.0), (1.0, -1024.0)):
        path = write(tmp_path / "a.nii", values, affine(random), slope, inter)
        row = bs.open(path)[0]["x"]
        assert row.dtype == np.float32
        assert_equal_bits(row, expected(path, scaled=True))


def test_depth_is_from_feet_to_head_height_from_back_to_front_width_from_left_to_right(tmp_path):
    values = np.zeros((4, 5, 6), np.uint8)  # stored from right to left, front to back, head to feet
    values[0, 0, 0] = 1  # right, front, head
    source = bs.open(write(tmp_path / "a.nii", values, np.diag([-1.0, -1, -1, 1])))
    assert source.spec["x"].shape == (6, 5, 4)
    assert source.spec["x"].axes == "DHW"
    assert np.argwhere(source[0]["x"]).tolist() == [[5, 4, 3]]
    assert any("from feet to head" in choice.chosen and choice.setting == "orient=False" for choice in source.choices)


def test_a_fourth_axis_is_channels_and_two_axes_are_an_image(tmp_path):
    random = np.random.default_rng(3)
    four = write(tmp_path / "a.nii", random.integers(0, 9, (5, 4, 3, 2), np.int16), affine(random))
    source = bs.open(four)
    assert source.spec["x"].axes == "DHWC"
    assert any("fourth axis" in choice.chosen for choice in source.choices)
    assert_equal_bits(source[0]["x"], expected(four))
    vectors = write(tmp_path / "v.nii", random.random((5, 4, 3, 1, 2)).astype(np.float32), affine(random))
    assert_equal_bits(bs.open(vectors)[0]["x"], expected(vectors).reshape(*bs.open(vectors).spec["x"].shape))
    two = write(tmp_path / "b.nii", random.integers(0, 9, (5, 4), np.int16))
    assert bs.open(two).spec["x"].axes == "HW"
    assert_equal_bits(bs.open(two)[0]["x"], expected(two))


def test_colored_volumes_have_channels(tmp_path):
    values = np.random.default_rng(4).integers(0, 256, (5, 4, 3, 3), np.uint8)
    colors = values.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    for i, orientation in enumerate((np.eye(4), np.diag([-1.0, 1, 1, 1]))):
        nibabel.Nifti1Image(colors, orientation).to_filename(tmp_path / f"{i}.nii")
        row = bs.open(tmp_path / f"{i}.nii")[0]["x"]
        assert np.array_equal(row, (values if i == 0 else values[::-1]).transpose(2, 1, 0, 3))


def test_folders_lists_and_tables_have_labels_like_other_files(tmp_path):
    for i in range(6):
        write(tmp_path / "scans" / "ab"[i % 2] / f"s{i}.nii{'.gz' * (i % 3 == 0)}", np.full((3, 2, 2), i, np.int16))
    source = bs.open(tmp_path / "scans")
    assert source.classes == ("a", "b")
    assert len(source) == 6
    named = bs.open(tmp_path / "scans", labels={f"s{i}": str(i % 3) for i in range(6)})
    assert [named[i]["y"] for i in range(6)] == [str(named[i]["x"][0, 0, 0] % 3) for i in range(6)]
    (tmp_path / "labels.csv").write_text(
        "path,label\n" + "".join(f"scans/b/s{i}.nii{'.gz' * (i % 3 == 0)},{i}\n" for i in (1, 3, 5))
    )
    assert len(bs.open(tmp_path / "labels.csv")) == 3
    assert len(bs.open(str(tmp_path / "scans" / "*" / "*.nii.gz"))) == 2


def test_files_of_several_dtypes_get_one_that_holds_all_values(tmp_path):
    write(tmp_path / "1.nii", np.full((3, 2, 2), 7, np.uint8))
    write(tmp_path / "2.nii", np.full((3, 2, 2), -7, np.int16))
    source = bs.open(tmp_path)
    assert source.spec["x"].dtype == np.int16
    assert (source[0]["x"] == 7).all()
    assert any("int16, because files have int16, uint8" in choice.chosen for choice in source.choices)
    write(tmp_path / "3.nii", np.full((3, 2, 2), 2, np.uint8), slope=0.5)
    assert bs.open(tmp_path).spec["x"].dtype == np.float32
    assert (bs.open(tmp_path)[2]["x"] == 1).all()


def test_another_shape_is_a_bad_row_that_names_both_files(tmp_path):
    for i in range(9):
        write(tmp_path / f"{i}.nii", np.zeros((3, 2, 2 + (i == 5)), np.int16))
    with pytest.raises(bs.BadRows, match=r"5\.nii is \(3, 2, 3\), but \(2, 2, 3\) in .*0\.nii"):
        bs.open(tmp_path).read(np.array([5]), {"x": np.empty((1, 2, 2, 3), np.int16)})
    check_bad_rows(bs.open(tmp_path), [5])


def test_damaged_files_are_bad_rows(tmp_path):
    values = np.random.default_rng(5).integers(0, 99, (6, 5, 4), np.int16)
    for i in range(12):
        write(tmp_path / f"{i:02}.nii{'.gz' * (i % 2)}", values, np.diag([-1.0, 1, 1, 1]))
    whole = {path.name[:2]: path for path in tmp_path.iterdir()}
    whole["02"].write_bytes(whole["02"].read_bytes()[:-1])
    whole["03"].write_bytes(whole["03"].read_bytes()[:-9])
    flipped = bytearray(whole["05"].read_bytes())
    flipped[-6] ^= 1  # the checksum
    whole["05"].write_bytes(flipped)
    whole["06"].write_bytes(b"no volume")
    check_bad_rows(bs.open(tmp_path), [2, 3, 5, 6])


@pytest.mark.parametrize("compressed", [True, False])
def test_a_header_cannot_make_more_than_its_file_holds(tmp_path, compressed):
    data = bytearray(write(tmp_path / "a.nii", np.zeros((3, 2, 2), np.int16)).read_bytes())
    data[42:48] = np.array([30_000, 30_000, 30_000], "<i2").tobytes()
    path = tmp_path / ("b.nii.gz" if compressed else "b.nii")
    path.write_bytes(gzip.compress(bytes(data)) if compressed else data)
    with pytest.raises(bs.BadFile, match="should have 54,000,000,000,352 bytes"):
        bs.open(path)


def test_headers_without_volumes_name_what_is_missing(tmp_path):
    image = nibabel.Nifti1Pair(np.zeros((3, 2, 2), np.int16), np.eye(4))
    image.to_filename(tmp_path / "a.img")
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.hdr").read_bytes() + bytes(99))
    with pytest.raises(bs.BadFile, match="values are in another file: save both files as one"):
        bs.open(tmp_path / "a.nii")
    nibabel.Nifti1Image(np.zeros((3, 2, 2), np.complex64), np.eye(4)).to_filename(tmp_path / "c.nii")
    with pytest.raises(bs.BadFile, match="complex64, which are not supported"):
        bs.open(tmp_path / "c.nii")


def test_large_planes_are_read_within_scratch(tmp_path):
    random = np.random.default_rng(6)
    for i in range(8):
        values = random.integers(0, 99, (12, 400, 300), np.uint8)
        write(tmp_path / f"{i}.nii", values, np.array([[0, 0, -1.0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]), 0.5)
    check_source(bs.open(tmp_path))
