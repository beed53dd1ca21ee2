"""Good files that fuzzing begins with, made here, so that the corpus in the project holds only what was found."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from bitesize.files.tar_index import SUFFIX, tar_index
from bitesize.training.snapshot import write_snapshot
from tests.fuzz.targets import _TAR
from tests.hostile.arrays import hostile_npy, hostile_npz
from tests.hostile.images import whole_images


def seeds(target: str) -> list[bytes]:
    """Give good files of a kind, and some odd ones."""
    random = np.random.default_rng(0)
    if target == "npy":
        return [_npy(np.asarray(array, order=order)) for array in (np.eye(3), np.zeros((2, 3), ">i2")) for order in "CF"] + [
            hostile_npy(random) for _ in range(40)
        ]
    if target == "npz":
        return [_npz(method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)] + [
            each for each in (hostile_npz(random) for _ in range(20)) if len(each) < 4096
        ]
    if target == "image":
        return list(whole_images())
    if target == "tar":
        return [_TAR]
    with tempfile.TemporaryDirectory() as folder:
        if target == "tar_index":
            path = Path(folder) / "a.tar"
            path.write_bytes(_TAR)
            tar_index(str(path))
            return [Path(str(path) + SUFFIX).read_bytes()]
        path = Path(folder) / "a.npz"
        write_snapshot(path, {"epoch": 1, "batch": 2}, {"w": np.eye(2), "b": np.zeros(3, np.float32)})
        return [path.read_bytes()]


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def _npz(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", _npy(np.arange(6.0).reshape(3, 2)))
        archive.writestr("y.npy", _npy(np.arange(3)))
    return stream.getvalue()
