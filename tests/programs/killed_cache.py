"""Kill processes that fill a cache at random moments: sealed shards stay, and no row is ever wrong. Arguments: folder, kills, seed.

Each process is forked from this one, which has loaded everything and has no threads; in half of the rounds, two of them share the
cache. A process compares each batch with those of a loader without a cache, and exits with 3 if one differs.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

import bitesize as bs
from bitesize.packed import row_cache
from bitesize.packed.shard import open_shard, verify

ROWS = 60
SIZE = 3 << 20  # shards of a few kilobytes to a few hundred
PIPELINES = {
    "batch": [bs.Resize(24), bs.Normalize("imagenet")],
    "resized": [bs.Resize(24), bs.Flip(), bs.Normalize("imagenet")],
    "decoded": [bs.RandomResizedCrop(16), bs.Normalize("imagenet")],
}
row_cache._SHARD_BYTES = 96 << 10
row_cache._REST = 0.0


def make_data(folder: Path) -> Path:
    data, numbers = folder / "data", np.random.default_rng(0)
    data.mkdir(parents=True)
    for i in range(ROWS):
        Image.fromarray(numbers.integers(0, 256, (20 + i % 9, 30 - i % 7, 3), np.uint8)).save(data / f"{i}.png")
    return data


def sums(data: Path, name: str, epochs: int, cache: bs.Cache | None) -> list[list[float]]:
    """Return a hash of each batch."""
    with bs.Loader(
        bs.open(data), batch_size=10, transforms=PIPELINES[name], memory="64 MiB", seed=2, threads=2, cache=cache
    ) as loader:
        return [[hash(batch["x"].tobytes()) for batch in loader] for _ in range(epochs)]


def compare(data: Path, name: str, cache: bs.Cache, expected: list[list[float]]) -> None:
    """Fill the cache and compare all batches, until the process is killed."""
    while True:
        if sums(data, name, len(expected), cache) != expected:
            os._exit(3)


def main(folder: Path, kills: int, seed: int) -> None:
    data, chance = make_data(folder), random.Random(seed)
    expected = {name: sums(data, name, 2, None) for name in PIPELINES}
    sealed: set[Path] = set()
    most = 0
    for round_ in range(kills):
        name = chance.choice(list(PIPELINES))
        cache = bs.Cache(folder / "cache", SIZE)
        assert [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()] == []
        children = []
        for _ in range(1 + round_ % 2):
            child = os.fork()
            if child == 0:
                compare(data, name, cache, expected[name])
            children.append(child)
        for child in children:
            time.sleep(chance.uniform(0.0, 0.12))
            os.kill(child, signal.SIGKILL)
        for child in children:
            status = os.waitpid(child, 0)[1]
            assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"round {round_}: {status}"
        shards = {path.parent for path in (folder / "cache").glob("*/*/shard.json") if ".partial-" not in path.parent.name}
        assert sealed <= shards, f"round {round_}: {sealed - shards} are gone"
        sealed = shards
        most = max(most, size_of(folder / "cache"))
        if len(sealed) > 40:  # begin again: a full cache is filled no more
            check(sealed)
            bs_clear(folder / "cache")
            sealed = set()
    check(sealed)
    for name in PIPELINES:
        for _ in range(2):
            assert sums(data, name, 2, bs.Cache(folder / "cache", SIZE)) == expected[name]
    assert most <= SIZE, most
    partial = list((folder / "cache").glob("*/*.partial-*"))
    assert partial == [], partial
    print(f"{kills} kills, {len(sealed)} shards at the end, at most {most} bytes")


def check(shards: set[Path]) -> None:
    for shard in shards:
        verify(open_shard(shard))


def bs_clear(folder: Path) -> None:
    from bitesize.packed.cache_folder import clear

    clear(folder)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.exists())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
