"""Files that workers need are looked for before any work begins."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import socket

import numpy as np
import pytest

import bitesize as bs
from bitesize.cluster.needed_files import NeededFiles
from bitesize.errors import FileChanged, NotFound
from bitesize.storage.listing import place
from bitesize.storage.stores import listed
from tests.buckets import make_bucket


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(name, rows=4):
    np.save(name, np.zeros((rows, 3)))
    return bs.open(name)


def test_files_of_sources_are_found_from_another_folder(tmp_path):
    (tmp_path / "runs" / "1").mkdir(parents=True)
    needed = NeededFiles.of([saved("x.npy"), bs.open(np.zeros(3))], ["runs/1"])
    assert {os.path.basename(path) for path, _ in needed.files} >= {b"1", b"x.npy"}
    os.chdir(tmp_path.parent)
    pickle.loads(pickle.dumps(needed)).enter()
    assert os.path.samefile(os.getcwd(), tmp_path)


def test_a_missing_file_is_named_with_the_machine_and_what_can_be_done(tmp_path):
    needed = NeededFiles.of([saved("x.npy")])
    os.remove("x.npy")
    with pytest.raises(NotFound, match=r"x\.npy does not exist on") as error:
        needed.enter()
    assert socket.gethostname() in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "a folder that all machines share" in str(error.value)


def test_a_folder_that_does_not_exist_there_is_named():
    with pytest.raises(NotFound, match="runs"):
        NeededFiles(((b"runs", None),), "/no/such/folder").enter()
    NeededFiles((), "/no/such/folder").enter()  # nothing is needed from it


def test_another_file_of_the_same_name_is_refused():
    needed = NeededFiles.of([saved("x.npy")])
    np.save("x.npy", np.zeros((5, 3)))
    with pytest.raises(FileChanged, match="another size or time"):
        needed.enter()


def test_addresses_are_not_looked_for():
    assert NeededFiles.of([], ["s3://bucket/run"]).files == ()


@pytest.mark.parametrize("here", [True, False], ids=["on this machine", "on another machine"])
@pytest.mark.parametrize("changed", [False, True])
def test_the_list_of_a_folder_at_an_address_is_used_or_made_again(tmp_path, here, changed):
    bucket = make_bucket(tmp_path / "bucket")
    for name in ("cat/1.npy", "dog/2.npy"):
        (bucket.folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(bucket.folder / "data" / name, np.zeros(3))
    source = bs.open("disk://bucket/data/")
    needed = NeededFiles.of([source])
    assert needed.files == ()
    packed, known = pickle.dumps(needed), pickle.dumps(listed("disk://bucket/data/"))
    if changed:
        np.save(bucket.folder / "data" / "dog" / "3.npy", np.zeros(3))
    del source, needed
    make_bucket(bucket.folder)  # all lists of it are forgotten
    gc.collect()
    if not here:
        shutil.rmtree(place.default_folder())
    if changed and not here:
        with pytest.raises(FileChanged, match="differs from the one of the program"):
            pickle.loads(packed).enter()
        return
    pickle.loads(packed).enter()
    found = pickle.loads(known)  # as in a source of many objects
    assert len(found) == 2
    assert listed("disk://bucket/data/").fingerprint == found.fingerprint
