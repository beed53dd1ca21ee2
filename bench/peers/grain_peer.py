"""Grain (https://google-grain.readthedocs.io): a MapDataset read by threads, which here beat its worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np

from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]
_THREADS = 2


class _Rows:
    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: Any) -> Any:
        return self.rows[i]


def _loads(rows: Any, case: Case, read: Callable[[Any], Any], what: str) -> Loads:
    epoch = [0]

    def load() -> Iterator[int]:
        epoch[0] += 1
        data = grain.MapDataset.source(_Rows(rows)).seed(epoch[0]).shuffle().map(read)
        batches = data.batch(case.batch, drop_remainder=True).to_iter_dataset(
            grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=2)
        )
        yield from (len(x) for x in batches)

    return load, f"MapDataset.shuffle().map({what}).batch().to_iter_dataset(ReadOptions(num_threads={_THREADS}))"


def jpeg(case: Case, folder: Path) -> Loads:
    """Decode and resize with OpenCV's area filter, which antialiases."""
    import cv2

    cv2.setNumThreads(1)
    side, mean, std = case["size"], np.float32(MEAN) * 255, np.float32(STD) * 255

    def read(file: Path) -> Any:
        image = cv2.resize(cv2.imread(str(file)), (side, side), interpolation=cv2.INTER_AREA)
        return (cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) - mean) / std

    return _loads(sorted(folder.glob("*/*.jpg")), case, read, "cv2.imread, resize(INTER_AREA)")


def npy_files(case: Case, folder: Path) -> Loads:
    """np.load a file."""

    def read(file: Path) -> Any:
        x = np.load(file).astype(np.float32)
        return x * np.float32(case["scale"]) if case["scale"] else x

    return _loads(sorted(folder.glob("*/*.npy")), case, read, "np.load, astype(float32)")


def memmap(case: Case, folder: Path) -> Loads:
    """Rows of a memory-mapped array."""

    def read(row: Any) -> Any:
        x = row.astype(np.float32)
        return x * np.float32(case["scale"]) if case["scale"] else x

    return _loads(np.load(folder / "x.npy", mmap_mode="r"), case, read, "np.load(mmap_mode='r')[i].astype(float32)")
