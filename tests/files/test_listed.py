"""Names that stay in a large list of objects: a scan finds what it finds among names in memory."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

from bitesize.errors import NotFound
from bitesize.files import listed
from bitesize.files.listed import ListedNames
from bitesize.files.names import NameTable
from bitesize.files.scan import scan
from bitesize.storage import stores
from bitesize.storage.base import Entry
from bitesize.storage.object_list import ObjectList

REASONS = {".heic": "HEIC images (.heic)", ".nii.gz": "NIfTI (.nii.gz)"}
files = st.sampled_from(
    [
        "1.jpg",
        "2.JPG",
        "10.jpg",
        "a.png",
        "b_mask.png",
        "x.heic",
        "brain.nii.gz",
        ".hidden.jpg",
        "Thumbs.db",
        "config.json",
        "history.csv",
        "",
        "z",
        "/odd.jpg",
    ]
)
folders = st.sampled_from(
    ["", "cat/", "dog/", "cat/deep/", "10/", "9/", "runs/", ".git/", "cat/__pycache__/", "logs/", "empty"]
)
trees = st.dictionaries(st.builds(str.__add__, folders, files), st.integers(0, 2), min_size=1, max_size=25)


def found(tree, prefix="data/"):
    return ObjectList("mem://bucket", prefix, [Entry(prefix + key, size) for key, size in tree.items()])


def result(address, flat):
    try:
        listing = scan(address, (".jpg", ".png"), REASONS, flat=flat)
    except NotFound as error:
        return sorted(re.split(r"[(),:] *", str(error)))  # reasons of equal counts come in any order
    names = listing.names
    labels = None if listing.labels is None else listing.labels.tolist()
    kinds = {suffix: count for suffix, count in listing.kinds.items() if count}
    return (
        [names.path(i) for i in range(len(names))],
        [names.parts(i) for i in range(len(names))],
        labels,
        listing.classes,
        kinds,
        listing.left_out,
    )


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(listed, "LARGE", 0)


@pytest.mark.parametrize("flat", [False, True])
@examples(300)
@given(tree=trees, below=st.sampled_from(["", "cat", "runs"]))
def test_a_scan_finds_what_it_finds_among_names_in_memory(flat, tree, below):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "_lists", {})
        stores.add_list(found(tree))
        address = f"mem://bucket/data/{below}"
        in_memory = result(address, flat)
        patch.setattr(listed, "LARGE", 0)
        assert result(address, flat) == in_memory


def listing(monkeypatch, entries, suffixes=(".jpg", ".png")):
    monkeypatch.setattr(stores, "_lists", {})
    stores.add_list(ObjectList("mem://bucket", "", entries))
    return scan("mem://bucket", suffixes)


def test_names_of_whole_folders_take_no_memory(large, monkeypatch):
    entries = [Entry(f"{i % 10}/{i:06d}.jpg", 1) for i in range(5000)]
    names = listing(monkeypatch, entries).names
    assert isinstance(names, ListedNames)
    assert names.nbytes - names._found.nbytes < 100
    assert names.path(4999) == b"mem://bucket/9/004999.jpg"
    with pytest.raises(IndexError):
        names.path(5000)


def test_files_between_others_are_found_by_number(large, monkeypatch):
    entries = [Entry(f"a/{i:06d}{end}", 1) for i in range(1000) for end in (".jpg", ".txt")]
    names = listing(monkeypatch, entries).names
    assert names.nbytes - names._found.nbytes == 4000
    assert [names.relative(i) for i in (0, 1, 999)] == [b"a/000000.jpg", b"a/000001.jpg", b"a/000999.jpg"]


@pytest.mark.parametrize("every", [1, 7])
def test_they_answer_as_a_table_of_names(monkeypatch, every):
    entries = [Entry(f"{i % 3}/{i}{'.PNG' if i % every == 0 else '.jpg'}", 1) for i in range(500)] + [
        Entry("0/notes.txt", 1)
    ]
    table = listing(monkeypatch, entries).names
    monkeypatch.setattr(listed, "LARGE", 0)
    names = listing(monkeypatch, entries).names
    assert isinstance(table, NameTable)
    for ends in ((b".png",), (b".jpg",), (b".tif", b"tiff"), (b".jpg", b".png")):
        assert [names.relative(i) for i in names.ending(ends, 8)] == [table.relative(i) for i in table.ending(ends, 8)]
    for pattern in (b"99", b"x", b"/"):
        assert names.may_match(re.compile(pattern)) == table.may_match(re.compile(pattern))
    rows = [400, 3, 77]
    assert [names.picked(rows).path(i) for i in range(3)] == [table.path(row) for row in rows]
    again = pickle.loads(pickle.dumps(names))
    assert [again.show(row) for row in rows] == [table.show(row) for row in rows]
    assert list(again.identity()) == list(names.identity())
    assert names.common_root() == table.common_root()


def test_the_identity_depends_on_the_files_only(large, monkeypatch):
    entries = [Entry(f"{i % 3}/{i}.jpg", 1) for i in range(50)]
    first = list(listing(monkeypatch, entries).names.identity())
    assert list(listing(monkeypatch, [*entries, Entry("notes.txt", 1)]).names.identity()) == first
    assert list(listing(monkeypatch, entries[:-1]).names.identity()) != first
    labels = listing(monkeypatch, entries).labels
    assert np.bincount(labels).tolist() == [17, 17, 16]
