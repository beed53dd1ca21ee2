"""PyTorch datasets of the map style: dicts, tuples and named tuples."""

from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

import bitesize as bs

torch = pytest.importorskip("torch")


def dataset(item, **more):
    """Make a dataset of eight items, each made by a function of its number."""
    members = {"__len__": lambda self: 8, "__getitem__": lambda self, i: item(i), **more}
    return type("Items", (torch.utils.data.Dataset,), members)()


@pytest.mark.parametrize("name", ["label", "Label", "target", "labels", "y"])
def test_labels_of_dicts_are_found_by_name(name):
    items = dataset(lambda i: {"image": torch.zeros(3, 4), name: i % 2})
    for source in (bs.open(items), bs.open(items, labels=name)):
        assert source.label_name == name
        with bs.Loader(source, batch_size=8, memory="16 MiB", shuffle=False) as loader:
            assert next(iter(loader))[name].tolist() == [0, 1] * 4


def test_labels_of_dicts_reach_keras():
    pytest.importorskip("keras")
    items = dataset(lambda i: {"image": torch.zeros(3, 4), "label": i % 2})
    with bs.Loader(bs.open(items, labels="label"), batch_size=4, memory="16 MiB") as loader:
        assert len(bs.to_keras(loader)[0]) == 2


def test_labels_that_are_not_there_are_refused():
    items = dataset(lambda i: {"image": torch.zeros(3, 4), "diagnosis": i % 2, "text": "words"})
    assert bs.open(items).label_name is None
    assert bs.open(items, labels="diagnosis").label_name == "diagnosis"
    with pytest.raises(
        bs.BadSetting, match=r"labels='kind': items of Items have no numeric part .* they have image, diagnosis"
    ):
        bs.open(items, labels="kind")
    with pytest.raises(bs.BadSetting, match=r"labels='text': .*but 'text' is text"):
        bs.open(items, labels="text")


def test_parts_that_are_no_numbers_are_left_out_and_said():
    items = dataset(lambda i: {"image": torch.zeros(3, 4), "label": i % 2, "caption": f"picture {i}", "meta": {"a": 1}})
    source = bs.open(items)
    assert list(source.spec) == ["image", "label"]
    assert list(source.left_out) == ["caption: text", "meta: dict, not an array of numbers"]


def test_named_tuples_keep_their_names_and_longer_tuples_are_said():
    row = namedtuple("row", "image target weight")
    source = bs.open(dataset(lambda i: row(torch.zeros(3), i % 2, 0.5)))
    assert (list(source.spec), source.label_name, source.weight_name) == (["image", "target", "weight"], "target", "weight")
    source = bs.open(dataset(lambda i: (torch.zeros(3), i % 2, i)))
    assert (list(source.spec), source.label_name) == (["x", "y", "2"], "y")
    assert "the parts of an item are named x, y, 2" in " ".join(map(str, source.choices))


def test_pictures_of_pillow_and_names_of_classes_are_taken():
    items = dataset(lambda i: (Image.new("RGB", (5, 4)), i % 2), classes=["cat", "dog"])
    source = bs.open(items)
    assert (source.spec["x"], source.classes) == (bs.Field((4, 5, 3), np.dtype("u1")), ("cat", "dog"))
    assert "classes: as in Items.classes" in " ".join(map(str, source.choices))


def test_items_of_single_numbers_are_one_row_of_features():
    items = dataset(lambda i: {"age": i, "size": i / 2, "label": i % 2, "weight": 1.0})
    source = bs.open(items)
    assert (source.feature_names, source.weight_name, source.label_name) == (("age", "size"), "weight", "label")
    assert source.spec["x"] == bs.Field((2,), np.dtype("f8"))
    with bs.Loader(source, batch_size=8, memory="16 MiB", shuffle=False) as loader:
        assert next(iter(loader))["x"].tolist() == [[i, i / 2] for i in range(8)]
    assert list(bs.open(items, fields=["age", "size"]).spec) == ["age", "size"]
