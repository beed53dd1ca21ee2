"""Groups of Zarr that are a row each, and folders of Zarr."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source, read_rows

zarr = pytest.importorskip("zarr")


def samples(path, count=12, label=lambda i: np.array(i % 3)):
    group = zarr.open_group(path, mode="w")
    for i in range(count):
        group.create_array(f"sample_{i}/image", data=np.full((8, 8), i, np.float32), chunks=(3, 8))
        group.create_array(f"sample_{i}/label", data=label(i))
    return path


def test_a_group_is_a_row_where_all_are_alike(tmp_path):
    source = bs.open(samples(tmp_path / "a.zarr"))
    assert (len(source), source.spec["image"].shape, source.spec["label"].shape) == (12, (8, 8), ())
    images = np.frombuffer(b"".join(read_rows(source, range(12))["image"]), np.float32).reshape(12, 8, 8)
    assert images[:, 0, 0].tolist() == list(range(12))  # sample_2 before sample_10
    assert source.labels.tolist() == [i % 3 for i in range(12)]
    said = [choice.chosen for choice in source.choices]
    assert "each of the 12 groups sample_0, sample_1, ... is one row, its arrays the fields" in said
    check_source(source)
    assert len(bs.open(zarr.open(tmp_path / "a.zarr"))) == 12


def test_a_label_of_one_value_has_no_axis(tmp_path):
    source = bs.open(samples(tmp_path / "a.zarr", label=lambda i: np.array([i % 3])))
    assert (source.spec["label"].shape, source.labels.tolist()) == ((), [i % 3 for i in range(12)])
    assert "labels: 'label', stored as (1,), is read as a single value" in [choice.chosen for choice in source.choices]


def test_a_group_that_differs_is_a_bad_row_by_itself(tmp_path):
    path = samples(tmp_path / "a.zarr", count=12)
    source = bs.open(path)
    zarr.open_group(path, mode="a").create_array("sample_3/image", data=np.zeros((8, 9), np.float32), overwrite=True)
    with pytest.raises(
        bs.BadRows, match=r"sample_3: 'image' is \(8, 9\) float32, but of .*sample_0 \(8, 8\) float32"
    ) as caught:
        read_rows(source, range(5))
    assert sorted(caught.value.causes) == [3]


def test_single_arrays_in_class_folders(tmp_path):
    for name in ("ill", "well"):
        for i in range(4):
            (tmp_path / name).mkdir(exist_ok=True)
            zarr.save(tmp_path / name / f"{i}.zarr", np.full((8, 8), i, np.float32))
    source = bs.open(tmp_path)
    assert (len(source), source.classes, source.spec["x"].shape) == (8, ("ill", "well"), (8, 8))
    assert source.describe(5).endswith("1.zarr")
    check_source(source)


def test_two_groups_with_other_names_are_fields_side_by_side(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name in ("left", "right"):
        group.create_array(f"{name}/image", data=np.zeros((9, 4, 4)))
    source = bs.open(tmp_path / "a.zarr")
    assert (len(source), sorted(source.spec)) == (9, ["left/image", "right/image"])
    assert any("left, right are read together" in choice.chosen for choice in source.choices)
