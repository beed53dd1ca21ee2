"""Bounds: the unavoidable work alone, on as many threads, into buffers that are used again."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import Case

Loads = tuple[Callable[[], Any], str]
_THREADS = 2


def _files(folder: Path, suffix: str) -> list[bytes]:
    return [os.fsencode(file) for file in sorted(folder.glob(f"*/*{suffix}"))]


def _on_threads(items: int, bite: int, make: Callable[[], Callable[[range], None]], threads: int = _THREADS) -> None:
    """Deal ranges of items to threads, each with its own worker."""
    starts = iter(range(0, items, bite))
    lock = threading.Lock()

    def run(work: Callable[[range], None]) -> None:
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            work(range(start, min(start + bite, items)))

    workers = [threading.Thread(target=run, args=(make(),)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def jpeg(case: Case, folder: Path) -> Loads:
    """Read and decode with libjpeg-turbo."""
    import simplejpeg

    files = _files(folder, ".jpg")
    random = np.random.default_rng(0)

    def load() -> int:
        order = random.permutation(len(files)).tolist()

        def make() -> Callable[[range], None]:
            data, pixels = bytearray(4 << 20), np.empty(4 << 20, np.uint8)
            view = memoryview(data)

            def work(part: range) -> None:
                for i in part:
                    file = os.open(files[order[i]], os.O_RDONLY)
                    size = os.readv(file, [data])
                    os.close(file)
                    simplejpeg.decode_jpeg(view[:size], buffer=pixels)

            return work

        _on_threads(len(files), 8, make)
        return len(files)

    return load, f"{_THREADS} threads: os.readv, simplejpeg.decode_jpeg(buffer=)"


def png(case: Case, folder: Path) -> Loads:
    """Read and decode with Pillow."""
    from PIL import Image

    files = _files(folder, ".png")

    def load() -> int:
        def make() -> Callable[[range], None]:
            def work(part: range) -> None:
                for i in part:
                    with Image.open(files[i]) as image:
                        image.load()

            return work

        _on_threads(len(files), 8, make)
        return len(files)

    return load, f"{_THREADS} threads: PIL.Image.open(...).load()"


def npy_files(case: Case, folder: Path) -> Loads:
    """Read files behind their header, and cast."""
    return _read_and_cast(case, [(file, 128) for file in _files(folder, ".npy")])


def one_npy(case: Case, folder: Path) -> Loads:
    """Read rows of one file, and cast."""
    path = folder / "x.npy"
    shape, dtype = case["shape"], np.dtype(case["dtype"])
    nbytes = int(np.prod(shape)) * dtype.itemsize
    rows = (path.stat().st_size - 128) // nbytes
    return _read_and_cast(case, [(os.fsencode(path), 128 + i * nbytes) for i in range(rows)])


def _read_and_cast(case: Case, places: list[tuple[bytes, int]]) -> Loads:
    """Compiled loops that read each row and cast it into a batch of float32, with nothing else around them."""
    from bitesize.files.pread import READ_FLAGS, joined
    from bitesize.kernels.fetch import fetch_rows

    shape, dtype = case["shape"], np.dtype(case["dtype"])
    values = int(np.prod(shape))
    factor, offset = (
        np.full((1, 1536), v, np.float64 if dtype == np.float64 else np.float32) for v in (case["scale"] or 1, 0)
    )
    random = np.random.default_rng(0)
    paths = sorted({path for path, _ in places})
    number = {path: i for i, path in enumerate(paths)}
    which = np.array([number[path] for path, _ in places], np.int64)
    offsets = np.array([start for _, start in places], np.int64)
    names, starts = joined(paths)
    bite = max(4, (1 << 20) // (values * dtype.itemsize))

    def load() -> int:
        order = random.permutation(len(places))

        def make() -> Callable[[range], None]:
            batches = np.empty((2, case.batch, values), np.float32)
            piece = np.empty(min((1 << 17) // dtype.itemsize // 1536 * 1536, max(values, 1536)), dtype)
            good, header, turn = np.empty(bite, np.bool_), np.empty(0, np.uint8), [0]
            line = np.empty(1536, np.float32)

            def work(part: range) -> None:
                rows = order[part.start : part.stop]
                turn[0] = (turn[0] + bite) % max(1, case.batch - bite + 1)
                out = batches[turn[0] % 2, turn[0] : turn[0] + len(rows)]
                if len(out) < len(rows):
                    out = batches[0, : len(rows)]
                fetch_rows(
                    names, starts, READ_FLAGS, which[rows], offsets[rows], header, header, piece, case["scale"] is None,
                    factor, offset, line, (0.0, 0.0), good, 0, 1, out, 1, 1,
                )  # fmt: skip
                assert good[: len(rows)].all()

            return work

        _on_threads(len(places), min(bite, case.batch), make)
        return len(places)

    return load, f"{_THREADS} threads: pread and cast in compiled code, {bite} rows a call"


def drop_cache() -> None:
    """Empty the system's cache of files; needs the superuser."""
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("1\n")


def _cold(case: Case, folder: Path, readers: int) -> Loads:
    files = _files(folder, ".npy")
    random = np.random.default_rng(0)

    def load() -> tuple[int, float]:
        order = random.permutation(len(files)).tolist()
        drop_cache()
        begun = time.perf_counter()

        def make() -> Callable[[range], None]:
            data = bytearray(4 << 20)

            def work(part: range) -> None:
                for i in part:
                    file = os.open(files[order[i]], os.O_RDONLY)
                    os.preadv(file, [data], 0)
                    os.close(file)

            return work

        _on_threads(len(files), 1, make, readers)
        return len(files), time.perf_counter() - begun

    return load, f"{readers} threads: open, preadv, close"


def cold_1(case: Case, folder: Path) -> Loads:
    """One reader."""
    return _cold(case, folder, 1)


def cold_2(case: Case, folder: Path) -> Loads:
    """Two readers."""
    return _cold(case, folder, 2)


def cold_4(case: Case, folder: Path) -> Loads:
    """Four readers."""
    return _cold(case, folder, 4)


def cold_8(case: Case, folder: Path) -> Loads:
    """Eight readers."""
    return _cold(case, folder, 8)


def cold_16(case: Case, folder: Path) -> Loads:
    """Sixteen readers."""
    return _cold(case, folder, 16)
