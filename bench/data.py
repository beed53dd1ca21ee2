"""The data of the cases, made once and kept: real photographs where there are some, else synthetic ones of their size."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "catsdogs"


def made(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Make a data set unless it is there, whole."""
    place = folder / name
    if not place.with_suffix(".done").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        print(f"making {place} ...", flush=True)
        make(place)
        place.with_suffix(".done").touch()
    return place


def photographs(place: Path) -> None:
    """2,000 photographs of about 500 x 375 in two classes: the largest of the shared ones, or synthetic ones."""
    if SHARED.is_dir():
        files = sorted(SHARED.glob("*/*.jpg"))
        # Those of 480 pixels and more in the longer side; the rest would not be "about 500 x 375".
        chosen = [file for file in files if max(Image.open(file).size) >= 480]
        for i in range(2000):
            file = chosen[i % len(chosen)]
            target = place / file.parent.name / f"{i:04}.jpg"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
        return
    for i in range(2000):
        target = place / ("cat", "dog")[i % 2] / f"{i:04}.jpg"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(_scene(375, 500, i)).save(target, quality=90)


def large_photographs(place: Path) -> None:
    """48 photographs of 4000 x 3000."""
    small = made(place.parent, "photographs", photographs)
    for i, file in enumerate(sorted(small.glob("*/*.jpg"))[::40][:48]):
        target = place / ("a", "b")[i % 2] / f"{i:03}.jpg"
        target.parent.mkdir(exist_ok=True)
        image = Image.open(file).convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
        grain = np.random.default_rng(i).normal(0, 6, (3000, 4000, 1))  # what a sensor adds, or the file would be tiny
        Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8)).save(target, quality=90)


def pngs(place: Path) -> None:
    """500 photographs of about 500 x 375 as PNG."""
    small = made(place.parent, "photographs", photographs)
    for i, file in enumerate(sorted(small.glob("*/*.jpg"))[::4][:500]):
        target = place / ("a", "b")[i % 2] / f"{i:03}.png"
        target.parent.mkdir(exist_ok=True)
        Image.open(file).convert("RGB").save(target)


def npy_files(dtype: str) -> Callable[[Path], None]:
    """3,000 files of (224, 224, 3)."""

    def make(place: Path) -> None:
        for i in range(3000):
            target = place / ("a", "b")[i % 2] / f"{i:04}.npy"
            target.parent.mkdir(exist_ok=True)
            np.save(target, _scene(224, 224, i).astype(dtype))

    return make


def one_npy(rows: int, shape: tuple[int, ...], dtype: str) -> Callable[[Path], None]:
    """One large array."""

    def make(place: Path) -> None:
        array = np.lib.format.open_memmap(place / "x.npy", "w+", dtype, (rows, *shape))
        random = np.random.default_rng(0)
        for start in range(0, rows, 1000):
            part = array[start : start + 1000]
            part[...] = (
                random.integers(0, 256, part.shape, np.uint8) if dtype == "uint8" else random.random(part.shape, np.float32)
            )
        array.flush()

    return make


def chunked(kind: str) -> Callable[[Path], None]:
    """6,000 pictures of (128, 128, 3) with labels, in compressed chunks of 16 as each format's defaults have it."""

    def make(place: Path) -> None:
        x = np.stack([_scene(128, 128, i) for i in range(6000)])
        y = np.arange(6000) % 10
        if kind == "hdf5":
            import h5py

            with h5py.File(place / "data.h5", "w") as file:
                file.create_dataset("x", data=x, chunks=(16, *x.shape[1:]), compression="gzip")
                file["y"] = y
        elif kind == "zarr":
            import zarr

            group = zarr.create_group(place / "data.zarr")
            group.create_array("x", data=x, chunks=(16, *x.shape[1:]))
            group.create_array("y", data=y)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            rows = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x[0].size)
            pq.write_table(pa.table({"x": rows, "y": y}), place / "data.parquet", row_group_size=64)

    return make


def small_files(count: int) -> Callable[[Path], None]:
    """Many small JPEGs in ten classes."""

    def make(place: Path) -> None:
        import simplejpeg

        data = [simplejpeg.encode_jpeg(np.ascontiguousarray(_scene(96, 128, i))) for i in range(20)]
        for i in range(count):
            target = place / f"{i % 10}" / f"{i:06}.jpg"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data[i % 20])

    return make


def empty_files(place: Path) -> None:
    """1,200,000 empty files in 1,000 folders: names are all that is looked at."""
    for folder in range(1000):
        (place / f"class{folder:03}").mkdir()
        for i in range(1200):
            (place / f"class{folder:03}" / f"IMG_{i:05}.jpg").touch()


def _scene(height: int, width: int, seed: int) -> np.ndarray:
    """Draw smooth shapes with some noise, which compress about as photographs do."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (height // 24 + 2, width // 24 + 2, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    return (smooth + random.normal(0, 5, (height, width, 1))).clip(0, 255).astype(np.uint8)
