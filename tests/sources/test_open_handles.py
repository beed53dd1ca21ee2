"""Arrays and groups that another library has open: read from their file when rows are asked for, or refused by name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) % 2


def values(source, name="x"):
    with bs.Loader(source, batch_size=8, memory="64 MiB", shuffle=False) as loader:
        return np.concatenate([batch[name].copy() for batch in loader])


# --- h5py -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("exp1/images", data=X, chunks=(4, 3), compression="gzip")
        file["exp1/labels"] = Y
        file["other"] = np.zeros(7)
    return tmp_path / "a.h5"


def test_an_open_dataset_is_read_from_its_file(hdf5):
    h5py = pytest.importorskip("h5py")
    with h5py.File(hdf5) as file:
        source = bs.open(file["exp1/images"], labels=Y)
        assert np.array_equal(values(source), X)
        assert source.labels.tolist() == Y.tolist()
        check_source(bs.open(file["exp1/images"]))
    assert np.array_equal(values(source), X)  # also once the handle is closed


def test_an_open_group_has_its_datasets_for_fields(hdf5):
    h5py = pytest.importorskip("h5py")
    with h5py.File(hdf5) as file:
        source = bs.open(file["exp1"])
        assert sorted(source.spec) == ["images", "labels"]
        assert source.labels.tolist() == Y.tolist()
        assert list(bs.open(file, fields=["exp1/images"]).spec) == ["exp1/images"]
        with pytest.raises(bs.BadFile, match="different lengths"):
            bs.open(file)


@pytest.mark.parametrize("settings", [{}, {"locking": True}, {"locking": False}, {"rdcc_nbytes": 0}])
def test_a_path_is_opened_whoever_has_the_file_open(hdf5, settings):
    h5py = pytest.importorskip("h5py")
    with h5py.File(hdf5, **settings):
        assert np.array_equal(values(bs.open(f"{hdf5}::exp1/images")), X)


def test_a_dataset_or_group_is_named_behind_the_path(hdf5):
    pytest.importorskip("h5py")
    assert list(bs.open(f"{hdf5}::exp1/images").spec) == ["x"]
    assert sorted(bs.open(f"{hdf5}::/exp1").spec) == ["images", "labels"]
    with pytest.raises(bs.NotFound, match="has no 'exp2': it has exp1, other"):
        bs.open(f"{hdf5}::exp2")


def test_a_file_that_is_open_for_writing_is_refused(hdf5):
    h5py = pytest.importorskip("h5py")
    with h5py.File(hdf5, "a") as file:
        with pytest.raises(bs.BadSetting, match="is open for writing: close it, and pass its path"):
            bs.open(file["other"])
        with pytest.raises(bs.BadFile, match="is open for writing in this program"):
            bs.open(hdf5)


def test_a_closed_file_is_refused(hdf5):
    h5py = pytest.importorskip("h5py")
    with h5py.File(hdf5) as file:
        dataset = file["other"]
    with pytest.raises(bs.BadSetting, match="closed"):
        bs.open(dataset)


def test_a_file_in_memory_alone_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w", driver="core", backing_store=False) as file:
        file["x"] = X
        with pytest.raises(bs.BadSetting, match=r"not on disk .* pass its path"):
            bs.open(file["x"])


def test_a_link_into_another_file_is_not_followed(tmp_path, hdf5):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["there"] = h5py.ExternalLink("a.h5", "exp1")
    for name in ("there", "there/images"):
        with pytest.raises(bs.BadSetting, match="another file"):
            bs.open(f"{tmp_path / 'b.h5'}::{name}")


def test_a_list_of_datasets_is_not_read_whole(hdf5):
    h5py = pytest.importorskip("h5py")
    with h5py.File(hdf5) as file, pytest.raises(bs.BadSetting, match=r"join them with bs\.chain"):
        bs.open([file["other"], file["other"]])


# --- Zarr -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("exp1/images", data=X, chunks=(4, 3))
    group.create_array("exp1/labels", data=Y)
    return tmp_path / "a.zarr"


def test_open_arrays_and_groups_of_zarr_are_read_from_their_folder(folder):
    zarr = pytest.importorskip("zarr")
    root = zarr.open(folder)
    assert np.array_equal(values(bs.open(root["exp1/images"], labels=Y)), X)
    assert sorted(bs.open(root["exp1"]).spec) == ["images", "labels"]
    assert sorted(bs.open(root).spec) == ["exp1/images", "exp1/labels"]
    assert np.array_equal(values(bs.open(f"{folder}::exp1/images")), X)
    assert bs.open(f"{folder}::exp1").labels.tolist() == Y.tolist()
    with pytest.raises(bs.NotFound, match="has no 'exp2': it has exp1"):
        bs.open(f"{folder}::exp2")


def test_zarr_in_memory_is_refused():
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(zarr.storage.MemoryStore(), data=X)
    with pytest.raises(bs.BadSetting, match=r"a Zarr array in a MemoryStore: .* from folders"):
        bs.open(array)


# --- other libraries --------------------------------------------------------------------------------------------------


def test_a_lazy_array_of_dask_is_refused_with_the_way():
    da = pytest.importorskip("dask.array")
    with pytest.raises(bs.BadSetting, match=r"da.to_zarr\(x, folder\)"):
        bs.open(da.ones((5, 5)))
    with pytest.raises(bs.BadSetting, match="a list of a dask Array"):
        bs.open([da.ones(5), da.ones(5)])


def test_a_data_frame_of_dask_is_refused_with_the_way():
    frames, pandas = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    with pytest.raises(bs.BadSetting, match=r"frame.to_parquet\(folder\)"):
        bs.open(frames.from_pandas(pandas.DataFrame({"a": [1, 2, 3]}), npartitions=2))


def test_xarray_is_taken_from_memory_and_refused_from_elsewhere():
    xarray, da = pytest.importorskip("xarray"), pytest.importorskip("dask.array")
    assert np.array_equal(values(bs.open(xarray.DataArray(X, dims=("a", "b")))), X)
    with pytest.raises(bs.BadSetting, match=r"x.to_zarr\(folder\)"):
        bs.open(xarray.DataArray(da.ones((5, 5)), dims=("a", "b")))
    with pytest.raises(bs.BadSetting, match="open one of its variables"):
        bs.open(xarray.Dataset({"v": (("a", "b"), X)}))


def test_tensors_of_the_cpu_are_not_copied():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(12.0).reshape(4, 3).requires_grad_()
    source = bs.open(tensor, labels=[0, 1, 1, 0])
    assert np.array_equal(values(source), tensor.detach().numpy())
    with torch.no_grad():
        tensor[0, 0] = 7
    assert values(source)[0, 0] == 7
    for other in (tensor.to(torch.bfloat16), torch.zeros((3, 2), device="meta"), torch.zeros((3, 2)).to_sparse()):
        with pytest.raises(bs.BadSetting, match="a torch Tensor"):
            bs.open(other)


class Lazy:
    """An array that NumPy can only have by reading it."""

    shape, dtype = (5, 2), np.dtype(np.float64)

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("it must be read")
        raise AssertionError("it was read")


def test_what_numpy_would_have_to_read_is_not_read():
    with pytest.raises(bs.BadSetting, match=r"would be loaded whole into memory: .* np.asarray\(x\)"):
        bs.open(Lazy())


def test_a_masked_array_does_not_lose_its_mask():
    with pytest.raises(bs.BadSetting, match="fill it first"):
        bs.open(np.ma.masked_less(X, 3))


# --- memory -----------------------------------------------------------------------------------------------------------

GROWTH = """
import sys
import bitesize as bs

def anonymous():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon"))) >> 10

if sys.argv[1] == "h5py":
    import h5py
    handle = h5py.File(sys.argv[2])["x"]
else:
    import zarr
    handle = zarr.open(sys.argv[2])["x"]
handle[0]
bs.Loader(bs.open(handle), batch_size=8, memory="32 MiB").close()
before = anonymous()
source = bs.open(handle)
with bs.Loader(source, batch_size=8, memory="32 MiB", shuffle=False) as loader:
    for number, batch in enumerate(loader):
        assert batch["x"].all()
        if number == 50:
            break
    print(anonymous() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
@pytest.mark.parametrize("library", ["h5py", "zarr"])
def test_an_open_array_takes_no_memory_of_its_size(tmp_path, library):
    module = pytest.importorskip(library)
    path = tmp_path / "large"
    settings = {"shape": (8000, 25_000), "dtype": "u1", "chunks": (10, 25_000)}
    if library == "h5py":
        with module.File(path, "w") as file:
            dataset = file.create_dataset("x", compression="gzip", **settings)
            dataset[:] = 1
    else:
        module.open_group(path, mode="w").create_array("x", **settings)[:] = 1
    done = subprocess.run([sys.executable, "-c", GROWTH, library, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60  # of 190 MiB
