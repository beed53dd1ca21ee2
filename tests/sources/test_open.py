"""`bs.open` on everything it takes, and what a source can do."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import noise, write_jpeg

import bitesize as bs


def _x(source):
    with bs.Loader(source, batch_size=7, memory="32 MiB", shuffle=False) as loader:
        return np.concatenate([batch["x"].copy() for batch in loader])


def test_a_folder_of_classes(photos):
    source = bs.open(photos)
    assert (len(source), source.classes) == (40, ("cat", "dog"))
    assert np.bincount(source.labels).tolist() == [20, 20]
    assert source.describe(0).endswith("0.jpg")
    assert dict(source.left_out) == {"other files (.txt)": 1, "hidden or system files": 1}


def test_a_folder_an_array_class(arrays):
    source = bs.open(arrays)
    assert source.spec["x"] == bs.Field((12, 10, 3), np.dtype("f8"))
    rows = [int(source.describe(i).rsplit("/", 1)[-1].split(".")[0]) for i in range(30)]
    assert np.allclose(_x(source)[:, 0, 0, 0], np.array(rows) / 30)


def test_a_folder_for_each_class_by_name(photos):
    source = bs.open({"feline": photos / "cat", "canine": photos / "dog"})
    assert source.classes == ("feline", "canine")
    assert source.labels.tolist() == [0] * 20 + [1] * 20


def test_a_flat_folder_a_glob_one_file_and_a_list(photos):
    flat = bs.open(photos / "cat")
    assert (len(flat), flat.labels, dict(flat.spec)) == (20, None, {"x": bs.Encoded("image", "RGB")})
    assert len(bs.open(str(photos / "cat" / "*.jpg"))) == 20
    assert len(bs.open(str(photos / "dog" / "1.jpg"))) == 1
    listed = bs.open([photos / "dog" / "1.jpg", photos / "cat" / "0.jpg"], labels=["b", "a"])
    assert (listed.classes, listed.labels.tolist()) == (("a", "b"), [1, 0])


def test_arrays_and_what_is_like_them(tmp_path):
    x = np.random.default_rng(0).random((20, 3, 2))
    y = np.arange(20) % 3
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for what in (
        x,
        mapped,
        mapped[2:],
        tmp_path / "x.npy",
        np.asfortranarray(x),
        x.astype(">f8"),
        x.tolist(),
        mapped.reshape(20, 6),
    ):
        expected = np.asarray(what if not hasattr(what, "joinpath") else x)
        source = bs.open(what, y[: len(expected)])
        assert np.array_equal(_x(source), expected)
        assert source.labels.tolist() == y[: len(expected)].tolist()


def test_a_memmap_is_read_from_its_file_with_what_was_written_to_it(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype="f4", shape=(10, 4))
    mapped[:] = 3
    source = bs.open(mapped)
    mapped[5] = 7
    mapped.flush()
    assert _x(source)[:, 0].tolist() == [3, 3, 3, 3, 3, 7, 3, 3, 3, 3]
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private[0] = 9  # in memory only
    assert _x(bs.open(private))[0, 0] == 9


def test_labels_from_a_table(photos, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("path,label\ncat/0.jpg,tabby\ndog/1.jpg,terrier\n")
    source = bs.open(photos, labels=table)
    assert (source.classes, source.labels.tolist()) == (("tabby", "terrier"), [0, 1])
    table.write_text("path,label\ncat/none.jpg,tabby\n")
    with pytest.raises(bs.NotFound, match=r"1 files .* do not exist .*cat/none\.jpg"):
        bs.open(photos, labels=table)
    table.write_text("size,class\na,b\n")
    with pytest.raises(bs.BadFile, match=r"needs a column of paths \(path, file"):
        bs.open(photos, labels=table)


def test_targets_need_not_be_classes():
    source = bs.open(np.zeros((4, 2)), labels=np.array([[0.5, 1], [1, 2], [2, 3], [3, 4]]))
    assert (source.labels, source.classes, source.spec["y"]) == (None, None, bs.Field((2,), np.dtype("f8")))


@pytest.mark.parametrize(
    ("what", "options", "error"),
    [
        ("nowhere", {}, bs.NotFound),
        ("*.nothing", {}, bs.NotFound),
        (["nowhere.jpg"], {}, bs.NotFound),
        (3.5, {}, bs.BadSetting),
        (np.zeros((0, 3)), {}, bs.BadSetting),
        (np.array([{}]), {}, bs.BadSetting),
        (np.zeros(3), {"labels": [1, 2]}, bs.BadSetting),
        (np.zeros(3), {"labels": [1, None, "a"]}, bs.BadSetting),
        ([], {}, bs.BadSetting),
    ],
    ids=range(9),
)
def test_what_cannot_be_opened_says_why(what, options, error):
    with pytest.raises(error):
        bs.open(what, **options)


def test_images_and_arrays_in_one_folder_are_not_guessed_at(tmp_path):
    write_jpeg(tmp_path / "a.jpg", noise(8, 8))
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(bs.BadSetting, match=r"1 \.jpg, 1 \.npy"):
        bs.open(tmp_path)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=120), st.floats(0.05, 0.95), st.integers(0, 99))
def test_a_split_is_a_partition_that_keeps_the_shares_of_classes(labels, fraction, seed):
    source = bs.open(np.arange(len(labels)), labels=labels)
    try:
        parts = source.split(fraction, seed=seed)
    except bs.BadSetting:
        assert all(labels.count(label) == 1 for label in labels)
        return
    again = source.split(fraction, seed=seed)
    assert parts[0].fingerprint() == again[0].fingerprint()
    assert sum(len(part) for part in parts) == len(labels)
    for label in set(labels):
        count = labels.count(label)
        first = int((parts[0].labels == label).sum())
        assert abs(first - fraction * count) <= 1
        if count > 1:
            assert 0 < first < count


def test_a_split_by_groups_keeps_groups_together():
    groups = np.repeat(np.arange(20), 5)
    source = bs.open(np.arange(100), labels=np.zeros(100, int))
    train, val = source.split(0.8, seed=1, by=groups)
    first, second = (set(groups[_x(part)]) for part in (train, val))
    assert not first & second
    assert len(first) == 16


def test_a_subset_of_a_subset_and_its_limits():
    source = bs.open(np.arange(10) * 10, labels=np.arange(10) % 2)
    inner = source.subset([8, 6, 4, 2]).subset([3, 0])
    assert _x(inner).tolist() == [20, 80]
    assert inner.describe(0) == "row 2"
    assert len(source.subset(np.arange(10) > 7)) == 2
    for rows in ([], [10], [-1], [[1]], [0.5], np.ones(3, bool)):
        with pytest.raises(bs.BadSetting):
            source.subset(rows)


def test_classes_can_be_numbered_as_another_list_numbers_them():
    source = bs.open(np.arange(4), labels=["cat", "dog", "cat", "dog"])
    other = source.renumber(("ant", "dog", "cat"))
    assert other.labels.tolist() == [2, 1, 2, 1]
    with bs.Loader(other, batch_size=4, memory="1 MiB", shuffle=False) as loader:
        assert next(iter(loader))["y"].tolist() == [2, 1, 2, 1]
    with pytest.raises(bs.BadSetting, match="'cat' is not in the list of names: dog"):
        source.renumber(("dog",))


def test_sources_travel_by_pickle_and_know_their_data_by_fingerprint(photos, arrays):
    for make in (lambda: bs.open(photos), lambda: bs.open(arrays), lambda: bs.open(photos).split(0.5)[0]):
        source = make()
        copy = pickle.loads(pickle.dumps(source))
        assert copy.fingerprint() == source.fingerprint() == make().fingerprint()
        assert len(copy) == len(source)
    assert bs.open(photos).fingerprint() != bs.open(arrays).fingerprint()
    assert bs.open(photos).split(0.5, seed=1)[0].fingerprint() != bs.open(photos).split(0.5, seed=2)[0].fingerprint()


def test_opening_a_folder_opens_no_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.jpg").write_bytes(b"")
    assert len(bs.open(tmp_path)) == 2


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda root: bs.open({}), bs.BadSetting),
        (lambda root: bs.open({"cat": ["a.png"]}), bs.NotFound),
        (lambda root: bs.open({"cat": root / "cat"}, labels=[0]), bs.BadSetting),
        (lambda root: bs.open([[1, 2], [3]]), bs.BadSetting),
        (lambda root: bs.open(["a.jpg", 1]), bs.BadSetting),
        (lambda root: bs.open(np.zeros(3), split="train"), bs.BadSetting),
        (lambda root: bs.open(root, split="nope"), bs.NotFound),
        (lambda root: bs.open(np.zeros(3), labels="labels.csv"), bs.BadSetting),
        (lambda root: bs.open(np.array(["a.jpg", "b.jpg"])), bs.NotFound),
        (lambda root: bs.open(np.zeros(2), labels=np.array([["a"], ["b"]])), bs.BadSetting),
        (lambda root: bs.open(np.zeros(1), labels=np.array([2**64 - 1], np.uint64)), bs.BadSetting),
        (lambda root: bs.open(bs.open(np.zeros(2)), labels=[0, 1]), bs.BadSetting),
    ],
    ids=range(12),
)
def test_no_argument_is_silently_ignored(photos, make, error):
    with pytest.raises(error):
        make(photos)


def test_a_split_is_a_subfolder_also_with_a_table(photos, tmp_path):
    (tmp_path / "train").symlink_to(photos)
    assert len(bs.open(tmp_path, split="train")) == 40
    (tmp_path / "labels.csv").write_text("path,label\ncat/0.jpg,a\ndog/1.jpg,b\n")
    assert len(bs.open(tmp_path, labels=tmp_path / "labels.csv", split="train")) == 2


def test_labels_come_out_native_and_as_text(tmp_path):
    assert bs.open(np.zeros(2), labels=np.array([0.5, 1], ">f4")).spec["y"] == bs.Field((), np.dtype("f4"))
    assert bs.open(np.zeros(2), labels=[b"cat", b"dog"]).classes == ("cat", "dog")


def test_rows_that_are_single_numbers_may_be_big_endian(tmp_path):
    for i in range(4):
        np.save(tmp_path / f"{i}.npy", np.array(i, ">i4" if i % 2 else "<i4"))
    assert _x(bs.open(tmp_path)).tolist() == [0, 1, 2, 3]


def test_a_list_of_paths_outlives_a_change_of_folder(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    source = bs.open(["cat/0.jpg"])
    monkeypatch.chdir(tmp_path)
    with bs.Loader(source, batch_size=1, memory="16 MiB") as loader:
        assert len(next(iter(loader))["x"]) == 1


def test_errors_travel_by_pickle():
    error = pickle.loads(pickle.dumps(bs.BadRows({3: ValueError("x")})))
    assert (list(error.causes), str(error)) == ([3], "1 row could not be read; the first: x")


@pytest.mark.slow
def test_a_million_files_take_a_few_dozen_megabytes(tmp_path):
    for label in range(20):
        folder = tmp_path / f"{label:02}"
        folder.mkdir()
        (folder / "0.jpg").write_bytes(b"no image")
        for i in range(1, 50_000):  # other names of it: a tenth of the time that files take
            os.link(folder / "0.jpg", folder / f"{i}.jpg")
    source = bs.open(tmp_path)
    assert len(source) == 1_000_000
    assert np.bincount(source.labels).tolist() == [50_000] * 20
    assert source.nbytes < 40 << 20
    assert source.path(999_999) == os.fsencode(tmp_path / "19" / "49999.jpg")
    order = bs.Order(len(source), seed=0).rows(0, 0, 1000)
    assert len(set(order.tolist())) == 1000
