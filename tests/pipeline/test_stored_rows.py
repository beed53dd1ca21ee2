"""A cache of rows in their stored form: each row of data at addresses is requested once, and has the same values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.storage import remote
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import register_storage

ROWS, FEW = 24, 6  # a few requests are for the shapes of rows, and for rows of the next epoch
_numbers = itertools.count()


class Counted(LocalStorage):
    """A folder as storage that counts reads."""

    reads = 0

    def read(self, key, offset, into, version=""):
        self.reads += 1
        super().read(key, offset, into, version)


@pytest.fixture
def data(tmp_path):
    """Return images and masks on the disk, their addresses, and the storage of these."""
    random = np.random.default_rng(0)
    for kind, shape in (("images", (12, 16, 3)), ("masks", (12, 16))):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for i in range(ROWS):
            Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(tmp_path / "data" / kind / f"{i}.png")
    scheme = f"stored{next(_numbers)}"
    storage = Counted(tmp_path / "data", f"{scheme}://data")
    register_storage(scheme, lambda root, options: storage)
    return Data(tmp_path / "data", storage)


class Data:
    def __init__(self, folder, storage):
        self.folder, self.storage = folder, storage

    def local(self, kind):
        return [str(self.folder / kind / f"{i}.png") for i in range(ROWS)]

    def remote(self, kind):
        return [f"{self.storage.root}/{kind}/{i}.png" for i in range(ROWS)]


def alternating(first, second):
    return [(first, second)[i % 2][i] for i in range(ROWS)]


SOURCES = {
    "images": lambda data: bs.open(data.remote("images")),
    "a subset": lambda data: bs.open(data.remote("images")).subset(np.arange(0, ROWS, 2)),
    "a part": lambda data: bs.open(data.remote("images")).split(0.5)[0],
    "a chain": lambda data: bs.chain([bs.open(data.remote("images")), bs.open(data.local("images"))]),
    "a chain that begins on the disk": lambda data: bs.chain(
        [bs.open(data.local("images")), bs.open(data.remote("images"))]
    ),
    "a list": lambda data: bs.open(alternating(data.remote("images"), data.local("images"))),
    "a list that begins on the disk": lambda data: bs.open(alternating(data.local("images"), data.remote("images"))),
    "masks": lambda data: bs.open({"x": data.remote("images"), "mask": data.remote("masks")}),
    "masks on the disk": lambda data: bs.open({"x": data.remote("images"), "mask": data.local("masks")}),
    "images on the disk": lambda data: bs.open({"x": data.local("images"), "mask": data.remote("masks")}),
}


def batches(source, cache, **settings):
    """Return all batches of an epoch."""
    with bs.Loader(source, batch_size=5, shuffle=True, seed=3, memory="64 MiB", cache=cache, **settings) as loader:
        return [{**{name: value.copy() for name, value in batch.items()}, "rows": batch.rows} for batch in loader]


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], name)


@pytest.mark.parametrize("name", SOURCES)
def test_a_second_run_requests_nothing_and_has_the_same_batches(name, data, tmp_path):
    source, cache = SOURCES[name](data), bs.Cache(tmp_path / "cache", "64 MiB")
    plain = batches(source, None)
    assert_same(batches(source, cache), plain)
    before = data.storage.reads
    assert before
    assert_same(batches(source, cache), plain)
    assert data.storage.reads - before <= FEW


def test_a_replaced_object_is_requested_again(data, tmp_path):
    source, cache = bs.open(f"{data.storage.root}/images"), bs.Cache(tmp_path / "cache", "64 MiB")
    batches(source, cache)
    Image.fromarray(np.full((12, 16, 3), 7, np.uint8)).save(data.folder / "images" / "3.png")
    source = bs.open(f"{data.storage.root}/images")
    before = data.storage.reads
    found = batches(source, cache)
    assert 1 <= data.storage.reads - before <= FEW
    assert_same(found, batches(bs.open(data.folder / "images"), None))


def test_a_row_that_cannot_be_read_is_left_out_and_the_others_are_kept(data, tmp_path):
    source, cache = bs.open(data.remote("images")), bs.Cache(tmp_path / "cache", "64 MiB")
    (data.folder / "images" / "5.png").unlink()
    first = batches(source, cache, on_error="skip", max_bad=0.5)
    before = data.storage.reads
    assert_same(batches(source, cache, on_error="skip", max_bad=0.5), first)
    assert data.storage.reads - before <= FEW
    remote.forget(data.remote("images")[5])
