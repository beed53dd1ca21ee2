"""Batches of data in a bucket are those of the same data on the disk, bit for bit."""

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.packed import row_cache
from bitesize.sources.masks import ImagesWithMasks
from bitesize.sources.registry import installed, kinds
from bitesize.spec import Encoded
from bitesize.storage.limiter import LIMITER
from tests.storage.in_bucket import InBucket, batches, same
from tests.storage.test_reading import IN_MEMORY, both

pytestmark = pytest.mark.remote
KINDS = [kind for kind in (*kinds(), ImagesWithMasks) if kind.__name__ not in IN_MEMORY]


@pytest.fixture
def place(tmp_path, s3_server, bucket, monkeypatch):
    monkeypatch.setattr(row_cache, "_REST", 0.0)  # the cache is filled at once
    return InBucket(tmp_path / "data", s3_server, bucket)


def steps_of(source):
    return [bs.RandomResizedCrop(8), bs.Flip()] if isinstance(source.spec[source.primary], Encoded) else []


def check(local, there, folder, **settings):
    """Check two epochs of both, by one thread and by four, without a cache and with one that is empty, and full."""
    settings = {"transforms": steps_of(local), "seed": 3, **settings}
    expected = batches(local, **settings, threads=1)
    for threads in (1, 4):
        same(batches(there, **settings, threads=threads), expected)
    for threads in (4, 1):
        same(batches(there, **settings, threads=threads, cache=bs.Cache(folder, "64 MiB")), expected)


# An object for each chunk of each row takes a while.
SLOW = {"ZarrFolders": pytest.mark.slow}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__, marks=SLOW.get(kind.__name__, ())) for kind in KINDS])
def test_every_kind_of_source(kind, place, monkeypatch, tmp_path):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    before = LIMITER.snapshot().nbytes
    local, there = both(kind, place, monkeypatch)
    check(local, there, tmp_path / "cache")
    there.close()
    assert LIMITER.snapshot().nbytes > before, "nothing was read from the bucket"


def picture(path, i, suffix="png"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(i).integers(0, 256, (20 + i % 5, 24, 3), np.uint8)
    Image.fromarray(pixels).save(path.with_suffix(f".{suffix}"))


def test_an_image_folder_of_classes(place, tmp_path):
    for i in range(12):
        picture(place.folder / "ab"[i % 2] / str(i), i, ("png", "jpg")[i % 3 == 0])
    place.put()
    local, there = bs.open(place.folder), bs.open(place.root, storage_options=place.options)
    assert there.classes == local.classes
    assert there.fingerprint() == local.fingerprint()
    check(local, there, tmp_path / "cache")


def test_images_with_masks_beside(place, tmp_path):
    for i in range(10):
        picture(place.folder / "images" / str(i), i)
        mask = Image.fromarray(np.random.default_rng(i).integers(0, 3, (20 + i % 5, 24), np.uint8))
        (place.folder / "masks").mkdir(exist_ok=True)
        mask.save(place.folder / "masks" / f"{i}.png")
    place.put()
    local, there = bs.open(place.folder), bs.open(place.root)
    assert set(there.spec) == set(local.spec)
    check(local, there, tmp_path / "cache")


def test_one_large_array_read_in_several_requests(place, tmp_path):
    values = np.random.default_rng(0).integers(0, 1 << 30, (24, 300_000), np.int64)  # 55 MiB, rows of 2.3 MiB
    np.save(place.folder / "x.npy", values)
    place.put()
    settings = {"memory": "1 GiB", "seed": 3}
    expected = batches(bs.open(place.folder / "x.npy", file_is_row=False), 1, **settings)
    for threads in (1, 4):
        same(batches(bs.open(f"{place.root}/x.npy", file_is_row=False), 1, **settings, threads=threads), expected)


def test_a_table_of_addresses(place, tmp_path):
    for i in range(12):
        picture(place.folder / f"{i}", i)
    place.put()
    tables = []
    for root, folder in ((place.folder, tmp_path / "local"), (place.root, place.folder)):
        folder.mkdir(exist_ok=True)
        lines = [f"{root}/{i}.png,{'cat' if i % 2 else 'dog'}" for i in range(12)]
        tables.append(folder / "table.csv")
        tables[-1].write_text("\n".join(["image,label", *lines]))
    place.put()
    local = bs.open(tables[0])
    check(local, bs.open(tables[1]), tmp_path / "cache")  # on the disk, of addresses
    check(local, bs.open(f"{place.root}/table.csv"), tmp_path / "cache")


def test_coco(place, tmp_path):
    import json

    for i in range(8):
        picture(place.folder / "images" / f"{i}", i)
    document = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 24, "height": 20 + i % 5} for i in range(8)],
        "annotations": [
            {"id": i, "image_id": i % 8, "category_id": 1 + i % 2, "bbox": [1, 2, 5 + i % 3, 6], "area": 30, "iscrowd": 0}
            for i in range(16)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (place.folder / "annotations.json").write_text(json.dumps(document))
    place.put()
    local, there = bs.open(place.folder / "annotations.json"), bs.open(f"{place.root}/annotations.json")
    assert there.spec == local.spec
    settings = {"seed": 3, "transforms": [bs.Resize(8)]}
    expected = batches(local, **settings)
    same(batches(there, **settings), expected)
    same(batches(there, **settings, cache=bs.Cache(tmp_path / "cache", "64 MiB")), expected)


def test_a_packed_store_of_images(place, tmp_path):
    for i in range(12):
        picture(tmp_path / "images" / "ab"[i % 2] / str(i), i)
    bs.pack(bs.open(tmp_path / "images"), place.folder / "store", kind="bytes")
    place.put()
    check(bs.open(place.folder / "store"), bs.open(f"{place.root}/store"), tmp_path / "cache")
