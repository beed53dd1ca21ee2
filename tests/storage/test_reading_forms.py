"""Forms in which formats are stored, read from addresses as from the disk."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.storage import remote
from bitesize.testing import check_source, read_rows
from tests.storage.test_reading import Place

ROWS = 40


@pytest.fixture
def place(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Place(folder)


def same(place, name, **settings):
    """Check that data opens from the address as from the disk, and reads the same rows; return both sources."""
    local, there = bs.open(str(place.folder / name), **settings), bs.open(f"{place.root}/{name}", **settings)
    assert there.spec == local.spec
    assert there.classes == local.classes
    assert there.fingerprint() == local.fingerprint()
    for rows in (range(len(local)), [3, 1, 1], np.random.default_rng(0).permutation(len(local))):
        assert read_rows(there, rows) == read_rows(local, rows)
    check_source(there)
    return local, there


def values(*shape, dtype=np.int32):
    return np.random.default_rng(0).integers(0, 99, (ROWS, *shape)).astype(dtype)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_archives(save, place):
    save(
        place.folder / "a.npz",
        x=values(9, 7),
        z=np.asfortranarray(values(3)),
        w=values(2, dtype=">f4"),
        y=np.array(["a", "b"] * 20),
    )
    same(place, "a.npz")


def test_stored_fields_of_an_archive_are_read_at_the_same_time(place):
    np.savez(place.folder / "a.npz", x=values(100, 200), z=values(100, 200))
    there = same(place, "a.npz")[1]
    before = place.storage.reads
    read_rows(there, [3, 20])
    assert place.storage.reads - before == 4


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"chunks": (7, 5, 4)},
        {"chunks": (7, 5, 4), "compression": "gzip"},
        {"chunks": (7, 9, 7), "compression": "gzip", "shuffle": True},
        {"chunks": (7, 5, 4), "compression": "lzf"},
        {"chunks": (7, 5, 4), "fillvalue": 3},
    ],
    ids=["contiguous", "chunks", "gzip", "shuffle", "lzf", "fill value"],
)
def test_hdf5(how, place):
    h5py = pytest.importorskip("h5py")
    with h5py.File(place.folder / "a.h5", "w") as file:
        x = file.create_dataset("g/x", (ROWS, 9, 7), "i4", **how)
        x[: 20 if "fillvalue" in how else ROWS] = values(9, 7)[: 20 if "fillvalue" in how else ROWS]
        file["g/z"] = values(2)
        file["g/y"] = [b"cat", b"dog"] * 20
    same(place, "a.h5")
    same(place, "a.h5::g/x")


def test_groups_of_hdf5_as_rows(place):
    h5py = pytest.importorskip("h5py")
    with h5py.File(place.folder / "a.h5", "w") as file:
        for i in range(12):
            file.create_dataset(f"sample_{i}/x", data=np.full((5, 4), i), compression="gzip")
            file[f"sample_{i}/y"] = i % 3
    same(place, "a.h5")


@pytest.mark.parametrize(
    "how",
    [
        {"chunks": (7, 5, 4)},
        {"chunks": (7, 5, 4), "compressors": None},
        {"chunks": (7, 5, 4), "shards": (14, 10, 8)},
        {"chunks": (7, 5, 4), "fill_value": 3},
        {"chunks": (7, 5, 4), "zarr_format": 2},
        {"chunks": (7, 5, 4), "zarr_format": 2, "order": "F"},
    ],
    ids=["zstd", "plain", "shards", "fill value", "format 2", "read by zarr"],
)
def test_zarr(how, place):
    zarr = pytest.importorskip("zarr")
    version = how.pop("zarr_format", 3)
    group = zarr.open_group(str(place.folder / "a.zarr"), mode="w", zarr_format=version)
    x = group.create_array("inside/x", shape=(ROWS, 9, 7), dtype="i4", **how)
    some = slice(0, 20 if "fill_value" in how else ROWS)
    x[some] = values(9, 7)[some]
    group.create_array("inside/y", data=np.arange(ROWS) % 2)
    same(place, "a.zarr")
    same(place, "a.zarr::inside/x")


def test_groups_of_zarr_as_rows(place):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(place.folder / "a.zarr"), mode="w")
    for i in range(12):
        group.create_array(f"s{i}/x", data=np.full((5, 4), i))
        group.create_array(f"s{i}/y", data=np.array(i % 3))
    same(place, "a.zarr")


def test_parquet_in_several_files_and_groups(place):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (place.folder / "t").mkdir()
    for i in range(3):
        columns = {
            "a": values()[: 15 + i] + i,
            "b": np.random.default_rng(i).random(15 + i),
            "y": [f"class {k % 3}" for k in range(15 + i)],
        }
        pq.write_table(pa.table(columns), place.folder / "t" / f"{i}.parquet", row_group_size=4, compression="zstd")
    same(place, "t")


@pytest.mark.parametrize("compression", ["lz4", "uncompressed"])
def test_feather_of_some_columns(compression, place):
    pa, feather = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.feather")
    columns = {name: np.random.default_rng(i).random(ROWS) for i, name in enumerate("abcd")}
    table = pa.table({**columns, "y": ["u", "v"] * 20, "t": ["text"] * ROWS})
    feather.write_feather(table, place.folder / "a.feather", chunksize=11, compression=compression)
    same(place, "a.feather", fields=["a", "c", "y"])
    same(place, "a.feather")


@pytest.mark.parametrize("kind", ["bytes", "pixels"])
def test_packed_stores(kind, place, tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for i in range(12):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12 + i % 5, 16, 3), np.uint8)).save(path)
    bs.pack(bs.open(str(tmp_path / "images")), place.folder / "store", kind=kind)
    there = same(place, "store")[1]
    there.verify()
    assert there.describe(3).startswith(place.root)


def test_arrays_of_the_disk_and_of_addresses_are_joined(place):
    np.save(place.folder / "a.npy", values(3))
    np.save(place.folder / "b.npy", values(3))
    whole = bs.concatenate([str(place.folder / "a.npy"), f"{place.root}/a.npy", f"{place.root}/b.npy"])
    assert np.array_equal(whole[:], np.concatenate([values(3)] * 3))
    assert np.array_equal(whole[[5, 45, 100]], np.concatenate([values(3)] * 3)[[5, 45, 100]])
    for parts in ([0, 1, 2], [2, 1, 0]):
        names = [str(place.folder / "a.npy"), f"{place.root}/a.npy", f"{place.root}/b.npy"]
        source = bs.open(bs.concatenate([names[i] for i in parts]))
        assert read_rows(source, [0, 50, 90])["x"] == [values(3)[i].tobytes() for i in (0, 10, 10)]


def test_a_list_makes_every_size_known(place):
    for i in range(12):
        np.save(place.folder / f"{i}.npy", values(3)[i])
    remote.list_folder(place.root)
    source = bs.open(place.root)
    before = place.storage.heads
    read_rows(source, range(12))
    assert place.storage.heads == before
