"""What the cases load; made once a folder. Sources repeat few files many times, which spares disk and not memory."""

from __future__ import annotations

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


def one_large_npy(folder: Path) -> Path:
    """4,000 rows of (64, 64, 3) uint8 in one file: 47 MiB, 188 MiB as float32."""
    path = folder / "all.npy"
    if not path.exists():
        np.save(path, np.random.default_rng(0).integers(0, 256, (4000, 64, 64, 3), np.uint8))
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


def source(kind: str, folder: Path, rows: int) -> bs.Source:
    """Open so many rows of a kind, with labels of two classes."""
    if kind == "large npy":
        return bs.open(one_large_npy(folder), np.arange(4000) % 2)
    files = npys(folder) if kind == "npy" else jpegs(folder)
    chosen = [files[i % len(files)] for i in range(rows)]
    if kind.startswith("mixed"):
        large = large_jpegs(folder)[kind.removeprefix("mixed, ")]
        chosen[rows // 4 :: rows // 3] = [large] * len(chosen[rows // 4 :: rows // 3])
    return bs.open(chosen, np.arange(rows) % 2)
