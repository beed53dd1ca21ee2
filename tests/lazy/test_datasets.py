"""Open arrays of h5py, Zarr and Dask are read by slices, never whole."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.properties import examples

import bitesize as bs
from bitesize.lazy.parts import InMemory, node_of

PACKAGES = ["h5py", "zarr", "dask"]


@pytest.fixture(autouse=True, scope="module")
def zarr_has_its_threads():
    """Zarr opens an event loop at its first use, and keeps it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            import zarr
        except ImportError:
            return
        zarr.create_array(f"{folder}/a.zarr", data=np.zeros(2))


def opened(package, folder, whole, chunks):
    """An open array of a package with these values."""
    module = pytest.importorskip(package)
    if package == "h5py":
        file = module.File(Path(folder) / "a.h5", "w")
        return file.create_dataset("deep/x", data=whole, chunks=chunks if whole.size else None)
    if package == "zarr":
        return module.create_array(str(Path(folder) / "a.zarr"), data=whole, chunks=chunks)
    return pytest.importorskip("dask.array").from_array(whole, chunks=chunks)


@pytest.mark.parametrize("package", PACKAGES)
@examples(60)
@given(data=st.data())
def test_any_index_gives_what_numpy_gives(package, data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    dtype = data.draw(st.sampled_from(["u1", "<i4", ">f4" if package == "h5py" else "<f4", "<f8", "?"]))
    whole = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        array = opened(package, folder, whole, chunks)
        lazy = bs.concatenate([array, whole[:1]])
        expected = np.concatenate([whole, whole[:1]])
        assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
        for _ in range(3):
            index = data.draw(hnp.basic_indices(expected.shape, allow_newaxis=True, allow_ellipsis=True))
            assert np.array_equal(lazy[index], expected[index])
            rows = data.draw(hnp.integer_array_indices(expected.shape))
            assert np.array_equal(lazy[rows], expected[rows])
            columns = data.draw(st.lists(st.integers(0, shape[-1] - 1), max_size=5))
            picked = np.take(lazy, np.array(columns, int), -1)
            entries = data.draw(st.lists(st.integers(0, len(picked) - 1), max_size=5)) if len(picked) else []
            assert np.array_equal(picked[entries], np.take(expected, np.array(columns, int), -1)[entries])
        assert np.array_equal(np.flip(lazy)[:], np.flip(expected))
        if package == "h5py":
            array.file.close()


class Counting:
    """An array that counts the values that are read of it; its class is one of h5py's by its module."""

    def __init__(self, array, chunks=None):
        self.array, self.shape, self.dtype, self.chunks, self.reads = array, array.shape, array.dtype, chunks, []

    def __getitem__(self, index):
        found = self.array[index]
        self.reads.append(found.size)
        return found


Counting.__module__ = "h5py.counting"


def test_only_boxes_around_what_is_asked_for_are_read():
    whole = np.arange(4000 * 5000, dtype="i4").reshape(4000, 5000)
    array = Counting(whole)
    lazy = bs.concatenate([array])
    assert not array.reads
    assert np.array_equal(lazy[[3000, 5, 1700]], whole[[3000, 5, 1700]])
    assert sum(array.reads) == 3 * 5000
    array.reads.clear()
    assert np.array_equal(lazy[::1000, 7], whole[::1000, 7])
    assert sum(array.reads) == 4
    array.reads.clear()
    assert lazy.sum(dtype="i8") == whole.sum(dtype="i8")
    assert sum(array.reads) == whole.size
    assert max(array.reads) * 4 <= 4 << 20


def test_no_chunk_is_read_twice_and_blocks_end_where_chunks_do():
    whole = np.arange(1000 * 3000, dtype="f8").reshape(1000, 3000)
    array = Counting(whole, chunks=(300, 3000))  # larger than a block would be
    lazy = bs.concatenate([array])
    assert np.array_equal(lazy[:], whole)
    assert array.reads == [300 * 3000] * 3 + [100 * 3000]


@pytest.mark.parametrize("package", PACKAGES)
def test_they_are_operands_and_parts_of_numpys_functions(package, tmp_path):
    whole = np.random.default_rng(0).random((20, 6))
    array = opened(package, tmp_path, whole, (7, 6))
    lazy = bs.concatenate([whole])
    for got, expected in [
        (lazy + array, whole + whole), (np.vstack([lazy, array]), np.vstack([whole, whole])), (np.where(lazy > 0.5, lazy, array), whole),
        (bs.stack([array, array]), np.stack([whole, whole])),
    ]:  # fmt: skip
        assert isinstance(got, bs.LazyArray)
        assert np.array_equal(np.asarray(got), expected)
    assert np.allclose(lazy, array)
    assert np.array_equal(np.load(bs.concatenate([array, array]).save(tmp_path / "all.npy")), np.vstack([whole, whole]))


def test_groups_and_tables_are_refused_with_what_they_hold(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.zeros((3, 2))
        file["text"] = ["a", "b"]
        with pytest.raises(bs.BadSetting, match=r"h5py.File is not an array.*group\['x'\].*it has images, text"):
            bs.concatenate([file])
        with pytest.raises(bs.BadSetting, match=r"h5py.Dataset '/text' of .*a\.h5 is object"):
            bs.concatenate([file["text"]])
        with pytest.raises(bs.BadSetting, match="is not known in advance"):
            file["none"] = h5py.Empty("f4")
            bs.concatenate([file["none"]])
        lazy = bs.concatenate([file["images"]])
    with pytest.raises(bs.BadFile, match=r"h5py.Dataset '/images' of .* could not be read \(is its file still open\?\)"):
        lazy[:]


def test_arrays_of_other_packages_that_load_whole_are_refused():
    for package in ("xarray", "netCDF4", "tables"):
        other = type(
            "Array", (), {"shape": (3,), "dtype": np.dtype("f4"), "__getitem__": lambda self, index: np.zeros(3)[index]}
        )
        other.__module__ = f"{package}.core"
        with pytest.raises(bs.BadSetting, match=f"{package}.Array would be loaded whole"):
            bs.concatenate([other()])


def test_what_is_in_memory_already_stays_there():
    for part in (np.zeros(3), [1, 2], (1.0, 2.0), range(4)):
        assert isinstance(node_of(part), InMemory)
    assert "xarray" not in sys.modules
