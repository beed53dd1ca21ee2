"""Labels from COCO's JSON."""

import json

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.sources.coco import coco_labels


@pytest.fixture
def folder(tmp_path):
    for i in range(6):
        write_jpeg(tmp_path / "images" / f"{i}.jpg", noise(10, 12, seed=i))
    return tmp_path


def _write(folder, annotations, **other):
    content = {
        "images": [{"id": 100 + i, "file_name": f"{i}.jpg"} for i in range(6)],
        "annotations": [{"id": n, "image_id": 100 + i, "category_id": c} for n, (i, c) in enumerate(annotations)],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 9, "name": "bird"}],
    }
    (folder / "labels.json").write_text(json.dumps(content | other))
    return folder / "labels.json"


def test_one_category_an_image_is_its_class(folder):
    labels = _write(folder, [(0, 7), (1, 3), (2, 7), (2, 7), (3, 3), (5, 7)])
    source = bs.open(folder / "images", labels)
    assert source.classes == ("cat", "dog")
    assert source.labels.tolist() == [1, 0, 1, 0, 1]
    assert source.describe(4).endswith("5.jpg")
    assert source.left_out == {"images without an annotation": 1}


def test_several_categories_an_image_are_one_number_each(folder):
    source = bs.open(folder / "images", _write(folder, [(0, 7), (0, 3), (1, 9)]))
    assert source.classes == ("bird", "cat", "dog")
    with bs.Loader(source, batch_size=6, memory="32 MiB", shuffle=False) as loader:
        y = next(iter(loader))["y"]
    assert y.dtype == np.float32
    assert y.tolist() == [[0, 1, 1], [1, 0, 0], *[[0, 0, 0]] * 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[1]", "needs the lists images, annotations, categories"),
        ('{"images": [], "annotations": []}', "has no list 'categories'"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "entry 0 of 'images' has no 'file_name'"),
        ('{"images": [], "annotations": [4], "categories": []}', "entry 0 of 'annotations' has no 'image_id'"),
    ],
    ids=range(6),
)
def test_other_json_is_refused_with_what_is_missing(folder, content, message):
    (folder / "odd.json").write_text(content)
    with pytest.raises(bs.BadFile, match=message):
        bs.open(folder / "images", folder / "odd.json")


def test_what_the_json_names_must_be_there(folder):
    with pytest.raises(
        bs.BadFile, match=r"2 annotations refer to an unknown image or category: image 100, category 55; image 177"
    ):
        bs.open(folder / "images", _write(folder, [(0, 55), (77, 3), (1, 3)]))
    labels = _write(
        folder, [(0, 7), (1, 3)], images=[{"id": 100, "file_name": "0.jpg"}, {"id": 101, "file_name": "gone.jpg"}]
    )
    with pytest.raises(bs.NotFound, match=r"1 files of .*labels\.json do not exist .*gone\.jpg"):
        bs.open(folder / "images", labels)
    with pytest.raises(bs.BadFile, match="no annotation with a category"):
        bs.open(folder / "images", _write(folder, []))
    with pytest.raises(bs.NotFound, match=r"none\.json does not exist"):
        bs.open(folder / "images", folder / "none.json")


def test_an_id_that_comes_twice_is_refused(tmp_path):
    entry = {"id": 1, "file_name": "a.jpg"}
    content = {"images": [entry, entry], "annotations": [], "categories": []}
    (tmp_path / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(bs.BadFile, match="several entries of 'images' have the same id"):
        coco_labels(tmp_path / "labels.json")
