"""Images with boxes: YOLO, Pascal VOC, COCO."""

import json

import pytest

from tests.layouts.catalog.registry import CAT_DOG, Given, in_turn, labels_of, layout, save_image, write_file


def write_yolo(path, i):
    """Write one box, or two for each third row."""
    write_file(path, f"{i % 2} 0.5 0.5 0.25 0.25\n" + ("0 0.25 0.25 0.5 0.5\n" if i % 3 == 0 else ""))


def write_voc(path, name, i):
    """Write one box, or two for each third row, as Pascal VOC."""
    box = f"<name>{CAT_DOG[i % 2]}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>"
    boxes = f"<object>{box}</object>" * (2 if i % 3 == 0 else 1)
    size = "<size><width>8</width><height>8</height><depth>3</depth></size>"
    write_file(path, f"<annotation><filename>{name}</filename>{size}{boxes}</annotation>")


def coco(rows):
    """Return one box, or two for each third row, as COCO."""
    return {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "width": 8, "height": 8} for i in rows],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 10 * i + k, "image_id": i, "category_id": 1 + i % 2, "bbox": [1, 1, 3, 4], "area": 12, "iscrowd": 0}
            for i in rows
            for k in range(2 if i % 3 == 0 else 1)
        ],
    }


def box_counts(rows):
    return labels_of(rows, lambda i: ("boxes", 2 if i % 3 == 0 else 1))


# Images with the classes of their objects are right too, where the source says that boxes were left out.
BOXES = ("box", "boxes", "object", "objects")
YOLO_CLASSES = {
    "also_right": (labels_of(range(24), lambda i: frozenset({CAT_DOG[i % 2]} | ({"cat"} if i % 3 == 0 else set()))),),
    "say": BOXES,
}
CLASSES = {"also_right": (in_turn(24), labels_of(range(24), lambda i: frozenset({CAT_DOG[i % 2]}))), "say": BOXES}


@layout(
    box_counts(range(12)),
    kind="may_refuse",
    splits={"train": box_counts(range(12)), "val": box_counts(range(12, 18))},
    **YOLO_CLASSES,
)
def yolo_images_labels(root):
    """YOLO: images/train and labels/train."""
    pytest.importorskip("yaml")
    for i in range(18):
        part = "train" if i < 12 else "val"
        save_image(root / "images" / part / f"{i:06d}.jpg", i)
        write_yolo(root / "labels" / part / f"{i:06d}.txt", i)
    write_file(root / "data.yaml", "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n")
    write_file(root / "labels" / "train.cache", b"\x00")
    return Given(str(root))


@layout(box_counts(range(12)), kind="may_refuse", **YOLO_CLASSES)
def yolo_flat_images_labels(root):
    """YOLO: images and labels with classes.txt."""
    for i in range(12):
        save_image(root / "images" / f"{i}.png", i)
        write_yolo(root / "labels" / f"{i}.txt", i)
    write_file(root / "classes.txt", "cat\ndog\n")
    return Given(str(root))


@layout(
    box_counts(range(12)),
    kind="may_refuse",
    splits={"train": box_counts(range(12)), "valid": box_counts(range(12, 18))},
    **YOLO_CLASSES,
)
def roboflow_yolov8(root):
    """YOLO as Roboflow exports it: train/images and train/labels."""
    pytest.importorskip("yaml")
    for i in range(18):
        part = "train" if i < 12 else "valid"
        save_image(root / part / "images" / f"a_{i}_png.rf.{i:08x}.jpg", i)
        write_yolo(root / part / "labels" / f"a_{i}_png.rf.{i:08x}.txt", i)
    write_file(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat','dog']\n")
    write_file(root / "README.roboflow.txt", "exported")
    write_file(root / "README.dataset.txt", "x")
    return Given(str(root))


@layout(box_counts(range(12)), kind="may_refuse", **CLASSES)
def voc2007(root):
    """Pascal VOC: JPEGImages is not a class."""
    folder = root / "VOCdevkit" / "VOC2007"
    for i in range(12):
        save_image(folder / "JPEGImages" / f"{i:06d}.jpg", i)
        write_voc(folder / "Annotations" / f"{i:06d}.xml", f"{i:06d}.jpg", i)
    write_file(folder / "ImageSets" / "Main" / "trainval.txt", "".join(f"{i:06d}\n" for i in range(12)))
    return Given(str(folder))


@layout(box_counts(range(12)), kind="may_refuse", **CLASSES)
def voc_xml_side_by_side(root):
    """A file .xml beside each image, as labelImg writes it."""
    for i in range(12):
        save_image(root / f"frame{i}.jpg", i)
        write_voc(root / f"frame{i}.xml", f"frame{i}.jpg", i)
    return Given(str(root))


@layout(
    box_counts(range(12)),
    kind="may_refuse",
    splits={"train2017": box_counts(range(12)), "val2017": box_counts(range(12, 18))},
    **CLASSES,
)
def coco2017(root):
    """COCO: annotations is not a class."""
    for part, rows in (("train2017", range(12)), ("val2017", range(12, 18))):
        for i in rows:
            save_image(root / part / f"{i:012d}.jpg", i)
        write_file(root / "annotations" / f"instances_{part}.json", json.dumps(coco(rows)))
    return Given(str(root))


@layout(box_counts(range(12)), kind="may_refuse", **CLASSES)
def coco_json_given(root):
    """COCO: the file of annotations is opened."""
    for i in range(12):
        save_image(root / "train" / f"{i:012d}.jpg", i)
    write_file(root / "train" / "_annotations.coco.json", json.dumps(coco(range(12))))
    return Given(str(root / "train" / "_annotations.coco.json"))
