"""A list of objects answers as a dict of all of them would, from memory and from disk."""

from __future__ import annotations

import pickle
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitesize.storage.base import Entry
from bitesize.storage.listing.place import ListPlace
from bitesize.storage.natural import path_key
from bitesize.storage.object_list import ObjectList
from bitesize.storage.url import split_key
from tests.properties import examples

ROOT = "s3://bucket"


class Model:
    """The same questions, answered from a dict."""

    def __init__(self, prefix, entries):
        self.prefix = prefix
        self.entries = {entry.key: entry for entry in entries}
        self.folders = {""}
        for key in self.entries:
            folder = "" if key.endswith("/") else split_key(key[len(prefix) :])[0]
            while folder:
                self.folders.add(folder)
                folder = split_key(folder)[0]

    def stands_for_folder(self, key):
        if key not in self.entries:
            return False
        return key.endswith("/") or (not self.entries[key].size and key[len(self.prefix) :] in self.folders)

    def entry(self, key):
        return None if self.stands_for_folder(key) else self.entries.get(key)

    def children(self, folder):
        files = {
            key[len(self.prefix) :] for key in self.entries if not key.endswith("/") and not self.stands_for_folder(key)
        }
        found = [(split_key(name)[1], False) for name in files if split_key(name)[0] == folder]
        return found + [(split_key(name)[1], True) for name in self.folders if name and split_key(name)[0] == folder]

    def stand_for_folders(self, folder):
        names = [key[len(self.prefix) :].rstrip("/") for key in self.entries if self.stands_for_folder(key)]
        return sum(not folder or name == folder or name.startswith(f"{folder}/") for name in names)


keys = st.one_of(
    st.text("ab/", min_size=1, max_size=7),
    st.text(min_size=1, max_size=20),
    st.lists(
        st.sampled_from(["a", "b10", "b9", "b09", "é", "%41", "\x01", "x" * 300, "a.jpg", ".b"]), min_size=1, max_size=4
    ).map("/".join),
)
versions = st.one_of(
    st.just(""),
    st.text(max_size=5),
    st.just('"' + "0af3" * 8 + '"'),
    st.just("0af3" * 8),
    st.just("0AF3" * 8),
    st.just('"' + "0af3" * 8 + '-17"'),
)
objects = st.dictionaries(
    keys, st.tuples(st.integers(-1, 3) | st.just(1 << 50), versions, st.integers(0, 1 << 62)), max_size=25
)


def entries_of(found, prefix=""):
    return [Entry(prefix + key, *facts) for key, facts in found.items()]


def check(found, prefix, entries, others):
    model = Model(prefix, entries)
    assert len(found) == len(entries)
    assert sorted(found.object(i) for i in range(len(found))) == sorted(entries)
    for key in {*model.entries, *(prefix + each for each in others)}:
        assert found.entry(key) == model.entry(key)
    for folder in {*model.folders, *others}:
        if folder.endswith("/"):
            continue
        key = prefix + folder if folder else prefix.removesuffix("/")
        assert found.is_folder(key) == (folder in model.folders)
        assert sorted(found.children(key)) == sorted(model.children(folder))
        assert found.stand_for_folders(key) == model.stand_for_folders(folder)
    assert found.total_size == sum(max(0, entry.size) for entry in entries)
    assert found.unknown == sum(entry.size < 0 for entry in entries)
    table = found.folders
    assert [int(table.first[i]) for i in range(len(table))] == [0, *table.count.cumsum()[:-1]][: len(table)]
    for i in range(len(found)):
        assert (found.relative(i).startswith(table.path(table.of(i)))) or not table.path(table.of(i))


@pytest.mark.parametrize("prefix", ["", "photos/"])
@given(found=objects, others=st.lists(keys, max_size=3))
def test_it_answers_as_a_dict_would(prefix, found, others):
    check(ObjectList(ROOT, prefix, entries_of(found, prefix)), prefix, entries_of(found, prefix), others)


@examples(40)
@given(found=objects, others=st.lists(keys, max_size=3))
def test_it_answers_the_same_from_disk(found, others):
    with tempfile.TemporaryDirectory() as folder:
        place = ListPlace(folder, ROOT)
        made = place.write(lambda runs: runs.add(entries_of(found)) or {}, {"root": ROOT, "prefix": "", "listed_at": 1.0})
        assert place.current() == made
        opened = ObjectList.open(*made)
        check(opened, "", entries_of(found), others)
        assert opened.fingerprint == ObjectList(ROOT, "", entries_of(found)).fingerprint
        check(pickle.loads(pickle.dumps(opened)), "", entries_of(found), others)


def many(count, classes=7):
    return [Entry(f"p/{i % classes}/{i}.jpg", i, f'"{i:032x}"', i) for i in range(count)]


def test_files_come_in_the_order_of_a_walk():
    found = ObjectList(ROOT, "p/", many(1000))
    names = [found.object(i).key for i in range(1000)]
    assert names == sorted(names, key=path_key)


def test_sorting_by_runs_gives_the_same_list(tmp_path, monkeypatch):
    import bitesize.storage.listing.sorting as sorting

    entries = many(3000)
    whole = ObjectList(ROOT, "p/", entries)
    for run in (1, 100, 1000, 2999):
        with open(tmp_path / "runs", "w+b") as file:
            runs = sorting.Runs("p/", file, run)
            for i in range(0, 3000, 50):
                runs.add(entries[i : i + 50])
            assert [record.key.decode() for record in runs.sorted()] == [key.decode() for key in whole.keys(0, 3000)]


def test_of_an_object_that_is_listed_twice_the_youngest_is_kept(tmp_path):
    found = ObjectList(ROOT, "", [Entry("a", 1, "old", 5), Entry("a", 2, "new", 6), Entry("a", 3, "older", 4)])
    assert [found.object(i) for i in range(len(found))] == [Entry("a", 2, "new", 6)]


def test_the_fingerprint_depends_on_keys_sizes_and_versions_only():
    base = ObjectList(ROOT, "", [Entry("a", 1, "v", 5), Entry("b", 1)]).fingerprint
    assert ObjectList(ROOT, "", [Entry("b", 1), Entry("a", 1, "v", 9)]).fingerprint == base
    for other in (Entry("a", 2, "v"), Entry("a", 1, "w"), Entry("c", 1, "v")):
        assert ObjectList(ROOT, "", [other, Entry("b", 1)]).fingerprint != base


def test_folders_count_objects_by_suffix():
    found = ObjectList(ROOT, "", [Entry(f"a/{name}", 2) for name in ("1.JPG", "2.jpg", "x", ".hidden.jpg", "", "y.")])
    assert found.folders.counts(0) == {".jpg": 2, "": 1, "/": 1, "//": 1, ".": 1}
    assert found.folders.path(0) == b"a"


def test_suffixes_without_end_are_counted_together():
    found = ObjectList(ROOT, "", [Entry(f"a/x.{i}", 1) for i in range(5000)])
    counts = found.folders.counts(0)
    assert sum(counts.values()) == 5000
    assert counts["*"] > 1000


def test_keys_in_memory_are_bounded(monkeypatch):
    import bitesize.storage.listing.index as index

    monkeypatch.setattr(index, "_KEYS", 2000)
    entries = [Entry("x" * 500 + f"/{i}.jpg", i) for i in range(10_000)]
    found = ObjectList(ROOT, "", entries)
    assert found._tree.index.step > 1
    for entry in entries[::37]:
        assert found.entry(entry.key) == entry
    assert found.entry("x" * 500 + "/10000.jpg") is None


def test_a_number_out_of_range_is_an_index_error():
    with pytest.raises(IndexError, match="of a list of 0"):
        ObjectList(ROOT, "", []).object(0)
