"""Whether a file is one row or holds many: .npy, .npz, HDF5, Zarr, in folders, lists, patterns and mappings."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source


def npy(path, array):
    np.save(path.with_suffix(".npy"), array)


def npz(path, array):
    np.savez(path.with_suffix(".npz"), x=array)


def hdf5(path, array):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("x", data=array, chunks=(3, 8), compression="gzip")


def zarr(path, array):
    module = pytest.importorskip("zarr")
    module.open_group(path.with_suffix(".zarr"), mode="w").create_array("x", data=array, chunks=(3, 8))


def folders(top, write, lengths=(8, 8)):
    """Write two files a class of (length, 8); the first value of each is its number."""
    number = 0
    for name, length in zip(("ill", "well"), lengths, strict=True):
        (top / name).mkdir(parents=True)
        for _ in range(2):
            write(top / name / f"{number}", np.full((length, 8), number, np.float32))
            number += 1
    return top


def values(source):
    with bs.Loader(source, batch_size=6, memory="64 MiB", shuffle=False) as loader:
        return np.concatenate([batch["x"].copy() for batch in loader])


@pytest.mark.parametrize("write", [npy, npz, hdf5, zarr])
def test_a_file_in_a_class_folder_is_one_row(tmp_path, write):
    top = folders(tmp_path / "d", write)
    for settings in ({}, {"file_is_row": True}):
        source = bs.open(top, **settings)
        assert (source.classes, source.labels.tolist()) == (("ill", "well"), [0, 0, 1, 1])
        assert source.spec["x"].shape == (8, 8)
        assert values(source)[:, 0, 0].tolist() == [0, 1, 2, 3]
    said = [choice for choice in bs.open(top).choices if choice.setting == "file_is_row=False"]
    usual = {
        hdf5: ["each HDF5 file is one row, its datasets the fields"],
        zarr: ["each Zarr folder is one row, its arrays the fields"],
    }
    assert [choice.chosen for choice in said] == usual.get(write, [])


@pytest.mark.parametrize("write", [npy, npz, hdf5, zarr])
def test_or_it_holds_many_rows_of_the_class(tmp_path, write):
    top = folders(tmp_path / "d", write, lengths=(5, 7))
    for what in (top, {"ill": top / "ill", "well": top / "well"}) if write is not zarr else (top,):
        source = bs.open(what, file_is_row=False)
        assert (source.classes, source.labels.tolist()) == (("ill", "well"), [0] * 10 + [1] * 14)
        assert source.spec["x"].shape == (8,)
        assert values(source)[:, 0].tolist() == [0] * 5 + [1] * 5 + [2] * 7 + [3] * 7
    check_source(source)
    suffix = next((top / "ill").iterdir()).suffix
    assert source.describe(11).endswith(f"2{suffix}, row 1")  # the file's own row


@pytest.mark.parametrize("write", [npy, npz, hdf5, zarr])
def test_files_of_one_folder_lists_and_patterns(tmp_path, write):
    top = folders(tmp_path / "d", write)
    paths = sorted((top / "ill").iterdir())
    for what in (top / "ill", paths, str(top / "ill" / "*"))[: 2 if write is zarr else 3]:
        assert len(bs.open(what, file_is_row=True)) == 2
        assert len(bs.open(what, file_is_row=False)) == 16
        usual = bs.open(what)
        assert len(usual) == (16 if write in (hdf5, zarr) else 2)
        said = [choice.setting for choice in usual.choices if choice.setting.startswith("file_is_row")]
        assert said == {npy: ["file_is_row=False"], npz: ["file_is_row=False"]}.get(write, ["file_is_row=True"])
        assert bs.open(what, file_is_row=usual.spec["x"].shape == (8, 8)).choices == ()  # no doubt, where it is asked for
    if write is not zarr:
        assert len(bs.open(paths[0], file_is_row=True)) == 1
    assert len(bs.open(paths[0])) == 8


@pytest.mark.parametrize("write", [npy, npz, hdf5, zarr])
def test_a_label_for_each_file_makes_each_a_row(tmp_path, write):
    top = folders(tmp_path / "d", write)
    paths = sorted((top / "ill").iterdir())
    for labels in (["a", "b"], {paths[0].name: "a", paths[1].name: "b"}):
        source = bs.open(paths, labels=labels)
        assert (len(source), source.classes, source.labels.tolist()) == (2, ("a", "b"), [0, 1])
        check = [choice.setting for choice in source.choices]
        assert ("file_is_row=False" in check) == (write in (hdf5, zarr))


def test_files_with_labels_of_their_own_are_not_labeled_twice(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "0.h5", "w") as file:
            file["x"], file["y"] = np.zeros((5, 3)), np.arange(5)
    with pytest.raises(bs.BadSetting, match="if each file holds many rows, pass file_is_row=False"):
        bs.open(tmp_path)
    assert bs.open(tmp_path, labels=False).label_name is None


def test_files_of_one_row_that_differ_are_bad_rows(tmp_path):
    folders(tmp_path / "d", hdf5, lengths=(8, 9))
    with pytest.raises(
        bs.BadFile, match=r"2.h5: 'x' is \(9, 8\) float32, but of .*0.h5 \(8, 8\) float32: rows must have one shape"
    ):
        values(bs.open(tmp_path / "d"))


def test_arrays_of_different_lengths_name_the_setting_that_joins_them(tmp_path):
    for i, rows in enumerate((5, 7)):
        np.save(tmp_path / f"{i}.npy", np.zeros((rows, 784), np.float32))
    with pytest.raises(
        bs.BadFile,
        match="if each file holds many rows, pass file_is_row=False, which joins them; if each is one row, make them equal",
    ):
        values(bs.open(tmp_path))
    assert len(bs.open(tmp_path, file_is_row=False)) == 12


def test_arrays_that_differ_elsewhere_are_to_be_made_equal(tmp_path):
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", np.zeros((8, 16 + i, 16), np.float32))
    with pytest.raises(
        bs.BadFile,
        match=r"make them equal \(crop or pad, then np.save\): only image files .* may differ in size before bs.Resize, arrays may not",
    ):
        values(bs.open(tmp_path))
    with pytest.raises(bs.BadFile, match=r"1.npy is \(8, 17, 16\) .* they may only differ in the first axis"):
        bs.open(tmp_path, file_is_row=False)


def test_files_without_labels_are_said_to_be_rows(tmp_path):
    top = folders(tmp_path / "d", npy)
    assert "file_is_row=False" in [choice.setting for choice in bs.open(top / "ill").choices]
    assert "file_is_row=False" not in [choice.setting for choice in bs.open(top).choices]


def test_kinds_that_are_never_otherwise_say_so(tmp_path):
    from PIL import Image

    for i in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    assert len(bs.open(tmp_path, file_is_row=True)) == 2
    with pytest.raises(bs.BadSetting, match=r"file_is_row=False: .* always hold one row each"):
        bs.open(tmp_path, file_is_row=False)
