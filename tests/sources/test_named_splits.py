"""Splits by the names of arrays in one file: .npz, HDF5, Zarr."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.sources.named_splits import in_splits, split_and_field
from bitesize.testing import check_source

X, Y = np.arange(60 * 12, dtype=np.uint8).reshape(60, 4, 3), np.arange(60) % 10
ARRAYS = {"x_train": X, "y_train": Y, "x_test": X[:10], "y_test": Y[:10]}


def npz(folder, arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def hdf5(folder, arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return folder / "a.h5"


def zarr(folder, arrays):
    group = pytest.importorskip("zarr").open_group(folder / "a.zarr", mode="w")
    for name, array in arrays.items():
        group.create_array(name, data=array)
    return folder / "a.zarr"


@pytest.mark.parametrize("write", [npz, hdf5, zarr])
@pytest.mark.parametrize(
    "names",
    [
        ["x_train", "y_train", "x_test", "y_test"],
        ["X_train", "Y_train", "X_test", "Y_test"],
        ["train_x", "train_y", "test_x", "test_y"],
        ["train/x", "train/y", "test/x", "test/y"],
        ["xTrain", "yTrain", "xTest", "yTest"],
        ["set/x_train", "set/y_train", "set/x_test", "set/y_test"],
    ],
)
def test_one_split_is_chosen(tmp_path, write, names):
    if write is npz and any("/" in name for name in names):
        pytest.skip("names of arrays in an archive have no folders")
    path = write(tmp_path, dict(zip(names, ARRAYS.values(), strict=True)))
    with pytest.raises(bs.BadSetting, match=r'splits|parts \(train, test\): choose one with split="train"'):
        bs.open(path)
    train, test = bs.open(path, split="train"), bs.open(path, split="testing")
    assert {name.rpartition("/")[2] for name in train.spec} == {"x", "y"}
    assert (len(train), len(test)) == (60, 10)
    if "/" not in names[0] or names[0].startswith("train"):
        assert train.labels.tolist() == Y.tolist()
        check_source(train)
    with pytest.raises(bs.NotFound, match="no split 'val': it has train, test"):
        bs.open(path, split="val")


def test_validation_and_names_of_images(tmp_path):
    arrays = {
        f"{split}_{name}": array for split in ("train", "val", "test") for name, array in (("images", X), ("labels", Y))
    }
    path = npz(tmp_path, arrays)
    source = bs.open(path, split="valid")
    assert (sorted(source.spec), source.label_name) == (["images", "labels"], "labels")
    assert sorted(bs.open(path, split="train", fields={"x": "images"}).spec) == ["x"]
    assert sorted(bs.open(path, fields={"x": "train_images", "y": "test_labels"}).spec) == ["x", "y"]
    assert bs.open(path, split="train", labels="train_labels").label_name == "labels"
    assert bs.open(path, split="train", labels=["a", "b", "c"] * 20).classes == ("a", "b", "c")


def test_what_is_in_no_split_is_left_out_by_name(tmp_path):
    source = bs.open(npz(tmp_path, {**ARRAYS, "class_names": np.arange(10)}), split="train")
    assert dict(source.left_out) == {"class_names: its name is not that of a split": 1}


def test_names_that_only_seem_to_say_splits(tmp_path):
    masks = {"x": X, "y": Y, "train_mask": Y > 3, "test_mask": Y < 3}
    assert sorted(bs.open(npz(tmp_path, masks)).spec) == ["test_mask", "train_mask", "x", "y"]
    with pytest.raises(
        bs.BadSetting, match=r"has no splits, neither arrays such as x_train .* it has x, y, train_mask, test_mask"
    ):
        bs.open(tmp_path / "a.npz", split="train")
    assert in_splits({"x": 2708, "y": 2708, "train_idx": 140, "test_idx": 1000}) == {}
    assert in_splits({"x_test": 10, "y_test": 10}) == {}
    assert split_and_field("contest") is None
    assert split_and_field("trainers") is None
    assert split_and_field("train") == ("train", "x")
