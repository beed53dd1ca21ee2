"""What each kind does with rows that cannot be read, by the checks that other packages' sources have, too."""

import io
import tarfile

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.testing import check_bad_rows

ROWS = 24


def overwrite(path, place, data=b"damaged!"):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(data)


def images(folder):
    for i in range(ROWS):
        write_jpeg(folder / f"{i:02}.jpg", noise(20, 30, seed=i))
    (folder / "07.jpg").write_bytes((folder / "07.jpg").read_bytes()[:-40])
    return bs.open(folder), [7]


def arrays(folder):
    for i in range(ROWS):
        np.save(folder / f"{i:02}.npy", np.full((3, 4), float(i)))
    overwrite(folder / "03.npy", 0)
    (folder / "20.npy").write_bytes((folder / "20.npy").read_bytes()[:-1])
    return bs.open(folder), [3, 20]


def archives(folder):
    for i in range(ROWS):
        np.savez_compressed(folder / f"{i:02}.npz", x=np.random.default_rng(i).random((30, 4)))
    overwrite(folder / "11.npz", 400)
    return bs.open(folder), [11]


def table(folder):
    lines = ["path,label"]
    for i in range(ROWS):
        write_jpeg(folder / f"{i}.jpg", noise(20, 30, seed=i))
        lines.append(f"{i}.jpg,{'ab'[i % 2]}")
    (folder / "5.jpg").write_bytes(b"nothing")
    (folder / "table.csv").write_text("\n".join(lines))
    return bs.open(folder / "table.csv"), [5]


def tar(folder):
    with tarfile.open(folder / "a.tar", "w") as file:
        for i in range(ROWS):
            data = io.BytesIO()
            np.save(data, np.full((2, 5), i))
            member = tarfile.TarInfo(f"{i:02}.npy")
            member.size = len(data.getvalue())
            file.addfile(member, io.BytesIO(b"?" * member.size if i == 9 else data.getvalue()))
    return bs.open(folder / "a.tar"), [9]


def hdf5(folder):
    h5py = pytest.importorskip("h5py")
    x = np.random.default_rng(0).random((ROWS, 9))
    with h5py.File(folder / "a.h5", "w") as file:
        place = file.create_dataset("x", data=x, chunks=(6, 9), compression="gzip").id.get_chunk_info(2).byte_offset
    overwrite(folder / "a.h5", place + 20)
    return bs.open(folder / "a.h5"), range(12, 18)


def zarr(folder):
    zarr = pytest.importorskip("zarr")
    x = np.random.default_rng(0).random((ROWS, 9))
    zarr.create_array(folder / "a.zarr", data=x, chunks=(6, 9))
    (folder / "a.zarr" / "c" / "1" / "0").write_bytes(b"damaged")
    return bs.open(folder / "a.zarr"), range(6, 12)


def parquet(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = pa.table({"x": np.random.default_rng(0).random(ROWS)})
    pq.write_table(values, folder / "a.parquet", row_group_size=8, compression="none", use_dictionary=False)
    place = pq.ParquetFile(folder / "a.parquet").metadata.row_group(1).column(0).data_page_offset
    overwrite(folder / "a.parquet", place)
    return bs.open(folder / "a.parquet"), range(8, 16)


@pytest.mark.parametrize("kind", [images, arrays, archives, table, tar, hdf5, zarr, parquet])
def test_a_row_that_cannot_be_read_is_told_by_itself(tmp_path, kind):
    check_bad_rows(*kind(tmp_path))


def test_the_check_notices_a_source_that_takes_others_along(tmp_path):
    class Careless(bs.Source):
        def __init__(self):
            self.spec = {"x": bs.Field((), "f8")}

        def __len__(self):
            return 12

        def read(self, rows, into):
            if 3 in rows:
                raise bs.BadRows({i: bs.BadFile(f"row {row}") for i, row in enumerate(rows.tolist())})
            into["x"][...] = rows

        def _identity(self):
            return b"careless"

    with pytest.raises(AssertionError, match="were not read, although they are not bad"):
        check_bad_rows(Careless(), [3])
    with pytest.raises(AssertionError, match="a loop skipped rows"):
        check_bad_rows(bs.open(np.zeros(12)), [3])
