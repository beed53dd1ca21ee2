"""Lists of objects in other processes: the same list, or one that is made again and is equal."""

import gc
import pickle
import shutil

import numpy as np
import pytest
from tests.buckets import make_bucket

import bitesize as bs
from bitesize.sources.known_lists import lists_of
from bitesize.storage.listing import place
from bitesize.storage.stores import configured, listed


@pytest.mark.parametrize("here", [True, False], ids=["on this machine", "on another machine"])
@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("derived", [False, True])
def test_the_list_of_a_folder_is_used_or_made_again(tmp_path, here, changed, derived):
    bucket = make_bucket(tmp_path / "bucket")
    for name in ("cat/1.npy", "dog/2.npy"):
        (bucket.folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(bucket.folder / "data" / name, np.zeros(3))
    source = bs.open("disk://bucket/data/")
    packed = pickle.dumps(lists_of(source.subset([0]) if derived else source))
    if changed:
        np.save(bucket.folder / "data" / "dog" / "3.npy", np.zeros(3))
    del source
    make_bucket(bucket.folder)  # all lists of it are forgotten
    gc.collect()
    if not here:
        shutil.rmtree(place.default_folder())
    (sent,) = pickle.loads(packed)
    if changed and not here:
        with pytest.raises(bs.FileChanged, match="differs from the one of the program"):
            sent.use()
        return
    sent.use()
    assert len(listed("disk://bucket/data/")) == 2
    assert listed("disk://bucket/data/").fingerprint == sent.fingerprint


def test_files_on_a_disk_need_none(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3)))
    assert lists_of(bs.open(tmp_path / "x.npy"), bs.open(np.zeros((5, 3)))) == ()


def test_options_are_never_shown(tmp_path):
    bucket = make_bucket(tmp_path / "bucket")
    (bucket.folder / "data").mkdir()
    np.save(bucket.folder / "data" / "x.npy", np.zeros(3))
    sent = lists_of(bs.open("disk://bucket/data/"))
    assert "options" not in repr(sent)
    assert isinstance(configured(), dict)
