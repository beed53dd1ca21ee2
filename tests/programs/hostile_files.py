"""Reads hostile files under a limit on address space, and tells what became of each: a row, or a bad row.

`python -m tests.programs.hostile_files KIND COUNT SEED FOLDER`; prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import bitesize as bs
from tests.contract.measure import MARGIN, THREAD_SPACE, _status
from tests.hostile.arrays import DTYPE, SHAPE, hostile_npy, hostile_npz
from tests.hostile.images import hostile_image, hostile_tiff, whole_images, whole_tiffs
from tests.hostile.medical import hostile_dicom, hostile_nifti, whole_dicoms, whole_nifti

BUDGET = 24 << 20
THREADS = 2
_AT_ONCE = 500  # files a folder
KINDS = {
    "npy": (hostile_npy, ".npy"),
    "npz": (hostile_npz, ".npz"),
    "images": (hostile_image, ".jpg"),
    "tiff": (hostile_tiff, ".tif"),
    "nifti": (hostile_nifti, ".nii"),
    "dicom": (hostile_dicom, ".dcm"),
}
# Kinds whose rows are images of any size, and whole ones of each.
_WHOLE = {"images": whole_images, "tiff": whole_tiffs, "dicom": whole_dicoms}
_PAGES = {"tiff": "first", "dicom": "rows"}


def run(kind: str, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Write ``count`` files, a folder at a time, and read them all."""
    made, suffix = KINDS[kind]
    random = np.random.default_rng(seed)
    told: dict[str, Any] = {"rows": 0, "bad": 0, "wrong": 0, "slowest": 0.0}
    warm = _written(folder / "warm", made, suffix, 20, random)
    hostile = [
        _written(folder / str(start), made, suffix, min(_AT_ONCE, count - start), random)
        for start in range(0, count, _AT_ONCE)
    ]
    _read(kind, warm, dict(told))  # compiled and imported before the limit
    for thread in threading.enumerate():
        if thread.name == "bitesize-compile":
            thread.join()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _status(os.getpid())
    size = before["VmSize"] + BUDGET + MARGIN + (THREADS + 1) * THREAD_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    for each in hostile:
        _read(kind, each, told)
    told["ran"] = Path("UNPICKLED").exists()
    told["reached"] = _status(os.getpid())["VmHWM"] - before["VmRSS"]
    return told


def _written(folder: Path, made: Any, suffix: str, count: int, random: np.random.Generator) -> Path:
    """Write a folder of hostile files behind good ones, from which the loader learns what a row is."""
    folder.mkdir(parents=True)
    good = np.arange(np.prod(SHAPE), dtype=DTYPE).reshape(SHAPE)
    if suffix == ".npy":
        np.save(folder / "0.npy", good)
    elif suffix == ".npz":
        np.savez_compressed(folder / "0.npz", x=good)
    elif suffix == ".nii":
        (folder / "0.nii").write_bytes(whole_nifti())
    else:
        whole = next(_WHOLE[kind] for kind, (_, end) in KINDS.items() if end == suffix)
        for i, data in enumerate(whole()):
            (folder / f"0{i}{suffix}").write_bytes(data)
    for i in range(count):
        (folder / f"1{i}{suffix}").write_bytes(made(random))
    return folder


def _read(kind: str, folder: Path, told: dict[str, Any]) -> None:
    """Read a folder row by row; whatever is no row and no bad row ends this program, and is told by who started it."""
    source = bs.open(folder, pages=_PAGES.get(kind))
    steps = [bs.Resize(24)] if kind in _WHOLE else []
    with bs.Loader(
        source, batch_size=1, transforms=steps, memory=BUDGET, threads=THREADS, shuffle=False, on_error="skip", max_bad=1.0
    ) as loader:
        begun = time.perf_counter()
        for batch in loader:
            now = time.perf_counter()
            told["slowest"] = max(told["slowest"], now - begun)
            if batch.mask[0]:
                told["rows"] += 1
                told["wrong"] += not _right(kind, source.describe(int(batch.rows[0])), batch["x"][0])
            begun = time.perf_counter()
        told["bad"] += len(loader.bad)


def _right(kind: str, path: str, row: Any) -> bool:
    """Whether a row is what NumPy reads; of pictures, that it is finite."""
    if kind in _WHOLE:
        return bool(np.isfinite(row).all())
    if kind == "nifti":
        return _as_nibabel(path, row)
    try:
        found = np.load(path, allow_pickle=False)
        return np.array_equal(found["x"] if kind == "npz" else found, row, equal_nan=True)
    except ValueError:  # what NumPy refuses is no row
        return False


def _as_nibabel(path: str, row: Any) -> bool:
    import nibabel

    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data, 1 << 20)
    known = nibabel.Nifti1Image.from_bytes(data)
    expected = nibabel.as_closest_canonical(known).get_fdata(dtype=np.float32)
    return np.array_equal(expected.transpose(2, 1, 0, *range(3, expected.ndim)).reshape(row.shape), row, equal_nan=True)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
