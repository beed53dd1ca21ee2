"""A file of many rows that is replaced while it is read is noticed, whatever way its rows are read."""

import io
import os
import tarfile

import numpy as np
import pytest

import bitesize as bs

ROWS = 64


def values(sign):
    return sign * np.arange(1.0, ROWS + 1).repeat(8).reshape(ROWS, 8)


def npy(path, sign):
    np.save(path, values(sign))


def npz(path, sign):
    np.savez(path, x=values(sign))


def hdf5(path, sign, **options):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values(sign), **options)


def gzip_hdf5(path, sign):
    hdf5(path, sign, chunks=(4, 8), compression="gzip")


def lzf_hdf5(path, sign):
    hdf5(path, sign, chunks=(4, 8), compression="lzf")


def tar(path, sign):
    with tarfile.open(path, "w") as file:
        for i, row in enumerate(values(sign)):
            data = io.BytesIO()
            np.save(data, row)
            member = tarfile.TarInfo(f"{i:03}.npy")
            member.size = len(data.getvalue())
            data.seek(0)
            file.addfile(member, data)


def parquet(path, sign):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"x": values(sign)[:, 0]}), path, row_group_size=16)


def feather(path, sign):
    pa, written = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.feather")
    written.write_feather(pa.table({"x": values(sign)[:, 0]}), str(path), chunksize=16)


KINDS = {
    ".npy": npy,
    ".npz": npz,
    "plain.h5": hdf5,
    "gzip.h5": gzip_hdf5,
    "lzf.h5": lzf_hdf5,
    ".tar": tar,
    ".parquet": parquet,
    ".feather": feather,
}


def replace(path, write, sign):
    """Put another file of the same size in its place, as `mv` does."""
    other = path.with_name(f"other{path.suffix}")
    write(other, sign)
    os.replace(other, path)
    os.utime(path, (1e9 + sign, 1e9 + sign))


@pytest.mark.parametrize("dtype", [None, "float32"])  # read into the slot, or read and cast
@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_of_a_replaced_file_does_not_end_well(tmp_path, kind, dtype):
    path = tmp_path / f"a{kind}"
    replace(path, KINDS[kind], 1)
    source = bs.open(path)
    with bs.Loader(source, batch_size=8, shuffle=False, memory="64 MiB", threads=1, dtype=dtype) as loader:
        assert sum(1 for _ in loader) == ROWS // 8
        with pytest.raises(bs.FileChanged, match=f"a{kind}.* has changed since it was opened"):
            for i, _ in enumerate(loader):
                if i == 0:
                    replace(path, KINDS[kind], -1)
        with pytest.raises(bs.FileChanged):
            next(iter(loader))
    with bs.Loader(bs.open(path), batch_size=8, shuffle=False, memory="64 MiB", dtype=dtype) as loader:
        assert all((batch["x"] < 0).all() for batch in loader)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_combinations_and_copies_notice_it_too(tmp_path, kind):
    path = tmp_path / f"a{kind}"
    replace(path, KINDS[kind], 1)
    source = bs.open(path)
    around = [source.subset([3, 1]), bs.chain([source, source]), bs.zip(a=source, b=source)]
    for each in around:
        each.check_unchanged()
    replace(path, KINDS[kind], -1)
    for each in around:
        with pytest.raises(bs.FileChanged):
            each.check_unchanged()
    path.unlink()
    with pytest.raises(bs.FileChanged):
        source.check_unchanged()
