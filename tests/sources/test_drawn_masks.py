"""Masks that are drawn from annotations: COCO's polygons and run lengths, YOLO's polygons, Pascal VOC's files."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.sources.shapes import Shape, draw
from bitesize.testing import check_source

SIZE = (20, 30)  # height, width


@pytest.fixture
def images(tmp_path):
    for i in range(9):
        write_jpeg(tmp_path / "images" / f"{i}.jpg", noise(*SIZE, seed=i))
    return tmp_path / "images"


def box(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def coco(folder, annotations, categories=("dog", "cat"), **other):
    """Write annotations (image, category, segmentation), and return the JSON file."""
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]} for i in range(9)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "segmentation": s} for n, (i, c, s) in enumerate(annotations)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories)],
    }
    (folder.parent / "labels.json").write_text(json.dumps(content | other), encoding="utf-8")
    return folder.parent / "labels.json"


def mask(source, row):
    return source[row]["y"].reshape(SIZE)


def test_polygons_become_class_numbers_of_pixels(images):
    source = bs.open(
        images, coco(images, [(0, 0, [box(4, 2, 10, 5)]), (2, 1, [box(0, 0, 3, 3), box(20, 10, 6, 6)])]), labels_as="masks"
    )
    check_source(source)
    assert source.classes == ("background", "cat", "dog")
    assert "7 images have no object" in source.choices[-1].chosen
    expected = np.zeros(SIZE, np.uint8)
    expected[2:7, 4:14] = 2
    found = mask(source, 0)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    both = mask(source, 2)
    assert both[1, 1] == both[13, 23] == 1
    assert (mask(source, 1) == 0).all()


def test_smaller_objects_are_over_larger_ones_whatever_their_order(images):
    large, small = (0, 0, [box(2, 2, 20, 14)]), (0, 1, [box(6, 6, 4, 4)])
    for order in ([large, small], [small, large]):
        found = mask(bs.open(images, coco(images, order), labels_as="masks"), 0)
        assert (found[8, 8], found[4, 4]) == (1, 2)


def test_run_lengths_go_down_columns(images):
    drawn = np.zeros(SIZE, np.uint8)
    drawn[3:9, 5:8], drawn[:, 12], drawn[19, 29] = 1, 1, 1
    flat = drawn.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    counts = np.diff([0, *edges, *([flat.size] if edges[-1] < flat.size else [])]).tolist()
    source = bs.open(images, coco(images, [(0, 1, {"size": list(SIZE), "counts": counts})]), labels_as="masks")
    np.testing.assert_array_equal(mask(source, 0), drawn)


def test_run_lengths_are_those_of_pycocotools(images):
    codes = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(0)
    annotations, drawn = [], []
    for i in range(9):
        blobs = np.asfortranarray(np.kron(random.random((4, 6)) < 0.4, np.ones((5, 5))).astype(np.uint8))
        blobs ^= (random.random(SIZE) < 0.02).astype(np.uint8)
        drawn.append(blobs)
        annotations.append((i, 0, {"size": list(SIZE), "counts": codes.encode(blobs)["counts"].decode()}))
    source = bs.open(images, coco(images, annotations, ("cat",)), labels_as="masks")
    for i in range(9):
        np.testing.assert_array_equal(mask(source, i), drawn[i])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_are_nearly_those_of_pycocotools():
    codes = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(0)
    shared = []
    for _ in range(100):
        angles = np.sort(random.uniform(0, 2 * np.pi, 12))
        radius = 15 * random.uniform(0.6, 1, 12)
        polygon = np.stack([40 + radius * np.cos(angles), 30 + radius * np.sin(angles)], axis=1).ravel().tolist()
        drawn = np.zeros((60, 80), np.uint8)
        draw([Shape(1, [polygon])], drawn)
        theirs = codes.decode(codes.merge(codes.frPyObjects([polygon], 60, 80)))
        shared.append((drawn & theirs).sum() / (drawn | theirs).sum())
    assert np.mean(shared) > 0.97


def test_masks_move_with_their_images(images):
    source = bs.open(images, coco(images, [(i, 0, [box(2, 2, 8, 6)]) for i in range(9)]), labels_as="masks")
    with bs.Loader(
        source, batch_size=9, memory="64 MiB", shuffle=False, transforms=[bs.Flip(1.0), bs.Resize((40, 60))]
    ) as loader:
        batch = next(iter(loader))
        found = batch["y"].reshape(9, 40, 60).copy()
        del batch
    assert set(np.unique(found)) == {0, 2}
    assert (found[:, 6:14, 42:54] == 2).all()


def test_masks_are_kept_with_their_images_in_a_store_and_a_cache(images, tmp_path):
    source = bs.open(images, coco(images, [(i, i % 2, [box(2 + i, 2, 8, 6)]) for i in range(9)]), labels_as="masks")
    bs.pack(source, tmp_path / "packed", kind="pixels")
    packed = bs.open(tmp_path / "packed")
    for row in range(9):
        np.testing.assert_array_equal(packed[row]["y"], source[row]["y"])
    settings = {"batch_size": 3, "memory": "64 MiB", "transforms": [bs.Resize(16)], "seed": 1}
    epochs = []
    for cache in (None, tmp_path / "cache"):
        with bs.Loader(source, cache=cache, **settings) as loader:
            epochs.append([np.concatenate([batch["y"].copy() for batch in loader]) for _ in range(3)])
    np.testing.assert_array_equal(*epochs)


def test_more_than_255_classes_need_two_bytes(images):
    names = [f"c{i:03}" for i in range(300)]
    source = bs.open(images, coco(images, [(i, 299, [box(2, 2, 8, 6)]) for i in range(9)], names), labels_as="masks")
    check_source(source)
    assert mask(source, 3).dtype == np.uint16
    assert mask(source, 3)[4, 4] == source.classes.index("c299") == 300


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "1 annotations have no segmentation .annotation 0.: labels_as='tags'"),
        ([[1, 2, 3, 4]], "a polygon needs at least three points"),
        ([["a"] * 6], "a polygon needs at least three points"),
        ({"size": [5, 5], "counts": [25]}, "do not fit an image of 20 x 30"),
        ({"size": list(SIZE), "counts": [5, 6]}, "do not add up to 20 x 30"),
        ({"size": list(SIZE), "counts": "\x01"}, "a run-length code contains"),
        ({"counts": 5}, "run lengths with size and counts"),
    ],
)
def test_damaged_outlines_are_refused_when_the_file_is_opened(images, segmentation, message):
    with pytest.raises(bs.BadFile, match=message):
        bs.open(images, coco(images, [(0, 0, segmentation)]), labels_as="masks")


def test_an_image_of_another_size_than_its_annotations_is_a_bad_row(images):
    file = coco(images, [(i, 0, [box(2, 2, 8, 6)]) for i in range(9)])
    write_jpeg(images / "3.jpg", noise(10, 10, seed=1))
    source = bs.open(images, file, labels_as="masks")
    with pytest.raises(bs.BadFile, match=r"3\.jpg: the annotations are for 30 x 20 pixels, but the image has 10 x 10"):
        source[3]
    with bs.Loader(source, batch_size=9, memory="64 MiB", on_error="skip", max_bad=0.5, transforms=[bs.Resize(8)]) as loader:
        for _ in loader:
            pass
        assert [row for row, *_ in loader.bad] == [3]


def upright(folder, stored_size):
    """Write a photograph whose camera was turned: stored 20 x 30 pixels, upright 30 x 20."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(*SIZE, seed=0)).save(folder / "0.jpg", exif=exif)
    size = {"height": SIZE[0], "width": SIZE[1]} if stored_size else {"height": SIZE[1], "width": SIZE[0]}
    return coco(folder, [(0, 1, [box(1, 2, 6, 3)])], images=[{"id": 0, "file_name": "0.jpg", **size}])


@pytest.mark.parametrize("stored_size", [True, False])
def test_outlines_are_turned_with_photographs_if_they_are_on_stored_pixels(images, stored_size):
    source = bs.open(images, upright(images, stored_size), labels_as="masks")
    found = source[0]["y"]
    expected = np.zeros(SIZE if stored_size else SIZE[::-1], np.uint8)
    expected[2:5, 1:7] = 1
    expected = np.rot90(expected, -1) if stored_size else expected
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


def yolo(folder, texts, names="[cat, dog]"):
    (folder.parent / "labels").mkdir()
    for i, text in enumerate(texts):
        if text is not None:
            (folder.parent / "labels" / f"{i}.txt").write_text(text, encoding="utf-8")
    (folder.parent / "data.yaml").write_text(f"names: {names}\n", encoding="utf-8")
    return folder.parent


def test_polygons_of_yolo_are_shares_of_the_image(images):
    pytest.importorskip("yaml")
    polygon = "1 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6\n"
    source = bs.open(yolo(images, [polygon, None, "", *[polygon] * 6]), labels_as="masks")
    check_source(source)
    assert source.classes == ("background", "cat", "dog")
    found = mask(source, 0)
    assert (found[2:12, 3:15] == 2).all()
    assert (found == 2).sum() == 10 * 12
    assert not mask(source, 1).any()


def test_boxes_of_yolo_are_no_masks(images):
    pytest.importorskip("yaml")
    with pytest.raises(bs.BadFile, match="has boxes, not polygons"):
        bs.open(yolo(images, ["0 0.5 0.5 0.2 0.2"] * 9), labels_as="masks")


def voc(root, objects):
    """Write images with XML files, and a mask for every second image."""
    for folder in ("Annotations", "SegmentationClass", "ImageSets/Segmentation", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for i, names in enumerate(objects):
        write_jpeg(root / "JPEGImages" / f"{i}.jpg", noise(*SIZE, seed=i))
        found = "".join(f"<object><name>{name}</name></object>" for name in names)
        (root / "Annotations" / f"{i}.xml").write_text(f"<annotation>{found}</annotation>", encoding="utf-8")
        if i % 2 == 0:
            drawn = Image.fromarray(np.full(SIZE, (0, 1, 255)[i % 3], np.uint8), "P")
            drawn.putpalette(list(range(256)) * 3)
            drawn.save(root / "SegmentationClass" / f"{i}.png")
    half = len(objects) // 2
    for kind, rows in (("Main", range(len(objects))), ("Segmentation", range(0, len(objects), 2))):
        for split, of in (("train", [i for i in rows if i < half]), ("val", [i for i in rows if i >= half])):
            (root / "ImageSets" / kind / f"{split}.txt").write_text("".join(f"{i}\n" for i in of), encoding="utf-8")
    return root


def test_masks_of_pascal_voc_are_class_numbers_of_the_images_that_have_one(tmp_path):
    root = voc(tmp_path / "voc", [["cat"]] * 12)
    with pytest.raises(bs.BadSetting, match="choose one with split="):
        bs.open(root, labels_as="masks")
    source = bs.open(root, split="val", labels_as="masks")
    assert [source.describe(row).replace("\\", "/").rpartition("/")[2] for row in range(len(source))] == [
        "6.jpg",
        "8.jpg",
        "10.jpg",
    ]
    assert [int(source[row]["y"].max()) for row in range(3)] == [0, 255, 1]


def test_splits_agree_on_tags_if_they_are_asked_for(tmp_path):
    root = voc(tmp_path / "voc", [*[["cat", "dog"]] * 6, *[["cat"]] * 6])
    train, val = (bs.open(root, split=split) for split in ("train", "val"))
    assert (train.spec["y"].shape, val.spec["y"].shape) == ((2,), ())  # each by itself, which the choices say
    assert any("6 of 6 images have several" in choice.chosen for choice in train.choices)
    train, val = (bs.open(root, split=split, labels_as="tags") for split in ("train", "val"))
    assert train.classes == val.classes == ("cat", "dog")
    assert val[0]["y"].tolist() == [1, 0]
    with pytest.raises(bs.BadSetting, match=r"6 images of .* have several: .*labels_as='tags'"):
        bs.open(root, split="train", labels_as="class")
    assert bs.open(root, split="val", labels_as="class").classes == ("cat", "dog")


def test_coco_lists_all_categories_if_labels_as_is_given(images):
    file = coco(images, [(i, 1, [box(2, 2, 8, 6)]) for i in range(8)])
    assert bs.open(images, file).classes == ("cat",)
    assert bs.open(images, file, labels_as="class").classes == ("cat", "dog")
    tags = bs.open(images, file, labels_as="tags")
    assert (tags.classes, len(tags), tags[8]["y"].tolist()) == (("cat", "dog"), 9, [0, 0])
    assert "1 images have none" in tags.choices[-1].chosen


def test_labels_as_is_refused_where_it_has_no_effect(images):
    with pytest.raises(bs.BadSetting, match="labels_as='tags' is for images with annotated objects"):
        bs.open(images, labels_as="tags")
    with pytest.raises(bs.BadSetting, match='must be "class", "tags" or "masks"'):
        bs.open(images, labels_as="boxes")
