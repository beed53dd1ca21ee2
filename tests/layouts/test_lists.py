"""Lists, pairs, mappings and patterns; the order of files; labels by position and by name."""

import os

import numpy as np
import pytest

import bitesize as bs
from tests.layouts.drawing import array, image, labels_by_marker, said


def natural(root, count=12):
    return [image(root / f"{i}.png", i) for i in range(1, count + 1)]


def test_a_folder_a_pattern_and_concatenate_have_one_order(tmp_path):
    natural(tmp_path / "f")
    folder = [bs.open(tmp_path / "f").describe(i) for i in range(12)]
    assert folder == [bs.open(str(tmp_path / "f" / "*.png")).describe(i) for i in range(12)]
    assert [os.path.basename(name) for name in folder] == [f"{i}.png" for i in range(1, 13)]
    for i in range(12):
        array(tmp_path / "e" / f"x_{i}.npy", i, (10, 4))
    assert np.asarray(bs.concatenate(str(tmp_path / "e" / "x_*.npy"))[::10, 0]).tolist() == list(range(12))
    for name in ("class2", "class10"):
        image(tmp_path / "c" / name / "1.png", 1)
    classes = bs.open(tmp_path / "c")
    assert [classes.describe(i) for i in (0, 1)] == [
        bs.open(str(tmp_path / "c" / "*" / "*.png")).describe(i) for i in (0, 1)
    ]
    assert (classes.classes, classes.labels.tolist()) == (("class10", "class2"), [1, 0])


@pytest.mark.parametrize("form", ["folder", "pattern"])
def test_labels_by_position_are_refused_where_the_order_is_in_doubt(tmp_path, form):
    natural(tmp_path)
    labels = [int(name[:-4]) for name in sorted(os.listdir(tmp_path))]
    what = str(tmp_path) if form == "folder" else str(tmp_path / "*.png")
    with pytest.raises(bs.BadSetting, match=r"order of the files is ambiguous.*labels=\{name: label\}"):
        bs.open(what, labels=labels)
    with pytest.raises(bs.BadSetting, match="order of the files is ambiguous"):
        bs.open(what, labels=np.array(labels))
    by_name = bs.open(what, labels={f"{i}.png": i for i in range(1, 13)})
    assert labels_by_marker(by_name) == {i: i for i in range(1, 13)}


def test_labels_by_position_are_taken_where_there_is_one_order(tmp_path):
    paths = [image(tmp_path / f"{i:02}.png", i) for i in range(12)]
    assert labels_by_marker(bs.open(tmp_path, labels=list(range(12)))) == {i: i for i in range(12)}
    assert labels_by_marker(bs.open(paths[::-1], labels=list(range(12))[::-1])) == {i: i for i in range(12)}


def test_labels_by_name_take_paths_names_and_stems_and_must_be_complete(tmp_path):
    image(tmp_path / "a" / "1.png", 1)
    image(tmp_path / "b" / "1.png", 2)
    assert labels_by_marker(bs.open(tmp_path, labels={"a/1.png": "x", "b/1": "y"})) == {1: "x", 2: "y"}
    with pytest.raises(bs.BadSetting, match=r"several files are named '1\.png'"):
        bs.open(tmp_path, labels={"1.png": "x"})
    with pytest.raises(bs.NotFound, match=r"no label for 1 of 2 files: b/1\.png"):
        bs.open(tmp_path, labels={"a/1.png": "x"})
    source = bs.open(tmp_path, labels={"a/1.png": "x", "b/1.png": "y", "c.png": "z"})
    assert source.left_out["labels without a file"] == 1


@pytest.mark.parametrize("turn", [False, True])
def test_pairs_of_a_path_and_its_label_in_either_order(tmp_path, turn):
    pairs = [(array(tmp_path / f"{i}.npy", i), ["Cats1", "Dogs1"][i % 2]) for i in range(5)]
    given = [pair[::-1] for pair in pairs] if turn else pairs
    source = bs.open(given)
    assert labels_by_marker(source) == {i: ["Cats1", "Dogs1"][i % 2] for i in range(5)}
    assert ("(label, path)" if turn else "(path, label)") in said(source)
    assert labels_by_marker(bs.open([list(pair) for pair in given])) == labels_by_marker(source)
    assert labels_by_marker(bs.open(np.array(given))) == labels_by_marker(source)
    numbered = bs.open([(i, pair[0]) if turn else (pair[0], i) for i, pair in enumerate(pairs)])
    assert labels_by_marker(numbered) == {i: i for i in range(5)}


def test_pairs_that_name_no_file_are_refused(tmp_path):
    with pytest.raises(bs.NotFound, match=r"neither part of \('cat', 'no\.npy'\) is an existing file"):
        bs.open([("cat", "no.npy"), ("dog", "none.npy")])
    with pytest.raises(bs.BadSetting, match="array of text"):
        bs.open(np.array([["a", "b", "c"]] * 4))


def test_lists_and_pairs_of_images_and_masks(tmp_path):
    images = [image(tmp_path / f"i{k}.png", k) for k in range(4)]
    masks = [image(tmp_path / f"m{3 - k}.png", k % 2, "L") for k in range(4)]
    for source in (bs.open(images, labels=masks), bs.open(list(zip(images, masks, strict=True)))):
        assert source.spec["y"].kind == "mask"
        assert {marker: np.unique(mask).tolist() for marker, mask in labels_by_marker(source).items()} == {
            k: [k % 2] for k in range(4)
        }


def test_a_list_of_folders_is_refused_with_a_mapping(tmp_path):
    for name in ("Cats1", "Dogs1"):
        array(tmp_path / name / "1.npy", 1)
    with pytest.raises(bs.BadSetting, match=r'\{"Cats1": .*, "Dogs1": .*\}'):
        bs.open([tmp_path / "Cats1", tmp_path / "Dogs1"])


def test_mappings_of_folders_lists_and_arrays(tmp_path):
    paths = [image(tmp_path / "deep" / name / f"{i}.png", i) for i, name in enumerate("aabb")]
    assert labels_by_marker(bs.open({"cat": paths[:2], "dog": paths[2:]})) == {0: "cat", 1: "cat", 2: "dog", 3: "dog"}
    assert labels_by_marker(bs.open({"all": tmp_path / "deep", "b": tmp_path / "deep" / "b"})) == {
        0: "all",
        1: "all",
        2: "b",
        3: "b",
    }
    fields = bs.open({"image": np.arange(6)[:, None], "other": np.zeros((6, 2)), "label": np.arange(6) % 2})
    assert (fields.label_name, sorted(fields.spec)) == ("label", ["image", "label", "other"])
    with pytest.raises(bs.BadSetting, match="look like splits"):
        bs.open({"train": tmp_path / "deep" / "a", "val": tmp_path / "deep" / "b"})
    with pytest.raises(bs.BadSetting, match="the same number of rows"):
        bs.open({"x": np.zeros(3), "y": np.zeros(4)})


def test_patterns_go_as_deep_as_they_say(tmp_path):
    for i, path in enumerate(("1.png", "a/2.png", "a/b/3.png")):
        image(tmp_path / path, i)
    assert len(bs.open(str(tmp_path / "**" / "*.png"))) == 3
    assert len(bs.open(str(tmp_path / "*" / "*.png"))) == 1
    for i, path in enumerate(("p/1.npy", "p/q/2.npy")):
        array(tmp_path / path, i)
    assert len(bs.concatenate(str(tmp_path / "**" / "*.npy"))) == 8
    with pytest.raises(bs.NotFound, match=r"matches folders only \(a, p\): open the folder"):
        bs.open(str(tmp_path / "[ap]"))


def test_brackets_in_names_of_folders_are_taken_as_they_stand(tmp_path):
    image(tmp_path / "[run] 1" / "cat" / "1.png", 1)
    array(tmp_path / "[run] 1" / "p0.npy", 0)
    assert len(bs.open(str(tmp_path / "[run] 1" / "cat" / "*.png"))) == 1
    assert len(bs.concatenate(str(tmp_path / "[run] 1" / "p*.npy"))) == 4


def test_a_text_file_lists_files_with_labels_or_without(tmp_path):
    for i in range(3):
        image(tmp_path / "images" / f"a {i}.png", i)
    (tmp_path / "train.txt").write_text("".join(f"images/a {i}.png {'ab'[i % 2]}\n" for i in range(3)))
    assert labels_by_marker(bs.open(tmp_path / "train.txt")) == {0: "a", 1: "b", 2: "a"}
    (tmp_path / "all.txt").write_text("".join(f"a {i}.png\n" for i in range(3)))
    assert labels_by_marker(bs.open(tmp_path / "all.txt")) == {0: None, 1: None, 2: None}
    (tmp_path / "notes.txt").write_text("remember the milk\n")
    with pytest.raises(bs.BadFile, match="not a list of files: 'remember the milk'"):
        bs.open(tmp_path / "notes.txt")


def test_labels_may_be_in_files_of_their_own(tmp_path):
    np.save(tmp_path / "features.npy", np.arange(5)[:, None])
    np.save(tmp_path / "labels.npy", np.array(["a", "b", "a", "b", "a"]))
    assert labels_by_marker(bs.open(tmp_path / "features.npy", labels=tmp_path / "labels.npy")) == dict(enumerate("ababa"))
    for i in range(3):
        image(tmp_path / "p" / f"{i}.png", i)
    (tmp_path / "labels.json").write_text('{"0.png": "cat", "1.png": "dog", "2.png": "cat"}')
    assert labels_by_marker(bs.open(tmp_path / "p", labels=tmp_path / "labels.json")) == {0: "cat", 1: "dog", 2: "cat"}


def test_two_arrays_in_a_tuple_are_refused_rather_than_stacked():
    with pytest.raises(bs.BadSetting, match=r"pass them as bs\.open\(x, y\)"):
        bs.open((np.zeros((4, 2)), np.zeros((4, 2))))
