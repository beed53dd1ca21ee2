"""Schemes that have no storage of their own are read through fsspec."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.storage import fsspec_files, stores
from bitesize.storage.fsspec_files import FsspecStorage
from bitesize.testing import check_source, check_storage, read_rows

fsspec = pytest.importorskip("fsspec")
_numbers = itertools.count()


@pytest.fixture
def root(monkeypatch, tmp_path):
    """Return an address of an empty folder in memory; other tests may have replaced what answers for it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delitem(stores._openers, "memory", raising=False)
    root = f"memory://fsspec-{next(_numbers)}"
    yield root
    fsspec.filesystem("memory").rm(root.removeprefix("memory:/"), recursive=True) if put_anything(root) else None
    stores._storages.pop(root, None)


def put_anything(root):
    return fsspec.filesystem("memory").exists(root)


def put(folder, root):
    """Copy a folder of the disk to an address."""
    fsspec.filesystem("memory").put(f"{folder}/", f"{root}/", recursive=True)


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12 + i % 5, 16, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def batches(source):
    loader = bs.Loader(source, batch_size=8, memory="64 MiB", seed=1, transforms=[bs.Resize((8, 8))])
    with loader:
        return [{name: np.array(value) for name, value in batch.items()} for batch in loader]


def test_it_is_a_storage(root):
    check_storage(FsspecStorage(root, {}))


def test_a_folder_of_images_gives_the_batches_of_the_disk(root, photos):
    put(photos, root)
    local, there = bs.open(photos), bs.open(root)
    assert there.classes == local.classes
    assert there.fingerprint() == local.fingerprint()
    for ours, theirs in zip(batches(local), batches(there), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    check_source(there)
