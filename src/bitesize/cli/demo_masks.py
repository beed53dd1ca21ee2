"""Generate the data of the demos of masks and volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_SIDE, _DEPTH = 48, 16


def write_masks(folder: Path, count: int = 240) -> None:
    """Write pictures of disks in warm and squares in cold colors on noise, and masks with 1 for a disk and 2 for a square."""
    from PIL import Image

    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    for index in range(count):
        random = np.random.default_rng((2, index))
        image, mask = random.normal(70, 14, (_SIDE, _SIDE, 3)), np.zeros((_SIDE, _SIDE), np.uint8)
        for number in random.permutation((1, 2)).tolist():
            down, right = np.abs(y - random.uniform(10, 38)), np.abs(x - random.uniform(10, 38))
            distance = np.hypot(down, right) if number == 1 else np.maximum(down, right) * 1.13  # the same area for both
            inside = distance < random.uniform(7, 11)
            color = random.uniform((150, 60, 20), (250, 160, 90))[:: 1 if number == 1 else -1]
            image[inside] = color + random.normal(0, 14, (int(inside.sum()), 3))
            mask[inside] = number
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / "images" / f"{index:04}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index:04}.png")


def write_volumes(folder: Path, count: int = 400) -> None:
    """Write `.npy` volumes of (16, 16, 16) uint8 with a ball or a cube of the same size in noise, into one folder per class."""
    z, y, x = np.mgrid[:_DEPTH, :_DEPTH, :_DEPTH]
    for index in range(count):
        random, name = np.random.default_rng((3, index)), ("ball", "cube")[index % 2]
        apart = [np.abs(axis - random.uniform(5.5, 9.5)) for axis in (z, y, x)]
        distance = np.sqrt(sum(each**2 for each in apart)) if name == "ball" else np.maximum.reduce(apart) * 1.24
        volume = random.normal(80, 12, z.shape)
        volume[distance < random.uniform(4.5, 6)] += 70
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.save(folder / name / f"{index:04}.npy", np.clip(volume, 0, 255).astype(np.uint8))
