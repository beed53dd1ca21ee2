"""Every kind of source reads from addresses what it reads from the disk."""

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bitesize as bs
from bitesize.files.names import Names
from bitesize.order.order import Order
from bitesize.sources.masks import ImagesWithMasks
from bitesize.sources.options import RowFiles
from bitesize.sources.registry import installed, kinds
from bitesize.spec import Encoded
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import register_storage
from bitesize.storage.url import is_url
from bitesize.testing import check_source, read_rows

ROWS = 30
# Kinds whose example is an object in memory.
IN_MEMORY = {"Arrays", "OtherArrays", "Frame", "HuggingFace", "MapStyle", "SparseRows"}
_numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def zarr_threads():
    """Start the threads of zarr, which stay until the end of the process."""
    if installed(next(kind for kind in kinds() if kind.package == "zarr")):
        import zarr

        zarr.save(zarr.storage.MemoryStore(), np.zeros(1))
    return


class Counted(LocalStorage):
    """A folder as storage that counts requests."""

    def __init__(self, folder, root):
        super().__init__(folder, root)
        self.reads, self.heads, self.levels, self.nbytes = 0, 0, 0, 0

    def read(self, key, offset, into, version=""):
        self.reads += 1
        self.nbytes += sum(buffer.nbytes for buffer in into)
        super().read(key, offset, into, version)

    def entry(self, key):
        self.heads += 1
        return super().entry(key)

    def level(self, prefix):
        self.levels += 1
        return super().level(prefix)


class Place:
    """A folder of the disk that is also at an address."""

    def __init__(self, folder):
        self.folder = folder
        scheme = f"disk{next(_numbers)}"
        self.root = f"{scheme}://data"
        self.storage = Counted(folder, self.root)
        register_storage(scheme, lambda root, options: self.storage)

    def at(self, value):
        """Return the same with addresses in place of paths."""
        if isinstance(value, str | bytes | os.PathLike):
            text = os.fsdecode(value)
            moved = text.replace(str(self.folder), self.root) if text.startswith(str(self.folder)) else text
            return os.fsencode(moved) if isinstance(value, bytes) else moved if moved != text else value
        if isinstance(value, list):
            return [self.at(each) for each in value]
        if isinstance(value, Names):
            return replace(value, root=self.at(value.root), folders=tuple(self.at(each) for each in value.folders))
        if isinstance(value, RowFiles):
            return value._replace(names=self.at(value.names))
        return value


@pytest.fixture
def place(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Place(folder)


def both(kind, place, monkeypatch):
    """Return the example of a kind of source, from the disk and from an address."""
    local = kind.example(place.folder, ROWS)
    with monkeypatch.context() as patch:
        for name in ("opened", "of_files", "__init__"):
            own = vars(kind).get(name)
            if own is not None:
                patch.setattr(kind, name, _moved(own, place))
        again = place.folder / "again"
        again.mkdir()
        remote = kind.example(again, ROWS)
    return local, remote


def _moved(own, place):
    function = own.__func__ if isinstance(own, classmethod) else own

    def call(first, *args, **kwargs):
        return function(first, *map(place.at, args), **{name: place.at(each) for name, each in kwargs.items()})

    return classmethod(call) if isinstance(own, classmethod) else call


KINDS = pytest.mark.parametrize("kind", [*kinds(), ImagesWithMasks], ids=lambda kind: kind.__name__)


@KINDS
def test_rows_of_addresses_are_those_of_files(kind, place, monkeypatch):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    local, remote = both(kind, place, monkeypatch)
    shuffled = np.random.default_rng(0).permutation(ROWS)
    for rows in (range(ROWS), shuffled, [3, 3, 0], [ROWS - 1]):
        assert read_rows(remote, rows) == read_rows(local, rows)
    assert read_rows(remote.subset([5, 1]), [0, 1]) == read_rows(local, [5, 1])
    remote.close()
    assert place.storage.reads or kind.__name__ in IN_MEMORY, "nothing was read from the address"


@KINDS
def test_sources_at_addresses_keep_the_promises_of_sources(kind, place, monkeypatch):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    check_source(both(kind, place, monkeypatch)[1])


@KINDS
@pytest.mark.parametrize("threads", [1, 4])
def test_batches_of_addresses_are_those_of_files(kind, threads, place, monkeypatch):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    local, remote = both(kind, place, monkeypatch)
    orders = [None]
    if local.chunks() is not None:
        orders.append(Order(ROWS, seed=3, window=12))
    steps = [bs.Resize(8)] if isinstance(local.spec[local.primary], Encoded) else []
    for order in orders:
        settings = {"batch_size": 4, "memory": "1 GiB", "transforms": steps, "threads": threads, "order": order}
        with bs.Loader(local, **settings) as one, bs.Loader(remote, **settings) as other:
            for _ in range(2):
                for batch, same in zip(one, other, strict=True):
                    assert batch.rows.tolist() == same.rows.tolist()
                    for name in batch:
                        assert np.array_equal(batch[name], same[name], equal_nan=batch[name].dtype.kind in "fc"), name
                    del batch, same
