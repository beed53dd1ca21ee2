"""Every kind of source reads from addresses what it reads from the disk."""

import itertools
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import bitesize as bs
from bitesize.files.names import Names, names_of
from bitesize.order.order import Order
from bitesize.sources.masks import ImagesWithMasks
from bitesize.sources.options import OpenOptions, RowFiles
from bitesize.sources.registry import installed, kinds
from bitesize.sources.series_files import Series
from bitesize.spec import Encoded
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import configure, register_storage
from bitesize.testing import check_source, read_rows
from bitesize.training.given import OneEach

ROWS = 30
# Kinds whose example is an object in memory.
IN_MEMORY = {"Arrays", "OtherArrays", "Frame", "HuggingFace", "MapStyle", "SparseRows"}
_numbers = itertools.count()


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
        if isinstance(value, Series):
            return value._replace(files=self.at(value.files), names=self.at(value.names))
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


def _arrays(place, rows=ROWS, name="{}.npy"):
    for i in range(rows):
        np.save(place.folder / name.format(i), np.full((4, 3), i, np.float32))
    return [f"{place.root}/{name.format(i)}" for i in range(rows)]


def test_an_object_replaced_between_two_epochs_is_handled_as_a_bad_row(place):
    source = bs.open(_arrays(place))
    settings = {"batch_size": 5, "memory": "64 MiB", "shuffle": False}
    with bs.Loader(source, **settings, on_error="skip") as loader:
        assert sum(batch.mask.sum() for batch in loader) == ROWS
    np.save(place.folder / "7.npy", np.full((4, 3), -1, np.float32))
    os.utime(place.folder / "7.npy", ns=(1, 1))
    with bs.Loader(
        source, **settings, on_error="skip", max_bad=1.0
    ) as loader:  # another one, because rows of many epochs are read ahead
        seen = [row for batch in loader for row in batch.rows[batch.mask].tolist()]
        assert sorted({*range(ROWS)} - {*seen}) == [7]
        assert {row for row, *_ in loader.bad} == {7}
    with bs.Loader(source, **settings) as loader, pytest.raises(bs.FileChanged, match=r"7\.npy"):
        list(loader)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in kinds() if kind.__name__ in ("Hdf5", "Zarr", "NpzArrays", "Parquet", "Feather", "Tar", "PackedStore")],
    ids=lambda kind: kind.__name__,
)
def test_a_replaced_object_of_many_rows_is_never_read_as_the_old_one(kind, place, monkeypatch):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    _, remote = both(kind, place, monkeypatch)
    read_rows(remote, range(ROWS))
    before = place.storage.heads + place.storage.reads
    remote.check_unchanged()
    assert place.storage.heads + place.storage.reads == before, "checking costs requests"
    remote.close()
    for path in (place.folder / "again").rglob("*"):
        if path.is_file():
            os.utime(path, ns=(1, 1))
    with pytest.raises(bs.BadRows) as caught:
        for row in range(ROWS):  # some may be in memory
            read_rows(remote, [row])
    assert all(isinstance(cause, bs.FileChanged) for cause in caught.value.causes.values())
    remote.close()


def test_rows_of_an_npy_file_are_read_with_few_requests(place):
    np.save(place.folder / "x.npy", np.arange(4000.0).reshape(1000, 4))
    source = bs.open(f"{place.root}/x.npy", file_is_row=False)
    before = place.storage.reads
    read_rows(source, range(500))
    assert place.storage.reads == before + 1


def test_versions_of_rows_need_no_requests(place):
    source = bs.open(_arrays(place))
    before = place.storage.heads + place.storage.reads
    versions = source.row_versions(np.arange(ROWS))
    assert len(set(versions.tolist())) == ROWS or len(set(versions.tolist())) == 1
    assert (versions != 0).all()
    assert place.storage.heads + place.storage.reads == before


def test_a_pickled_source_opens_addresses_with_the_same_options_in_another_process(place, tmp_path):
    folder = place.folder
    np.save(folder / "x.npy", np.arange(40.0).reshape(20, 2))
    register_storage("locked", lambda root, options: LocalStorage(folder, root))
    source = bs.open("locked://data/x.npy", storage_options={"key": "xyzzy"})
    assert "xyzzy" not in repr(source) + str(source.explain()) + source.fingerprint()
    (tmp_path / "source.pickle").write_bytes(pickle.dumps(source.subset([3, 1])))
    program = f"""
import pickle
import numpy as np
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import register_storage

def opened(root, options):
    assert options["key"] == "xyzzy", "the key is missing"
    return LocalStorage({str(folder)!r}, root)

register_storage("locked", opened)
source = pickle.load(open({str(tmp_path / "source.pickle")!r}, "rb"))
x = np.empty((2, 2))
source.read(np.array([0, 1]), {{"x": x}})
print(x.tolist())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "[[6.0, 7.0], [2.0, 3.0]]\n", done.stderr


def test_options_of_storages_that_a_source_does_not_use_are_not_in_its_pickle(place):
    register_storage("locked", lambda root, options: LocalStorage(place.folder, root))
    configure("locked://data", {"key": "xyzzy"})
    assert b"xyzzy" not in pickle.dumps(bs.open(_arrays(place)))
    assert "xyzzy" not in repr(OpenOptions(storage_options={"key": "xyzzy"}))


def test_a_tar_at_an_address_is_listed_once_and_an_index_beside_it_is_used(place, tmp_path):
    kind = next(kind for kind in kinds() if kind.__name__ == "Tar")
    local = kind.example(place.folder, ROWS)
    for index in place.folder.glob("*.bitesize-index"):
        index.rename(tmp_path / index.name)
    addresses = [f"{place.root}/{number}.tar" for number in range(2)]
    first = bs.open(addresses)
    assert any("listed by reading" in choice.chosen for choice in first.choices)
    assert not list(place.folder.glob("*.bitesize-index"))
    again = bs.open(addresses)
    assert not any("listed by reading" in choice.chosen for choice in again.choices)
    for index in tmp_path.glob("*.bitesize-index"):
        index.rename(place.folder / index.name)
    for index in tmp_path.rglob("*.npy"):
        index.unlink()
    beside = bs.open(addresses)
    assert not any("listed by reading" in choice.chosen for choice in beside.choices)
    for source in (first, again, beside):
        assert read_rows(source, range(ROWS)) == read_rows(local, range(ROWS))


def test_an_index_of_another_tar_is_not_used(place):
    kind = next(kind for kind in kinds() if kind.__name__ == "Tar")
    local = kind.example(place.folder, ROWS)
    index = (place.folder / "0.tar.bitesize-index").read_bytes()
    (place.folder / "1.tar.bitesize-index").write_bytes(index)
    source = bs.open([f"{place.root}/{number}.tar" for number in range(2)])
    assert read_rows(source, range(ROWS)) == read_rows(local, range(ROWS))


class Broken(Counted):
    """A folder as storage whose reads fail after all tries."""

    works = True

    def read(self, key, offset, into, version=""):
        super().read(key, offset, into, version)
        if not self.works:
            raise bs.RequestFailed(f"{self.root}/{key}: no answer", 503, "")


@pytest.mark.parametrize(
    "kind", [kind for kind in kinds() if kind.__name__ not in IN_MEMORY | {"Table"}], ids=lambda kind: kind.__name__
)
def test_requests_that_fail_are_not_sent_again_for_each_row(kind, place, monkeypatch):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    place.storage = Broken(place.folder, place.root)
    _, remote = both(kind, place, monkeypatch)
    assert remote.labels is None or len(remote.labels) == ROWS  # in memory from here on
    remote.close()
    place.storage.works = False
    before = place.storage.reads
    with pytest.raises(bs.BadRows) as caught:
        read_rows(remote, range(4))
    assert {*caught.value.causes} == {0, 1, 2, 3}
    assert all(isinstance(cause, bs.RequestFailed) for cause in caught.value.causes.values())
    assert place.storage.reads - before <= 4 * 5
    place.storage.works = True
    remote.close()
    assert all(read_rows(remote, range(4)).values())
    remote.close()


def test_files_to_predict_are_grouped_at_addresses_as_on_the_disk(place):
    from PIL import Image

    for i in range(6):
        Image.fromarray(np.full((8, 9, 3), i, np.uint8)).save(place.folder / f"{i}.png")
        np.save(place.folder / f"{i}.npy", np.zeros((4, 3 + i % 2)))
    (place.folder / "image").write_bytes((place.folder / "0.png").read_bytes())
    (place.folder / "text").write_bytes(b"no image")
    names = sorted(path.name for path in place.folder.iterdir())
    groups = []
    for root in (str(place.folder), place.root):
        files = OneEach(names_of([f"{root}/{name}" for name in names]), "RGB")
        groups.append(sorted((rows.tolist(), type(source).__name__) for rows, source in files.groups(0, len(names))))
    assert groups[0] == groups[1]
