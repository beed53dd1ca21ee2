"""The loops of the tutorials."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]


def jpeg(case: Case, folder: Path) -> Loads:
    """Open, resize, stack, divide."""
    from PIL import Image

    files, side = sorted(folder.glob("*/*.jpg")), case["size"]

    def load() -> Iterator[int]:
        random.shuffle(files)
        for start in range(0, len(files) - case.batch + 1, case.batch):
            images = [
                np.array(Image.open(file).convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
                for file in files[start : start + case.batch]
            ]
            x = (np.array(images, dtype=np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
            yield len(x)

    return load, "np.array([np.array(Image.open(p).resize(...)) for p in batch], float32) / 255"


def npy_files(case: Case, folder: Path) -> Loads:
    """Load, stack, cast."""
    files = sorted(folder.glob("*/*.npy"))

    def load() -> Iterator[int]:
        random.shuffle(files)
        for start in range(0, len(files) - case.batch + 1, case.batch):
            x = np.array([np.load(file) for file in files[start : start + case.batch]], dtype=np.float32)
            if case["scale"]:
                x *= np.float32(case["scale"])
            yield len(x)

    return load, "np.array([np.load(p) for p in batch], dtype=float32)"


def memmap(case: Case, folder: Path) -> Loads:
    """Index a memory-mapped array by the rows of a batch."""
    x = np.load(folder / "x.npy", mmap_mode="r")
    return _indexed(case, x, None), "np.load(mmap_mode='r')[rows].astype(float32) * scale"


def array(case: Case, folder: Path) -> Loads:
    """Index an array and labels in memory by the rows of a batch."""
    x = np.load(folder / "x.npy")
    return _indexed(case, x, np.arange(len(x)) % 10), "x[rows].astype(float32, copy=False) * scale, y[rows]"


def _indexed(case: Case, x: Any, y: Any) -> Callable[[], Iterator[int]]:
    order = np.random.default_rng(0)

    def load() -> Iterator[int]:
        shuffled = order.permutation(len(x))
        for start in range(0, len(x) - case.batch + 1, case.batch):
            rows = shuffled[start : start + case.batch]
            batch = x[rows].astype(np.float32, copy=False)
            if case["scale"]:
                batch *= np.float32(case["scale"])
            labels = None if y is None else y[rows]
            assert labels is None or len(labels) == len(batch)
            yield len(batch)

    return load


def memmap_center_crop(case: Case, folder: Path) -> Loads:
    """Index a memory-mapped array by the rows of a batch, cut out the center, and normalize."""
    x = np.load(folder / "x.npy", mmap_mode="r")
    order = np.random.default_rng(0)
    mean, std = (255 * np.array(numbers, np.float32) for numbers in (MEAN, STD))
    begin = (case["side"] - case["size"]) // 2
    center = slice(begin, begin + case["size"])

    def load() -> Iterator[int]:
        shuffled = order.permutation(len(x))
        for start in range(0, len(x) - case.batch + 1, case.batch):
            batch = x[shuffled[start : start + case.batch], center, center].astype(np.float32)
            batch -= mean
            batch /= std
            yield len(batch)

    return load, "(np.load(mmap_mode='r')[rows, center, center].astype(float32) - mean) / std"
