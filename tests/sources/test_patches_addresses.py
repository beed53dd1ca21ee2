"""Patches of images at addresses: only the tiles that patches touch are requested."""

import io

import h5py
import numpy as np
import pytest
from tests.storage.memory import memory_storage

import bitesize as bs
from bitesize.sources.sinks import new_buffers

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
zarr = pytest.importorskip("zarr")

IMAGE = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
TILE_NBYTES = 128 * 128 * 3
# Small parts are read in blocks of this size, at most one more than they need.
BLOCK = 64 << 10


@pytest.fixture(autouse=True)
def own_cache_folder(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True, scope="module")
def open_event_loop(tmp_path_factory):
    """Zarr opens an event loop at its first use, and keeps it."""
    zarr.create_array(str(tmp_path_factory.mktemp("loop") / "a.zarr"), data=np.zeros(1))


def tiff(**settings):
    file = io.BytesIO()
    tifffile.imwrite(file, IMAGE, **settings)
    return {"slide": file.getvalue()}


def pyramid():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(IMAGE, tile=(128, 128), compression="zlib", subifds=1)
        writer.write(IMAGE[::2, ::2], tile=(128, 128), compression="zlib", subfiletype=1)
    return {"slide": file.getvalue()}


def zarr_array(folder, **settings):
    zarr.create_array(str(folder / "slide"), data=IMAGE, **settings)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hdf5(folder):
    with h5py.File(folder / "slide", "w") as file:
        file.create_dataset("x", data=IMAGE, chunks=(128, 128, 3), compression="gzip")
    return {"slide": (folder / "slide").read_bytes()}


OBJECTS = {
    "TIFF": lambda folder: tiff(tile=(128, 128), compression="zlib"),
    "TIFF, uncompressed tiles": lambda folder: tiff(tile=(128, 128)),
    "pyramid": lambda folder: pyramid(),
    "Zarr": lambda folder: zarr_array(folder, chunks=(128, 128, 3)),
    "HDF5": hdf5,
}


@pytest.fixture(params=OBJECTS)
def storage(request, tmp_path):
    found = memory_storage(OBJECTS[request.param](tmp_path))
    found.nbytes, read = 0, found.read

    def counted(key, offset, into, version=""):
        found.nbytes += sum(buffer.nbytes for buffer in into)
        return read(key, offset, into, version)

    found.read = counted
    return found


def test_a_patch_requests_its_tiles_only(storage):
    source = bs.patches("memory://bucket/slide", 128)
    storage.requests.clear()
    storage.nbytes = 0
    row = new_buffers(source.spec, 1)
    source.read(np.array([9]), row)
    y, x = row["at"][0].tolist()
    assert (row["x"][0] == IMAGE[y : y + 128, x : x + 128]).all()
    assert storage.requests["read"] <= 2
    assert storage.nbytes <= TILE_NBYTES + 2 * BLOCK


def test_an_epoch_requests_each_tile_once(storage):
    source = bs.patches("memory://bucket/slide", 128)
    storage.requests.clear()
    storage.nbytes = 0
    with bs.Loader(source, batch_size=8, memory="64 MiB", seed=0) as loader:
        seen = [(first, x) for batch in loader for first, x in zip(batch["at"].tolist(), batch["x"].copy(), strict=True)]
    assert len(seen) == 64
    assert all((x == IMAGE[top : top + 128, left : left + 128]).all() for (top, left), x in seen)
    assert storage.requests["read"] <= 1.2 * source.tiles
    assert storage.nbytes <= 1.2 * source.tiles * (TILE_NBYTES + BLOCK)


def test_a_level_of_a_pyramid_and_masks_may_be_at_addresses():
    mask = io.BytesIO()
    tifffile.imwrite(mask, IMAGE[::2, ::2, 0], tile=(128, 128), compression="zlib")
    memory_storage(pyramid() | {"mask": mask.getvalue()})
    source = bs.patches("memory://bucket/slide", 128, level=1, masks="memory://bucket/mask")
    rows = new_buffers(source.spec, len(source))
    source.read(np.arange(len(source)), rows)
    for (y, x), patch, labels in zip(rows["at"].tolist(), rows["x"], rows["y"], strict=True):
        assert (patch == IMAGE[::2, ::2][y : y + 128, x : x + 128]).all()
        assert (labels == patch[..., 0]).all()


def test_patterns_and_folders_at_addresses_are_several_images():
    data = tiff(tile=(128, 128), compression="zlib")["slide"]
    memory_storage({"slides/a.tif": data, "slides/b.tif": data, "slides/notes.txt": b""})
    for address in ("memory://bucket/slides", "memory://bucket/slides/*.tif"):
        source = bs.patches(address, 128)
        assert len(source) == 128
        assert source.files == ("memory://bucket/slides/a.tif", "memory://bucket/slides/b.tif")


def test_storage_options_reach_the_storage_of_data_and_masks():
    storage = memory_storage(tiff(tile=(128, 128)))
    bs.patches("memory://bucket/slide", 128, storage_options={"region": "here"})
    assert storage.options == {"region": "here"}
    with pytest.raises(bs.BadSetting, match="for data at addresses"):
        bs.patches(IMAGE, 128, storage_options={"region": "here"})


def test_an_object_that_does_not_exist_is_named():
    memory_storage({})
    with pytest.raises(bs.NotFound, match=r"memory://bucket/none\.tif"):
        bs.patches("memory://bucket/none.tif", 128)


def test_an_object_that_is_replaced_is_opened_again():
    memory_storage(tiff(tile=(128, 128)))
    assert len(bs.patches("memory://bucket/slide", 128)) == 64
    memory_storage(pyramid())
    source = bs.patches("memory://bucket/slide", 128, level=1)
    assert len(source) == 16
    source.read(np.arange(4), new_buffers(source.spec, 4))
