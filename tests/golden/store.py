"""Golden stores: tiny packed stores of every kind of field, which must open for ever. ``python -m tests.golden.store`` writes those that are missing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import bitesize as bs

STORES = Path(__file__).parent / "v1-store"
ROWS = 5


def images(folder: Path) -> Path:
    """Write images of varying size, losslessly, in two classes."""
    draw = np.random.default_rng(0)
    for i in range(ROWS):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (2 + i, 3, 3), np.uint8)).save(path)
    return folder


def arrays() -> dict[str, object]:
    """Return arrays of several dtypes, text labels, and weights."""
    return {
        "x": np.arange(ROWS * 4, dtype=np.float32).reshape(ROWS, 2, 2),
        "Size (mm)": np.arange(ROWS, dtype=np.int16),
        "y": ["b", "a", "b", "a", "a"],
        "weight": np.linspace(0, 1, ROWS),
    }


def record() -> None:
    """Write each store that is missing."""
    STORES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        made = bs.open(images(Path(temporary) / "images"))
        for kind in ("bytes", "pixels"):
            if not (STORES / kind).exists():
                bs.pack(made, STORES / kind, kind=kind, memory="64 MiB", shard_size=100)
        if not (STORES / "splits").exists():
            whole = bs.open(arrays())
            bs.pack({"train": whole.subset(range(3)), "val": whole.subset([3, 4])}, STORES / "splits", memory="64 MiB")
        if not (STORES / "resized").exists():
            bs.pack(made, STORES / "resized", transforms=[bs.Resize((2, 3), interpolation="nearest")], memory="64 MiB")


if __name__ == "__main__":
    record()
