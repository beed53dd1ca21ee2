"""What the cases load; made once a folder. Sources repeat few files many times, which spares disk and not memory."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

import bitesize as bs
from tests.conftest import noise

LARGE = (8660, 5774)  # 50 megapixels


def jpegs(folder: Path) -> list[Path]:
    """Forty photographs of about 500 x 375."""
    paths = [folder / f"photo{i}.jpg" for i in range(40)]
    for i, path in enumerate(paths):
        if not path.exists():
            Image.fromarray(noise(360 + 3 * i, 540 - 5 * i, seed=i)).save(path, "JPEG", quality=90)
    return paths


def large_jpegs(folder: Path) -> dict[str, Path]:
    """One image of 50 megapixels as a baseline and as a progressive JPEG."""
    paths = {"baseline": folder / "large.jpg", "progressive": folder / "large-progressive.jpg"}
    for kind, path in paths.items():
        if not path.exists():
            Image.fromarray(noise(LARGE[1], LARGE[0])).save(path, "JPEG", quality=60, progressive=kind == "progressive")
    return paths


def npys(folder: Path) -> list[Path]:
    """Twenty arrays of (112, 112, 3) float64."""
    paths = [folder / f"array{i}.npy" for i in range(20)]
    for i, path in enumerate(paths):
        if not path.exists():
            np.save(path, np.random.default_rng(i).random((112, 112, 3)))
    return paths


def volumes(folder: Path) -> list[Path]:
    """Ten arrays of (64, 96, 96) int16."""
    paths = [folder / f"volume{i}.npy" for i in range(10)]
    for i, path in enumerate(paths):
        if not path.exists():
            np.save(path, np.random.default_rng(i).integers(-1000, 3000, (64, 96, 96), np.int16))
    return paths


def one_large_npy(folder: Path) -> Path:
    """4,000 rows of (64, 64, 3) uint8 in one file: 47 MiB, 188 MiB as float32."""
    path = folder / "all.npy"
    if not path.exists():
        np.save(path, np.random.default_rng(0).integers(0, 256, (4000, 64, 64, 3), np.uint8))
    return path


def one_npy_of_small_rows(folder: Path) -> Path:
    """16,000 rows of (32, 32, 3) uint8 in one file: 47 MiB, 188 MiB as float32."""
    path = folder / "small.npy"
    if not path.exists():
        np.save(path, np.random.default_rng(0).integers(0, 256, (16_000, 32, 32, 3), np.uint8))
    return path


def one_part(folder: Path) -> Path:
    """1,000 rows of (224, 224, 3) float64, 1.1 GiB: nine of them are the array that NumPy could not allocate."""
    path = folder / "part.npy"
    if not path.exists():
        rows = np.lib.format.open_memmap(path, "w+", np.float64, (1000, 224, 224, 3))
        for i in range(len(rows)):  # row by row: the process that is measured makes it
            rows[i] = np.random.default_rng(i).random(rows.shape[1:])
        rows.flush()
    return path


def chunked(kind: str, folder: Path) -> bs.Source:
    """16,000 rows of (64, 64, 3) uint8 in compressed chunks: 188 MiB, 750 MiB as float32."""
    path, rows, chunk = folder / f"chunked.{kind.replace('hdf5', 'h5')}", 16_000, 64

    def part(i: int) -> np.ndarray:
        """Make rows that compress a little."""
        return np.random.default_rng(i).integers(0, 64, (chunk, 64, 64, 3), np.uint8)

    if not path.exists() and kind == "npz":
        np.savez_compressed(path, x=np.concatenate([part(i) for i in range(rows // chunk)]), y=np.arange(rows) % 2)
    if not path.exists() and kind == "hdf5":
        import h5py

        with h5py.File(path, "w") as file:
            x = file.create_dataset(
                "x", (rows, 64, 64, 3), "u1", chunks=(chunk, 64, 64, 3), compression="gzip", compression_opts=1
            )
            for i in range(rows // chunk):
                x[i * chunk : (i + 1) * chunk] = part(i)
            file["y"] = np.arange(rows) % 2
    if not path.exists() and kind == "zarr":
        import zarr

        group = zarr.open_group(path, mode="w")
        x = group.create_array("x", shape=(rows, 64, 64, 3), dtype="u1", chunks=(chunk, 64, 64, 3))
        for i in range(rows // chunk):
            x[i * chunk : (i + 1) * chunk] = part(i)
        group.create_array("y", data=np.arange(rows) % 2)
    if not path.exists() and kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = pa.schema([("x", pa.list_(pa.uint8(), 64 * 64 * 3)), ("y", pa.int64())])
        with pq.ParquetWriter(path, fields) as writer:
            for i in range(rows // chunk):
                x = pa.FixedSizeListArray.from_arrays(pa.array(part(i).ravel()), 64 * 64 * 3)
                writer.write_table(pa.table({"x": x, "y": np.arange(chunk) % 2}, schema=fields), row_group_size=32)
    return bs.open(path)


def tar(folder: Path, rows: int) -> bs.Source:
    """Photographs and their classes, as WebDataset stores them."""
    path = folder / "photos.tar"
    if not path.exists():
        files = jpegs(folder)
        with tarfile.open(path, "w") as shard:
            for i in range(rows):
                shard.add(files[i % len(files)], f"{i:06}.jpg")
                member = tarfile.TarInfo(f"{i:06}.cls")
                member.size = 1
                shard.addfile(member, io.BytesIO(b"%d" % (i % 2)))
    return bs.open(path)


def files_of(kind: str, folder: Path) -> list[Path]:
    """Return the files of a kind, made if they are not there."""
    if kind == "large npy":
        return [one_large_npy(folder)]
    return npys(folder) if kind == "npy" else jpegs(folder)


def at_addresses(kind: str, folder: Path, rows: int) -> bs.Source:
    """Open the same files in the bucket whose address and options the parent process has set."""
    options = json.loads(os.environ["BITESIZE_TEST_BUCKET"])
    addresses = [f"{options['address']}/{file.name}" for file in files_of(kind, folder)]
    settings = {"storage_options": options["options"]}
    if kind == "large npy":
        data = bs.open(addresses[0], np.arange(4000) % 2, **settings)
        return data if rows == 4000 else data.subset(np.arange(rows) % 4000)
    return bs.open([addresses[i % len(addresses)] for i in range(rows)], np.arange(rows) % 2, **settings)


def source(kind: str, folder: Path, rows: int) -> bs.Source:
    """Open so many rows of a kind, with labels of two classes."""
    if kind == "small rows":
        return bs.open(one_npy_of_small_rows(folder), np.arange(16_000) % 2)
    if kind == "large npy":
        return bs.open(one_large_npy(folder), np.arange(4000) % 2)
    if kind == "volumes":
        files = volumes(folder)
        return bs.open([files[i % len(files)] for i in range(rows)], np.arange(rows) % 2, axes="DHW")
    if kind in ("npz", "hdf5", "zarr", "parquet"):
        data = chunked(kind, folder)
        return data if rows == len(data) else data.subset(range(rows))
    if kind == "tar":
        return tar(folder, 6000) if rows == 6000 else tar(folder, 6000).subset(range(rows))
    if kind.startswith("remote"):
        return at_addresses(kind.removeprefix("remote "), folder, rows)
    files = npys(folder) if kind == "npy" else jpegs(folder)
    chosen = [files[i % len(files)] for i in range(rows)]
    if kind.startswith("mixed"):
        large = large_jpegs(folder)[kind.removeprefix("mixed, ")]
        chosen[rows // 4 :: rows // 3] = [large] * len(chosen[rows // 4 :: rows // 3])
    return bs.open(chosen, np.arange(rows) % 2)
