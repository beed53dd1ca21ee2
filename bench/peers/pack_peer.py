"""Packing of a folder of photographs, against a copy of it; and loading of what was packed."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitesize as bs
from bench.cases import Case
from bench.peers.bitesize_peer import Loads, _loads


def _timed(folder: Path, write: Callable[[Path], int], how: str) -> Loads:
    """Write to a new folder beside the data, and remove it; removing is not measured."""

    def load() -> tuple[int, float]:
        with tempfile.TemporaryDirectory(dir=folder.parent) as target:
            begun = time.perf_counter()
            rows = write(Path(target) / "out")
            return rows, time.perf_counter() - begun

    return load, how


def copied(case: Case, folder: Path) -> Loads:
    """`cp -r`, and fsync of each copy."""

    def write(target: Path) -> int:
        subprocess.run(["cp", "-r", str(folder), str(target)], check=True)
        rows = 0
        for path in target.rglob("*"):
            if path.is_file():
                rows += 1
                fd = os.open(path, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
        return rows

    return _timed(folder, write, "cp -r, and os.fsync of each copy")


def _packed(folder: Path, **settings: Any) -> Loads:
    source = bs.open(folder)
    shown = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return _timed(
        folder, lambda out: sum(bs.pack(source, out, memory="1 GiB", **settings).rows.values()), f"bs.pack({shown})"
    )


def as_bytes(case: Case, folder: Path) -> Loads:
    """Files unchanged."""
    return _packed(folder, kind="bytes")


def as_pixels(case: Case, folder: Path) -> Loads:
    """Resized pixels."""
    return _packed(folder, transforms=[bs.Resize(256)])


def _loaded(case: Case, folder: Path, **settings: Any) -> Loads:
    kept = tempfile.mkdtemp(dir=folder.parent)
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    bs.pack(bs.open(folder), Path(kept) / "packed", memory="1 GiB", **settings)
    return _loads(bs.open(Path(kept) / "packed"), case, [bs.RandomResizedCrop(case["size"]), bs.Flip(), bs.Scale(1 / 255)])


def from_files(case: Case, folder: Path) -> Loads:
    """The folder itself."""
    return _loads(bs.open(folder), case, [bs.RandomResizedCrop(case["size"]), bs.Flip(), bs.Scale(1 / 255)])


def from_bytes(case: Case, folder: Path) -> Loads:
    """A store of files."""
    return _loaded(case, folder, kind="bytes")


def from_pixels(case: Case, folder: Path) -> Loads:
    """A store of pixels of one shape."""
    return _loaded(case, folder, transforms=[bs.Resize(256)])


def from_varying_pixels(case: Case, folder: Path) -> Loads:
    """A store of pixels of varying shape."""
    return _loaded(case, folder, max_side=256)
