"""Files of chunks: read one after the other as their libraries' documentation does it, and shuffled by bitesize."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import Case

Loads = tuple[Callable[[], Any], str]


def ours(case: Case, folder: Path) -> Loads:
    """Shuffled in windows, as a Loader does it by itself."""
    import bitesize as bs
    from bench.peers.bitesize_peer import _loads

    return _loads(bs.open(folder / case["file"]), case, [])


def ours_in_order(case: Case, folder: Path) -> Loads:
    """Not shuffled."""
    import bitesize as bs
    from bench.peers.bitesize_peer import _loads

    return _loads(bs.open(folder / case["file"]), case, [], shuffle=False)


def h5py_loop(case: Case, folder: Path) -> Loads:
    """Slices of a dataset."""
    import h5py

    file = h5py.File(folder / case["file"])

    def load() -> Iterator[int]:
        x, y = file["x"], file["y"]
        for start in range(0, len(x) - case.batch + 1, case.batch):
            images, labels = x[start : start + case.batch], y[start : start + case.batch]
            assert len(labels) == len(images)
            yield len(images)

    return load, f"file['x'][i : i + {case.batch}]"


def zarr_loop(case: Case, folder: Path) -> Loads:
    """Slices of an array."""
    import zarr

    group = zarr.open_group(folder / case["file"], mode="r")

    def load() -> Iterator[int]:
        x, y = group["x"], group["y"]
        for start in range(0, x.shape[0] - case.batch + 1, case.batch):
            images, labels = x[start : start + case.batch], y[start : start + case.batch]
            assert len(labels) == len(images)
            yield len(images)

    return load, f"group['x'][i : i + {case.batch}]"


def pyarrow_loop(case: Case, folder: Path) -> Loads:
    """Batches of a Parquet file, as NumPy arrays."""
    import pyarrow.parquet as pq

    def load() -> Iterator[int]:
        with pq.ParquetFile(folder / case["file"]) as file:
            for batch in file.iter_batches(batch_size=case.batch):
                images = np.asarray(batch.column("x").flatten()).reshape(batch.num_rows, *case["shape"])
                labels = np.asarray(batch.column("y"))
                assert len(labels) == len(images)
                yield len(images)

    return load, f"ParquetFile.iter_batches({case.batch})"
