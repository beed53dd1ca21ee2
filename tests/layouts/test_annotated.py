"""YOLO, Pascal VOC, COCO, Kaggle's tables, images with masks."""

import json

import numpy as np
import pytest

import bitesize as bs
from tests.layouts.drawing import image, labels_by_marker, said


def yolo(root, boxes, images="images", labels="labels", names=("cat", "dog")):
    for marker, numbers in boxes.items():
        image(root / images / f"{marker}.png", marker)
        path = root / labels / f"{marker}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{number} 0.5 0.5 0.1 0.1\n" for number in numbers))
    if names:
        (root / "data.yaml").write_text("names:\n" + "".join(f"  {i}: {name}\n" for i, name in enumerate(names)))


def test_yolo_with_one_class_an_image(tmp_path):
    pytest.importorskip("yaml")
    yolo(tmp_path, {0: [0], 1: [1, 1], 2: []})
    source = bs.open(tmp_path)
    assert labels_by_marker(source) == {0: "cat", 1: "dog"}
    assert source.left_out == {"images without an object": 1}
    assert "YOLO" in said(source)


def test_yolo_with_several_classes_an_image(tmp_path):
    pytest.importorskip("yaml")
    yolo(tmp_path, {0: [0, 1], 1: [1], 2: []})
    source = bs.open(tmp_path)
    assert labels_by_marker(source) == {0: [1, 1], 1: [0, 1], 2: [0, 0]}
    assert source.classes == ("cat", "dog")


@pytest.mark.parametrize("layout", ["images/{}", "{}/images"])
def test_yolo_in_splits(tmp_path, layout):
    pytest.importorskip("yaml")
    for split, first in (("train", 0), ("val", 100)):
        yolo(tmp_path, {first: [0], first + 1: [1]}, layout.format(split), layout.format(split).replace("images", "labels"))
    (tmp_path / "train.cache").write_bytes(b"")
    with pytest.raises(bs.BadSetting, match=r"\(train, val\)"):
        bs.open(tmp_path)
    assert labels_by_marker(bs.open(tmp_path, split="train")) == {0: "cat", 1: "dog"}
    assert labels_by_marker(bs.open(tmp_path, split="val")) == {100: "cat", 101: "dog"}


def test_yolo_with_a_class_that_has_no_name_is_refused(tmp_path):
    pytest.importorskip("yaml")
    yolo(tmp_path, {0: [0], 1: [7]})
    with pytest.raises(bs.BadFile, match="has the class 7, but there are only 2 names: cat, dog"):
        bs.open(tmp_path)


def test_text_files_beside_images_that_are_no_boxes_are_left_out(tmp_path):
    for i in range(4):
        image(tmp_path / f"{i}.png", i)
        (tmp_path / f"{i}.txt").write_text("a caption of this picture")
    source = bs.open(tmp_path)
    assert (len(source), source.label_name) == (4, None)
    assert source.left_out == {"other files (.txt)": 4}


def voc(root, objects):
    for marker, names in objects.items():
        image(root / "JPEGImages" / f"{marker}.png", marker)
        (root / "Annotations").mkdir(parents=True, exist_ok=True)
        inner = "".join(f"<object><name>{name}</name></object>" for name in names)
        (root / "Annotations" / f"{marker}.xml").write_text(
            f"<annotation><filename>{marker}.png</filename>{inner}</annotation>"
        )


def test_pascal_voc_and_its_splits(tmp_path):
    voc(tmp_path, {0: ["cat"], 1: ["dog"], 2: ["cat"], 3: ["dog"]})
    assert labels_by_marker(bs.open(tmp_path)) == {0: "cat", 1: "dog", 2: "cat", 3: "dog"}
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("0\n1\n2\n")
    (sets / "val.txt").write_text("3\n")
    with pytest.raises(bs.BadSetting, match=r"\(train, val\)"):
        bs.open(tmp_path)
    assert labels_by_marker(bs.open(tmp_path, split="train")) == {0: "cat", 1: "dog", 2: "cat"}
    (tmp_path / "Annotations" / "1.xml").write_text("<annotation>")
    with pytest.raises(bs.BadFile, match=r"1\.xml is not valid XML"):
        bs.open(tmp_path, split="train")


def coco(path, folder, classes, first=0):
    content = {
        "images": [{"id": i, "file_name": f"{first + i}.png"} for i in range(len(classes))],
        "annotations": [
            {"id": i, "image_id": i, "category_id": ["cat", "dog"].index(name)} for i, name in enumerate(classes)
        ],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    }
    for i in range(len(classes)):
        image(folder / f"{first + i}.png", first + i)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_coco_in_splits(tmp_path):
    coco(tmp_path / "annotations" / "instances_train2017.json", tmp_path / "train2017", ["cat", "dog"])
    coco(tmp_path / "annotations" / "instances_val2017.json", tmp_path / "val2017", ["dog"], 50)
    with pytest.raises(bs.BadSetting, match=r"\(train, val\)"):
        bs.open(tmp_path)
    assert labels_by_marker(bs.open(tmp_path, split="train")) == {0: "cat", 1: "dog"}
    assert labels_by_marker(bs.open(tmp_path, split="val")) == {50: "dog"}
    assert labels_by_marker(bs.open(tmp_path / "annotations" / "instances_train2017.json")) == {0: "cat", 1: "dog"}


def test_a_folder_is_described_by_the_table_in_it(tmp_path):
    for i in range(4):
        image(tmp_path / "train" / f"{i}.png", i)
    image(tmp_path / "test" / "9.png", 9)
    (tmp_path / "train.csv").write_text("path,label\n" + "".join(f"train/{i}.png,{'ab'[i % 2]}\n" for i in range(4)))
    (tmp_path / "sample_submission.csv").write_text("path,label\ntest/9.png,a\n")
    with pytest.raises(bs.BadSetting, match=r"\(train, test\)"):
        bs.open(tmp_path)
    source = bs.open(tmp_path, split="train")
    assert labels_by_marker(source) == {0: "a", 1: "b", 2: "a", 3: "b"}
    assert "the table train.csv" in said(source)
    assert labels_by_marker(bs.open(tmp_path, split="test")) == {9: None}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("img", "label"),
        ("JPEGImages", "SegmentationClass"),
        ("imgs", "annotations"),
        ("train_images", "train_masks"),
    ],
)
def test_folders_of_images_and_masks_are_no_classes(tmp_path, images, masks):
    for i in range(4):
        image(tmp_path / images / f"{i}.png", i)
        image(tmp_path / masks / f"{i}{'_mask' if i % 2 else ''}.png", i % 2, "L")
    source = bs.open(tmp_path, split="train" if "train" in images else None)
    assert (source.classes, source.spec["y"].kind) == (None, "mask")
    assert {marker: np.unique(mask).tolist() for marker, mask in labels_by_marker(source).items()} == {
        i: [i % 2] for i in range(4)
    }


def test_images_without_their_masks_on_request(tmp_path):
    for i in range(3):
        image(tmp_path / "images" / f"{i}.png", i)
        image(tmp_path / "masks" / f"{i}.png", 1, "L")
    assert labels_by_marker(bs.open(tmp_path, labels=False)) == {0: None, 1: None, 2: None}


def test_masks_beside_their_images_are_no_rows(tmp_path):
    for i in range(3):
        image(tmp_path / "flat" / f"{i}.png", i)
        image(tmp_path / "flat" / f"{i}_mask.png", i % 2, "L")
        image(tmp_path / "classes" / "ab"[i % 2] / f"{i}.png", i)
        image(tmp_path / "classes" / "ab"[i % 2] / f"{i}_mask.png", i % 2, "L")
    assert bs.open(tmp_path / "flat").spec["y"].kind == "mask"
    source = bs.open(tmp_path / "classes")
    assert labels_by_marker(source) == {0: "a", 1: "b", 2: "a"}
    assert "masks next to their images" in said(source)


def test_images_whose_masks_are_missing_are_named(tmp_path):
    for i in range(3):
        image(tmp_path / "images" / f"{i}.png", i)
    image(tmp_path / "masks" / "0.png", 1, "L")
    with pytest.raises(bs.NotFound, match="2 of 3 images have no mask of the same name"):
        bs.open(tmp_path)
