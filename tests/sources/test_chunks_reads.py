"""Shuffled by windows, each chunk is read about once an epoch: counted, on one rank and on four."""

import importlib
from collections import Counter

import numpy as np
import pytest

import bitesize as bs

ROWS, CHUNK = 3200, 25
CHUNKS = ROWS // CHUNK
X = np.arange(ROWS * 16, dtype=np.int32).reshape(ROWS, 16)


def _hdf5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(CHUNK, 16), compression="gzip")
    return folder / "a.h5"


def _hdf5_by_its_library(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "b.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(CHUNK, 16), compression="lzf")
    return folder / "b.h5"


def _zarr(folder):
    zarr = pytest.importorskip("zarr")
    zarr.open_group(folder / "a.zarr", mode="w").create_array("x", shape=X.shape, dtype=X.dtype, chunks=(CHUNK, 16))[:] = X
    return folder / "a.zarr"


def _parquet(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 16)})
    pq.write_table(table, folder / "a.parquet", row_group_size=CHUNK)
    return folder / "a.parquet"


# What reads a chunk, and which of its arguments tells the chunk.
KINDS = {
    "hdf5": (_hdf5, "hdf5", "ChunkedDataset", "_load", lambda at, *_: at[0]),
    "hdf5 by h5py": (_hdf5_by_its_library, "hdf5", "Dataset", "read", lambda start, *_: start // CHUNK),
    "zarr": (_zarr, "zarr", "ChunkedArray", "_load", lambda at, *_: at[0]),
    "parquet": (_parquet, "parquet", "Parquet", "_read_part", lambda number: number),
}


@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_each_chunk_is_read_about_once_an_epoch(tmp_path, monkeypatch, kind, ranks):
    write, module, cls, method, chunk_of = KINDS[kind]
    source = bs.open(write(tmp_path))
    reads: Counter[int] = Counter()
    reader = getattr(importlib.import_module(f"bitesize.sources.{module}"), cls)
    plain = getattr(reader, method)

    def counted(self, *where):
        """Count what is read, and read it."""
        reads[chunk_of(*where)] += 1
        return plain(self, *where)

    monkeypatch.setattr(reader, method, counted)
    seen = []
    for rank in range(ranks):
        shard = bs.Shard(rank, ranks)
        order = bs.Order(ROWS, seed=1, window=400)
        with bs.Loader(source, batch_size=32, order=order, shard=shard, threads=2, memory="64 MiB") as loader:
            for batch in loader:
                assert np.array_equal(batch["x"], X[batch.rows])
                seen += batch.rows[batch.mask].tolist()
    assert sorted(seen) == list(range(ROWS))
    assert set(reads) == set(range(CHUNKS))
    # Beside one read of each: what is read ahead of the next epoch, and chunks that two ranks share where their parts meet.
    assert sum(reads.values()) <= CHUNKS * 1.25 + 4 * (ranks - 1)
