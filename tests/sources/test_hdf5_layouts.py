"""HDF5 as people lay it out: a group a sample, groups beside each other, groups in groups."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source, read_rows

h5py = pytest.importorskip("h5py")


def samples(path, count=20, names="sample_{}", **settings):
    with h5py.File(path, "w") as file:
        for i in range(count):
            group = file.create_group(names.format(i))
            group.create_dataset("image", data=np.full((8, 8), i, np.float32), **settings)
            group["label"] = i % 3
    return path


def values(source, name):
    with bs.Loader(source, batch_size=6, memory="64 MiB", shuffle=False) as loader:
        return np.concatenate([batch[name].copy() for batch in loader])


@pytest.mark.parametrize("settings", [{}, {"compression": "gzip", "chunks": (3, 8)}, {"compression": "lzf"}])
def test_a_group_is_a_row_where_all_are_alike(tmp_path, settings):
    source = bs.open(samples(tmp_path / "a.h5", **settings))
    assert (len(source), sorted(source.spec), source.spec["image"].shape) == (20, ["image", "label"], (8, 8))
    assert values(source, "image")[:, 0, 0].tolist() == list(range(20))  # sample_2 before sample_10
    assert source.labels.tolist() == [i % 3 for i in range(20)]
    said = {choice.chosen: choice.setting for choice in source.choices}
    rows = "each of the 20 groups sample_0, sample_1, ... is one row, its datasets the fields"
    assert said[rows] == "fields=['sample_0/image', 'sample_0/label']"
    assert any("memory use has no limit: lzf" in chosen for chosen in said) == (settings.get("compression") == "lzf")
    check_source(source)


def test_groups_in_a_group_and_names_without_numbers(tmp_path):
    assert len(bs.open(samples(tmp_path / "a.h5", names="data/scans/{}"))) == 20
    with h5py.File(tmp_path / "a.h5") as file:
        assert len(bs.open(file["data/scans"])) == 20
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for name in ("anna", "bert", "carla", "dora"):
            file[f"{name}/scan"] = np.zeros((8, 8))
    assert len(bs.open(tmp_path / "b.h5")) == 4


def test_fields_of_rows_are_chosen_and_named(tmp_path):
    path = samples(tmp_path / "a.h5")
    assert sorted(bs.open(path, fields={"x": "image", "y": "label"}).spec) == ["x", "y"]
    side_by_side = bs.open(path, fields=["sample_0/image", "sample_1/image"])
    assert (len(side_by_side), sorted(side_by_side.spec)) == (8, ["sample_0/image", "sample_1/image"])


def test_text_is_a_class_and_other_text_is_left_out(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(10):
            file[f"{i}/scan"] = np.zeros((8, 8))
            file[f"{i}/label"] = "ab"[i % 2]
            file[f"{i}/note"] = "seen"
    source = bs.open(tmp_path / "a.h5")
    assert (source.classes, source.labels.tolist()) == (("a", "b"), [0, 1] * 5)
    assert dict(source.left_out) == {"note: text or objects that are not a label of one value": 1}
    check_source(source)


def test_a_group_that_differs_is_a_bad_row_by_itself(tmp_path):
    path = samples(tmp_path / "a.h5", count=1000)
    with h5py.File(path, "a") as file:
        for i, array in ((1, np.zeros((8, 9), np.float32)), (3, np.zeros((8, 8)))):
            del file[f"sample_{i}/image"]
            file[f"sample_{i}/image"] = array
        del file["sample_2/image"]
    source = bs.open(path)
    assert len(source) == 1000
    with pytest.raises(bs.BadRows) as caught:
        read_rows(source, [0, 1, 2, 3, 4])
    assert sorted(caught.value.causes) == [1, 2, 3]
    message = str(caught.value.causes[1])
    assert "a.h5::sample_1: 'image' is (8, 9) float32, but of " in message
    assert "a.h5::sample_0 (8, 8) float32: rows must have one shape and dtype" in message
    assert "a.h5::sample_2 has no 'image'" in str(caught.value.causes[2])


def test_groups_of_different_shapes_are_an_error_that_names_the_ways(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(3):
            file[f"sample_{i}/image"] = np.zeros((8 + i, 8))
    with pytest.raises(
        bs.BadFile,
        match=r"sample_0 and sample_1 have the same arrays of different shapes \(image: \(8, 8\) and \(9, 8\)\)",
    ):
        bs.open(tmp_path / "a.h5")


def test_groups_of_many_rows_with_labels_are_no_rows(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(2):
            file[f"exp{i}/images"], file[f"exp{i}/labels"] = np.zeros((9, 4)), np.arange(9)
    source = bs.open(tmp_path / "a.h5")
    assert len(source) == 9
    said = {choice.chosen: choice.setting for choice in source.choices}
    assert said["the groups exp0, exp1 are read together, and their datasets are fields of one row"].endswith('a.h5::exp0")')
    both = bs.chain([bs.open(f"{tmp_path / 'a.h5'}::exp{i}") for i in range(2)])
    assert (len(both), both.label_name) == (18, "labels")


def test_two_groups_with_other_names_are_fields_side_by_side(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("left", "right"):
            file[f"{name}/image"] = np.zeros((9, 4, 4))
    source = bs.open(tmp_path / "a.h5")
    assert (len(source), sorted(source.spec)) == (9, ["left/image", "right/image"])
    assert any("left, right are read together" in choice.chosen for choice in source.choices)


def test_what_a_group_links_to_in_another_file_is_not_read(tmp_path):
    samples(tmp_path / "other.h5", count=1)
    path = samples(tmp_path / "a.h5", count=1000)
    with h5py.File(path, "a") as file:
        del file["sample_1/image"]
        file["sample_1/image"] = h5py.ExternalLink("other.h5", "sample_0/image")
    with pytest.raises(bs.BadRows, match="sample_1 has no 'image'"):
        read_rows(bs.open(path), [1])


def test_an_array_among_groups_is_of_rows_and_so_are_theirs(tmp_path):
    path = samples(tmp_path / "a.h5", count=3)
    with h5py.File(path, "a") as file:
        file["x1"] = np.zeros((8, 2))
    source = bs.open(path)
    assert (len(source), "x1" in source.spec) == (8, True)
    assert dict(source.left_out) == {f"sample_{i}/label: a single value": 1 for i in range(3)}
