"""FFCV (https://docs.ffcv.io) with two workers: pixels written unencoded to its own file, which the system's cache holds (``os_cache=True``).

It resizes with OpenCV's INTER_AREA, to whole levels, and normalizes by a table of 256 values.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ffcv.fields import RGBImageField
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
from ffcv.writer import DatasetWriter

from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]


class _Rows:
    """The rows of an array, as tuples of fields."""

    def __init__(self, path: Path) -> None:
        self.x = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[np.ndarray]:
        return (np.asarray(self.x[i]),)


def _written(folder: Path) -> Path:
    """Write the rows as FFCV's file, unless it is there."""
    target = folder.parent / f"{folder.name}.beton"
    if not target.exists():
        part = target.with_suffix(".part")
        DatasetWriter(str(part), {"image": RGBImageField(write_mode="raw")}, num_workers=2).from_indexed_dataset(
            _Rows(folder / "x.npy")
        )
        part.rename(target)
    return target


def _loads(case: Case, folder: Path, decode: Any, *augment: Any) -> Loads:
    normalize = NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float32)
    with contextlib.redirect_stdout(None):
        loader = Loader(
            str(_written(folder)), batch_size=case.batch, num_workers=2, order=OrderOption.RANDOM, os_cache=True, drop_last=True,
            pipelines={"image": [decode, *augment, normalize, ToTensor(), ToTorchImage()]},
        )  # fmt: skip

    def load() -> Iterator[int]:
        for (x,) in loader:
            yield len(x)

    steps = ", ".join(type(step).__name__ for step in (decode, *augment, normalize))
    return load, f"Loader(batch_size={case.batch}, num_workers=2, order=RANDOM, os_cache=True); raw, {steps}"


def random_crop(case: Case, folder: Path) -> Loads:
    """Crop at random, resize, flip, and normalize."""
    size = case["size"]
    return _loads(case, folder, RandomResizedCropRGBImageDecoder((size, size)), RandomHorizontalFlip())


def center_crop(case: Case, folder: Path) -> Loads:
    """Crop the center without resizing, and normalize."""
    size = case["size"]
    return _loads(case, folder, CenterCropRGBImageDecoder((size, size), ratio=size / case["side"]))


def resize(case: Case, folder: Path) -> Loads:
    """Resize the whole image, and normalize."""
    size = case["size"]
    return _loads(case, folder, CenterCropRGBImageDecoder((size, size), ratio=1))
