"""A bad row of several files is named by its file, and its own row in it."""

import io
import tarfile

import numpy as np
import pytest

import bitesize as bs

X = np.random.default_rng(0).random((10, 400))


def hdf5(path, damaged):
    h5py = pytest.importorskip("h5py")
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        place = file.create_dataset("x", data=X, chunks=(2, 400), compression="gzip").id
        at = place.get_chunk_info_by_coord((4, 0)).byte_offset
    if damaged:
        data = bytearray(path.read_bytes())
        data[at : at + 50] = bytes(50)
        path.write_bytes(data)
    return path


def zarr(path, damaged):
    path = path.with_suffix(".zarr")
    pytest.importorskip("zarr").open_group(path, mode="w").create_array("x", data=X, chunks=(2, 400))
    if damaged:
        (path / "x" / "c" / "2" / "0").write_bytes(b"damaged")
    return path


def npz(path, damaged):
    path = path.with_suffix(".npz")
    np.savez_compressed(path, x=X)
    if damaged:
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
        path.write_bytes(data)
    return path


def tar(path, damaged):
    path = path.with_suffix(".tar")
    with tarfile.open(path, "w") as file:
        for row in range(10):
            array = io.BytesIO()
            np.save(array, X[row])
            data = array.getvalue()[: 100 if damaged and row in (4, 5) else None]
            member = tarfile.TarInfo(f"{row}.npy")
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(("write", "bad"), [(hdf5, (14, 15)), (zarr, (14, 15)), (npz, range(10, 20)), (tar, (14, 15))])
def test_a_bad_row_is_named_by_its_file(tmp_path, write, bad):
    paths = [write(tmp_path / f"{i}", damaged=i == 1) for i in range(3)]
    source = bs.open(paths, file_is_row=False if write is npz else None)
    with bs.Loader(source, batch_size=4, memory="64 MiB", shuffle=False, on_error="skip", max_bad=1.0) as loader:
        for _ in loader:
            pass
        found = sorted((row.row, row.path, row.reason) for row in loader.bad)
    assert [row for row, _, _ in found] == list(bad)
    for row, name, reason in found:
        own = f"::{row - 10}" if write is tar else f", row {row - 10}"
        assert name == str(paths[1]) + own
        assert str(paths[1]) in reason
