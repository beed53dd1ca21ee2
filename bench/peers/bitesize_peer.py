"""bitesize itself."""

from __future__ import annotations

import atexit
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bitesize as bs
from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]


def _loads(source: bs.Source, case: Case, transforms: list[Any], **options: Any) -> Loads:
    settings: dict[str, Any] = {"threads": 2, "memory": "1 GiB", "last": "drop"} | options
    loader = bs.Loader(source, batch_size=case.batch, transforms=transforms, **settings)

    def load() -> Iterator[int]:
        # Batches that were made ahead, while others had their turn, are of another epoch: they must not count.
        loader.set_epoch(loader.epoch + 10)
        for batch in loader:
            yield len(batch.rows)

    return load, f"bs.Loader(batch_size={case.batch}, transforms={transforms}, threads={settings['threads']})"


def images(case: Case, folder: Path, **options: Any) -> Loads:
    """Resize and normalize."""
    return _loads(bs.open(folder), case, [bs.Resize(case["size"]), bs.Normalize(MEAN, STD)], **options)


def images_exactly(case: Case, folder: Path) -> Loads:
    """The same without DCT scaling."""
    return images(case, folder, fast_decode=False)


def images_one_thread(case: Case, folder: Path) -> Loads:
    """The same with one thread."""
    return images(case, folder, threads=1)


def images_augmented(case: Case, folder: Path) -> Loads:
    """Crop at random, flip, and normalize."""
    steps = [bs.RandomResizedCrop(case["size"]), bs.Flip(), bs.Normalize(MEAN, STD)]
    return _loads(bs.open(folder), case, steps)


def images_augmented_reduced(case: Case, folder: Path, **options: Any) -> Loads:
    """Reduce to 256 pixels, crop at random, flip, and normalize; nothing is kept."""
    steps = [bs.RandomResizedCrop(case["size"]), bs.Flip(), bs.Normalize(MEAN, STD)]
    return _loads(bs.open(folder), case, steps, **{"cache": bs.Cache(size=0, max_side=256)} | options)


def images_cached(case: Case, folder: Path) -> Loads:
    """Resize and normalize, from a cache that holds all rows."""
    return _from_cache(images, case, folder)


def images_augmented_cached(case: Case, folder: Path) -> Loads:
    """Crop at random, flip, and normalize, from a cache of images that were reduced to 256 pixels."""
    return _from_cache(images_augmented_reduced, case, folder, max_side=256)


def images_filling(case: Case, folder: Path) -> Loads:
    """Resize and normalize, in a first epoch, which fills a cache."""
    return _filling(images, case, folder)


def images_augmented_filling(case: Case, folder: Path) -> Loads:
    """Crop at random, flip, and normalize, in a first epoch, which fills a cache of images that were reduced to 256 pixels."""
    return _filling(images_augmented_reduced, case, folder, max_side=256)


def images_first(case: Case, folder: Path) -> Loads:
    """Resize and normalize, in the first epoch of a loader without a cache."""
    return _first(images, case, folder)


def images_augmented_first(case: Case, folder: Path) -> Loads:
    """Reduce, crop at random, flip, and normalize, in the first epoch of a loader without a cache."""
    return _first(images_augmented_reduced, case, folder)


def _first(make: Callable[..., Loads], case: Case, folder: Path) -> Loads:
    def load() -> tuple[int, float]:
        first, _ = make(case, folder)
        begun = time.perf_counter()
        return sum(first()), time.perf_counter() - begun

    return load, "bs.Loader(...), the first epoch"


def images_cached_pixels(case: Case, folder: Path) -> Loads:
    """Resize and normalize, from a cache of resized images that are rounded to 8 bits."""
    return _from_cache(images, case, folder, kind="pixels")


def _from_cache(make: Callable[..., Loads], case: Case, folder: Path, **settings: Any) -> Loads:
    cache = bs.Cache(tempfile.mkdtemp(prefix="bitesize-bench-cache-"), "8 GiB", **settings)
    atexit.register(shutil.rmtree, cache.folder, ignore_errors=True)
    source = bs.open(folder)
    for _ in range(60):  # a row is added in a later epoch if the disk was slow
        load, _ = make(case, folder, cache=cache)
        sum(load())
        del load
        gc.collect()
        kept = sum(json.loads(shard.read_text())["rows"] for shard in Path(str(cache.folder)).glob("*/*/shard.json"))
        if kept >= len(source):
            break
    load, how = make(case, folder, cache=cache)
    return load, f"{how}, cache of {cache.kind} rows"


def _filling(make: Callable[..., Loads], case: Case, folder: Path, **settings: Any) -> Loads:
    def load() -> tuple[int, float]:
        with tempfile.TemporaryDirectory(prefix="bitesize-bench-cache-") as place:
            first, _ = make(case, folder, cache=bs.Cache(place, "8 GiB", **settings))
            begun = time.perf_counter()
            rows = sum(first())
            seconds = time.perf_counter() - begun
            del first
            gc.collect()
        return rows, seconds

    return load, "bs.Loader(..., cache=bs.Cache(...)), the first epoch in an empty cache"


def images_busy(case: Case, folder: Path) -> Loads:
    """Beside a thread of pure Python, with as many threads as a loader takes by default."""
    load, how = images(case, folder, threads=None)

    def beside() -> tuple[int, float]:
        stop = threading.Event()

        def spin() -> None:
            count = 0
            while not stop.is_set():
                for _ in range(10_000):
                    count += 1

        busy = threading.Thread(target=spin)
        busy.start()
        try:
            sum(load())  # until the loader has found out how many threads it takes
            begun = time.perf_counter()
            return sum(load()), time.perf_counter() - begun
        finally:
            stop.set()
            busy.join()

    return beside, how


def images_busy_switching(case: Case, folder: Path) -> Loads:
    """The same, with an interpreter that hands its lock over sooner."""
    sys.setswitchinterval(0.0005)
    return images_busy(case, folder)


def npy_files(case: Case, folder: Path) -> Loads:
    """Files of one array each."""
    steps = [bs.Scale(case["scale"])] if case["scale"] else []
    return _loads(bs.open(folder), case, steps, dtype="float32")


def one_npy(case: Case, folder: Path, **options: Any) -> Loads:
    """One large array; small rows are kept in memory from the second epoch on."""
    steps = [bs.Scale(case["scale"])] if case["scale"] else []
    return _loads(bs.open(folder / "x.npy"), case, steps, **{"dtype": "float32", "memory": "2 GiB"} | options)


def one_npy_read(case: Case, folder: Path) -> Loads:
    """One large array that is larger than the budget."""
    return one_npy(case, folder, memory="64 MiB")


def array(case: Case, folder: Path) -> Loads:
    """An array and labels in memory."""
    x = np.load(folder / "x.npy")
    steps = [bs.Scale(case["scale"])] if case["scale"] else []
    return _loads(bs.open(x, np.arange(len(x)) % 10), case, steps, dtype="float32")


def random_crop(case: Case, folder: Path) -> Loads:
    """Crop at random, resize, flip, and normalize."""
    steps = [bs.RandomResizedCrop(case["size"]), bs.Flip(), bs.Normalize(MEAN, STD)]
    return _loads(bs.open(folder / "x.npy"), case, steps)


def center_crop(case: Case, folder: Path) -> Loads:
    """Crop the center, and normalize."""
    return _loads(bs.open(folder / "x.npy"), case, [bs.CenterCrop(case["size"]), bs.Normalize(MEAN, STD)])


def resize(case: Case, folder: Path) -> Loads:
    """Resize with antialiasing, and normalize."""
    return _loads(bs.open(folder / "x.npy"), case, [bs.Resize(case["size"]), bs.Normalize(MEAN, STD)])


def cold(case: Case, folder: Path) -> Loads:
    """Files that are not in the system's cache."""
    from bench.peers.bound import drop_cache

    load, how = _loads(bs.open(folder), case, [bs.Scale(1 / 255)], threads=None, dtype="float32")

    def dropped() -> tuple[int, float]:
        drop_cache()
        begun = time.perf_counter()
        return sum(load()), time.perf_counter() - begun

    return dropped, how


def first_batch(case: Case, folder: Path) -> Loads:
    """From Loader(...) to the first batch, the folder being open."""
    source = bs.open(folder)
    steps = [bs.Resize(case["size"]), bs.Normalize(MEAN, STD)]

    def load() -> float:
        begun = time.perf_counter()
        with bs.Loader(source, batch_size=case.batch, transforms=steps, memory="256 MiB", threads=2) as loader:
            next(iter(loader))
            return time.perf_counter() - begun

    return load, "next(iter(bs.Loader(source, ...)))"


def steady_batch(case: Case, folder: Path) -> Loads:
    """One batch in the middle of an epoch."""
    source = bs.open(folder)
    steps = [bs.Resize(case["size"]), bs.Normalize(MEAN, STD)]

    def load() -> float:
        with bs.Loader(source, batch_size=case.batch, transforms=steps, memory="256 MiB", threads=2) as loader:
            times = []
            for _, _ in zip(loader, range(60), strict=False):
                times.append(time.perf_counter())
            return (times[-1] - times[10]) / (len(times) - 11)

    return load, "50 batches / 50"


def first_batch_fresh(case: Case, folder: Path) -> Loads:
    """A script from its start to the first batch, everything imported."""
    script = f"""
import time
begun = time.perf_counter()
import bitesize as bs
source = bs.open({str(folder)!r})
with bs.Loader(source, batch_size={case.batch}, transforms=[bs.Resize({case["size"]}), bs.Normalize({MEAN}, {STD})],
               memory="256 MiB", threads=2) as loader:
    next(iter(loader))
    print(time.perf_counter() - begun)
"""

    def load() -> float:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        return float(done.stdout)

    return load, "python -c 'import bitesize; open; Loader; next', without the interpreter's own start"


def open_million(case: Case, folder: Path) -> Loads:
    """Listing a folder."""

    def load() -> float:
        begun = time.perf_counter()
        source = bs.open(folder)
        seconds = time.perf_counter() - begun
        assert len(source) == 1_200_000
        return seconds

    return load, f"bs.open(folder); {bs.open(folder).nbytes / 1e6:.0f} MB held"
