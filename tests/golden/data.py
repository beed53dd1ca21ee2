"""Data of every kind, the same on every machine: from committed files, or from numbers of a seeded generator."""

from __future__ import annotations

import csv
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bitesize as bs

HERE = Path(__file__).parent / "v1"
# What changed since, entry by entry: the last bits of images that are resampled, since sums have one order wherever a pixel lies.
LATER = Path(__file__).parent / "v2"
ROWS = 24
_WRITTEN = 1_700_000_000_000_000_000
Make = Callable[[Path], bs.Source]


def numbers(*shape: int, dtype: str = "uint8", seed: int = 0) -> Any:
    """Return random whole numbers from 0 to 255."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


def labels() -> Any:
    """Return classes 0, 1, 2, 0, ..."""
    return np.arange(ROWS) % 3


def photos() -> list[Path]:
    """Return the committed photographs: eight JPEGs of several sizes, one of them gray."""
    return sorted((HERE / "inputs").glob("*.jpg"))


def photo_bytes() -> list[bytes]:
    """Return the bytes of `ROWS` photographs."""
    files = [path.read_bytes() for path in photos()]
    return [files[i % len(files)] for i in range(ROWS)]


def class_folders(folder: Path) -> Path:
    """Write the photographs into two class folders."""
    for i, data in enumerate(photo_bytes()):
        path = folder / ("cat", "dog")[i % 2] / f"{i:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def npy_folders(folder: Path) -> Path:
    """Write an array a row into two class folders."""
    for i, row in enumerate(numbers(ROWS, 6, 5, 3, dtype="float64")):
        path = folder / ("cat", "dog")[i % 2] / f"{i:02}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, row)
    return folder


def _npy(folder: Path) -> bs.Source:
    np.save(folder / "x.npy", numbers(ROWS, 6, 5, 3))
    return bs.open(folder / "x.npy", labels=labels())


def _npz(folder: Path) -> bs.Source:
    np.savez(folder / "stored.npz", x=numbers(ROWS, 4, 3), y=labels())
    return bs.open(folder / "stored.npz")


def _npz_deflated(folder: Path) -> bs.Source:
    np.savez_compressed(folder / "deflated.npz", x=numbers(ROWS, 4, 3), y=labels())
    return bs.open(folder / "deflated.npz")


def _npz_files(folder: Path) -> bs.Source:
    for i in range(ROWS):
        np.savez(folder / f"{i:02}.npz", x=numbers(4, 3, seed=i), y=np.int64(i % 3))
    return bs.open(folder, file_is_row=True)


def _hdf5(folder: Path) -> bs.Source:
    import h5py

    with h5py.File(folder / "data.h5", "w") as file:
        file.create_dataset("images", data=numbers(ROWS, 6, 5, 3), chunks=(4, 6, 5, 3), compression="gzip")
        file["labels"] = labels()
    return bs.open(folder / "data.h5")


def _zarr(folder: Path) -> bs.Source:
    import zarr

    group = zarr.open_group(folder / "data.zarr", mode="w")
    group.create_array("x", data=numbers(ROWS, 6, 5, 3), chunks=(4, 6, 5, 3))
    group.create_array("y", data=labels(), chunks=(4,))
    return bs.open(folder / "data.zarr")


def _table_of(folder: Path, suffix: str) -> Path:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    table = pa.table({"a": numbers(ROWS, dtype="float32"), "b": numbers(ROWS, dtype="float32", seed=1), "label": labels()})
    path = folder / f"data.{suffix}"
    if suffix == "parquet":
        pa.parquet.write_table(table, path, row_group_size=5)
    else:
        pa.feather.write_feather(table, path, chunksize=5)
    return path


def _parquet_images(folder: Path) -> bs.Source:
    import pyarrow as pa
    import pyarrow.parquet

    path = folder / "images.parquet"
    pa.parquet.write_table(pa.table({"image": photo_bytes(), "label": labels()}), path, row_group_size=5)
    return bs.open(path, labels="label")


def _frame(folder: Path) -> bs.Source:
    import pandas as pd

    return bs.open(pd.DataFrame({"a": numbers(ROWS, dtype="float64"), "label": labels()}), labels="label")


def _csv_of_paths(folder: Path) -> bs.Source:
    root = class_folders(folder / "photos")
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows([path.relative_to(root).as_posix(), path.parent.name] for path in sorted(root.glob("*/*.jpg")))
    return bs.open(root / "labels.csv")


def _csv_of_numbers(folder: Path) -> bs.Source:
    with (folder / "numbers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "label"])
        writer.writerows(zip(numbers(ROWS).tolist(), numbers(ROWS, seed=1).tolist(), labels().tolist(), strict=True))
    return bs.open(folder / "numbers.csv", labels="label")


def write_tar(path: Path) -> Path:
    """Write the photographs and their classes as a WebDataset shard, the same bytes each time."""
    import io

    with tarfile.open(path, "w") as tar:
        for i, image in enumerate(photo_bytes()):
            for suffix, data in (("jpg", image), ("cls", b"%d" % (i % 2))):
                member = tarfile.TarInfo(f"{i:04}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    os.utime(path, ns=(_WRITTEN, _WRITTEN))  # its index knows it by size and time
    return path


def _masks(folder: Path) -> bs.Source:
    from PIL import Image

    for i in range(ROWS):
        for name, pixels in (("images", numbers(12, 16, 3, seed=i)), ("masks", numbers(12, 16, seed=i) // 64)):
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{i:02}.png")
    return bs.open(folder / "images", labels=folder / "masks")


class MapStyle:
    """A dataset with ``__len__`` and ``__getitem__``, as PyTorch has them."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return numbers(4, dtype="float32", seed=row), row % 3


def arrays() -> bs.Source:
    """Return images in memory: (24, 12, 16, 3) uint8, and three classes."""
    return bs.open(numbers(ROWS, 12, 16, 3), labels=labels())


def _sparse(folder: Path) -> bs.Source:
    import scipy.sparse

    return bs.open(scipy.sparse.csr_matrix(numbers(ROWS, 9, dtype="float64") // 200), labels=labels())


SOURCES: dict[str, Make] = {
    "images in class folders": lambda folder: bs.open(class_folders(folder)),
    "npy files in class folders": lambda folder: bs.open(npy_folders(folder)),
    "one npy file": _npy,
    "npz": _npz,
    "npz, deflated": _npz_deflated,
    "npz files, one a row": _npz_files,
    "hdf5": _hdf5,
    "zarr": _zarr,
    "parquet": lambda folder: bs.open(_table_of(folder, "parquet"), labels="label"),
    "parquet of images": _parquet_images,
    "feather": lambda folder: bs.open(_table_of(folder, "feather"), labels="label"),
    "data frame": _frame,
    "table of paths": _csv_of_paths,
    "table of numbers": _csv_of_numbers,
    "tar": lambda folder: bs.open(write_tar(folder / "shard.tar")),
    "images with masks": _masks,
    "map-style dataset": lambda folder: bs.open(MapStyle()),
    "arrays": lambda folder: arrays(),
    "sparse matrix": _sparse,
    "lazy array": lambda folder: bs.open(bs.concatenate([numbers(10, 4, 3), numbers(14, 4, 3, seed=1)]), labels=labels()),
    "subset": lambda folder: arrays().subset([3, 1, 20, 7, 7]),
    "part of a split": lambda folder: arrays().split(0.75, seed=5)[0],
    "zip": lambda folder: bs.zip(a=bs.open(numbers(ROWS, 4)), b=bs.open(numbers(ROWS, 3, dtype="float32"))),
    "chain": lambda folder: bs.chain([arrays(), arrays()]),
    "mix": lambda folder: bs.mix([arrays().subset(range(10)), arrays()], [0.25, 0.75]),
}


def each_source(folder: Path) -> Iterator[tuple[str, bs.Source]]:
    """Open every kind of data, each in a folder of its own."""
    for i, (name, make) in enumerate(SOURCES.items()):
        home = folder / f"source-{i}"
        home.mkdir()
        yield name, make(home)
