"""Folders: splits, classes, and what looks like neither."""

import numpy as np
import pytest

import bitesize as bs
from tests.layouts.drawing import array, image, labels_by_marker, said


def class_folders(root, names=("cat", "dog"), start=0, each=2, suffix=".png"):
    markers = {}
    for i, name in enumerate(names):
        for k in range(each):
            marker = start + i * each + k
            (image if suffix == ".png" else array)(root / name / f"{marker}{suffix}", marker)
            markers[marker] = name
    return markers


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train", "val"),
        ("Train", "Valid"),
        ("train2017", "val2017"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
    ],
)
def test_splits_are_known_by_many_names(tmp_path, train, val):
    meant = class_folders(tmp_path / train)
    class_folders(tmp_path / val, start=100)
    with pytest.raises(bs.BadSetting, match="split="):
        bs.open(tmp_path)
    source = bs.open(tmp_path, split="train")
    assert labels_by_marker(source) == meant
    assert "split 'train'" in said(source)


@pytest.mark.parametrize("others", [("sample",), ("sample", "extra")])
def test_a_folder_beside_train_and_val_is_refused(tmp_path, others):
    for name in ("train", "val", *others):
        class_folders(tmp_path / name)
    with pytest.raises(bs.BadSetting, match=r'train and val look like splits of the data, next to .*split="train"'):
        bs.open(tmp_path)
    assert len(bs.open(tmp_path, split="train")) == 4


def test_a_class_may_be_called_train(tmp_path):
    meant = class_folders(tmp_path, ("bus", "car", "train"))
    assert labels_by_marker(bs.open(tmp_path)) == meant


def test_a_split_that_is_not_there_is_refused_also_in_a_flat_folder(tmp_path):
    image(tmp_path / "1.png", 1)
    with pytest.raises(bs.NotFound, match="no files of the split 'val'"):
        bs.open(tmp_path, split="val")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("2023-05-01", "2023-05-02"), "look like dates"),
        (("fold_1", "fold_2", "fold_3"), "look like parts of the data"),
        (("images_part_1", "images_part_2"), "look like parts of the data"),
    ],
)
def test_folders_that_look_like_no_classes_are_refused_with_the_ways_to_open_them(tmp_path, names, what):
    class_folders(tmp_path, names)
    with pytest.raises(bs.BadSetting, match=what) as error:
        bs.open(tmp_path)
    assert "labels=False" in str(error.value)
    assert bs.open(tmp_path, labels=False).label_name is None
    assert bs.open(tmp_path, labels="^([^/]+)/").classes == names


def test_patients_above_the_classes_are_refused_and_below_them_are_no_matter(tmp_path):
    for patient in ("10253", "10254"):
        class_folders(tmp_path / "above" / patient, ("0", "1"))
    with pytest.raises(bs.BadSetting, match=r"each contains the same folders \(0, 1\)"):
        bs.open(tmp_path / "above")
    assert bs.open(tmp_path / "above", labels="([^/]+)/[^/]+$").classes == ("0", "1")
    for name in ("ill", "well"):
        class_folders(tmp_path / "below" / name, ("p1", "p2"))
    assert bs.open(tmp_path / "below").classes == ("ill", "well")


def test_splits_inside_class_folders_are_refused(tmp_path):
    for name in ("cat", "dog"):
        class_folders(tmp_path / name, ("train", "val"))
    with pytest.raises(bs.BadSetting, match="each class folder contains the splits train, val"):
        bs.open(tmp_path)


def test_the_folder_of_a_download_is_descended_and_said(tmp_path):
    meant = class_folders(tmp_path / "PetImages")
    (tmp_path / "readme.txt").write_text("hello")
    source = bs.open(tmp_path)
    assert labels_by_marker(source) == meant
    assert "the folder PetImages" in said(source)


def test_folders_of_runs_and_tools_are_left_out(tmp_path):
    meant = class_folders(tmp_path)
    for name, file in (
        ("runs", "latest/config.json"),
        ("runs", "latest/history.csv"),
        ("checkpoints", "best.pt"),
        ("__pycache__", "a.pyc"),
    ):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    source = bs.open(tmp_path)
    assert labels_by_marker(source) == meant
    assert dict(source.left_out) == {
        "folders of training runs": 1, "folders without data (checkpoints)": 1, "hidden or system files": 1,
        "other files (.pt)": 1,
    }  # fmt: skip


def test_class_folders_without_labels_on_request(tmp_path):
    class_folders(tmp_path)
    source = bs.open(tmp_path, labels=False)
    assert (len(source), source.label_name, source.classes) == (4, None, None)
    assert bs.open({"a": tmp_path / "cat", "b": tmp_path / "dog"}, labels=False).label_name is None


def test_tables_beside_class_folders_are_left_out_and_said(tmp_path):
    meant = class_folders(tmp_path)
    (tmp_path / "cat" / "notes.csv").write_text("a,b\n1,2\n")
    source = bs.open(tmp_path)
    assert labels_by_marker(source) == meant
    assert "tables (.csv) next to the files" in said(source)


@pytest.mark.parametrize("key", ["label", "class", "y"])
def test_hive_partitions_by_label_are_classes(tmp_path, key):
    meant = class_folders(tmp_path, (f"{key}=cat", f"{key}=dog"))
    source = bs.open(tmp_path)
    assert labels_by_marker(source) == {marker: name.partition("=")[2] for marker, name in meant.items()}
    assert source.classes == ("cat", "dog")


def test_hive_partitions_by_another_key_are_refused_or_taken_on_request(tmp_path):
    class_folders(tmp_path, ("year=2023", "year=2024"))
    with pytest.raises(bs.BadSetting, match="labels='year' uses it as the class"):
        bs.open(tmp_path)
    assert bs.open(tmp_path, labels="year").classes == ("2023", "2024")
    assert bs.open(tmp_path, labels=False).label_name is None


def test_parquet_in_partitions_has_the_label_of_its_folder(tmp_path):
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    for i, name in enumerate(("cat", "dog")):
        (tmp_path / f"label={name}").mkdir()
        pq.write_table(
            pa.table({"x": pa.array([[float(i)] * 3] * 4, pa.list_(pa.float32(), 3))}),
            tmp_path / f"label={name}" / "part-0.parquet",
        )
    source = bs.open(tmp_path)
    assert labels_by_marker(source) == {0: "cat", 1: "dog"}
    assert np.bincount(source.labels).tolist() == [4, 4]


def test_names_that_begin_with_words_are_a_hint_and_labels_on_request(tmp_path):
    for marker in range(4):
        image(tmp_path / f"{'cat' if marker % 2 else 'dog'}.{marker}.png", marker)
    source = bs.open(tmp_path)
    assert source.label_name is None
    assert "the file names start with cat, dog" in said(source)
    assert labels_by_marker(bs.open(tmp_path, labels="(cat|dog)")) == {0: "dog", 1: "cat", 2: "dog", 3: "cat"}
    with pytest.raises(bs.NotFound, match="matches no part of 2 of 4 paths"):
        bs.open(tmp_path, labels="(cat)")


def test_arrays_by_name_are_inputs_and_labels(tmp_path):
    for split, rows in (("train", 6), ("test", 3)):
        np.save(tmp_path / f"X_{split}.npy", np.arange(rows, dtype=np.float32)[:, None] + np.zeros((1, 4), np.float32))
        np.save(tmp_path / f"y_{split}.npy", np.arange(rows) % 2)
    with pytest.raises(bs.BadSetting, match=r"\(train, test\)"):
        bs.open(tmp_path)
    assert labels_by_marker(bs.open(tmp_path, split="train")) == {i: i % 2 for i in range(6)}
    assert labels_by_marker(bs.open(tmp_path, split="test")) == {i: i % 2 for i in range(3)}
    for name in ("X_train.npy", "X_test.npy", "y_test.npy"):
        (tmp_path / name).unlink()
    np.save(tmp_path / "images.npy", np.zeros((7, 4)))
    (tmp_path / "y_train.npy").rename(tmp_path / "labels.npy")
    with pytest.raises(bs.BadFile, match="need the same number of rows"):
        bs.open(tmp_path)


def test_formats_that_cannot_be_read_are_named_with_a_way(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.JXL").write_bytes(b"\xff\x0a" + bytes(99))
    with pytest.raises(bs.NotFound, match=r"2 JPEG XL \(\.jxl\): convert it to PNG"):
        bs.open(tmp_path)
    with pytest.raises(bs.BadSetting, match=r"archives .*extract them"):
        (tmp_path / "a.zip").write_bytes(b"PK")
        bs.open(tmp_path / "a.zip")


@pytest.mark.parametrize("names", [("tr", "te"), ("训练", "测试"), ("labeled", "unlabeled"), ("indoor", "outdoor")])
def test_folders_that_each_hold_the_classes_are_refused(tmp_path, names):
    for name in names:
        class_folders(tmp_path / name)
    with pytest.raises(bs.BadSetting, match=r"not like classes: labels=False|look like"):
        bs.open(tmp_path)
    assert bs.open(tmp_path, labels="([^/]+)/[^/]+$").classes == ("cat", "dog")


@pytest.mark.parametrize(
    "names", [("positive", "negative", "val"), ("person", "validation"), ("trainA", "trainB", "testA", "testB")]
)
def test_folders_of_splits_are_no_classes_whatever_lies_beside_them(tmp_path, names):
    class_folders(tmp_path, names)
    with pytest.raises(bs.BadSetting, match="look"):
        bs.open(tmp_path)


@pytest.mark.parametrize("names", [("rgb", "depth"), ("input", "output"), ("hr", "lr")])
def test_folders_of_counterparts_are_no_classes(tmp_path, names):
    for name in names:
        image(tmp_path / name / "1.png", 1)
    with pytest.raises(bs.BadSetting, match=r"two images of each row: use bs\.zip"):
        bs.open(tmp_path)
