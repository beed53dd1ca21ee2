"""Kill packing again and again and start it again: no sealed shard is lost, no row is torn, and the next run continues. Argument: kills.

A child packs photographs into tiny shards, and is killed with SIGKILL at moments drawn evenly over its run.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

import bitesize as bs
from bitesize.packed.info import SHARD_JSON
from bitesize.packed.shard import open_shard, verify

ROWS = 400
SHARDS = "[0-9]" * 5
CHILD = """
import sys
import bitesize as bs

source = bs.open(sys.argv[1])
print("ready", flush=True)
report = bs.pack(source, sys.argv[2], kind=sys.argv[3], memory="64 MiB", shard_size="4 KiB", threads=2)
print(report.kept, report.shards, flush=True)
"""


def make_data(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for i in range(ROWS):
        path = folder / "data" / "ab"[i % 2] / f"{i:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8 + i % 5, 16, 3), np.uint8)).save(path)
    return folder / "data"


def begin(data: Path, store: Path, kind: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(data), str(store), kind], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def sealed(store: Path) -> dict[str, int]:
    """Return the sealed shards, with the time of each; all files of each are right."""
    found = {}
    for folder in sorted(store.glob(SHARDS)):
        verify(open_shard(folder))
        found[folder.name] = (folder / SHARD_JSON).stat().st_mtime_ns
    return found


def check_rows(source: bs.Source, store: Path, names: Iterable[str]) -> None:
    """Compare every row of sealed shards with the data."""
    for name in names:
        info = open_shard(store / name)
        first, offsets = info.origin["start"], info.offsets("x")
        assert info.rows == info.origin["stop"] - first
        data = info.path("x").read_bytes()
        for i in range(info.rows):
            row = data[offsets[i] : offsets[i + 1]]
            if info.fields["x"].kind == "blob":
                path = source.path(first + i)
                assert path is not None
                assert row == Path(path.decode()).read_bytes()
            else:
                assert row == source[first + i]["x"].tobytes()
        assert (np.load(info.path("y")) == source.labels[first : first + info.rows]).all()


def main(kills: int) -> None:
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_data(folder)
        source = bs.open(data)
        done = begin(data, folder / "whole", "pixels")
        begun = time.monotonic()
        assert done.communicate()[0].split()[0] == "0"
        duration, killed, finished, within, stores = time.monotonic() - begun, 0, 0, 0, 0
        while killed < kills:
            store, kind = folder / f"store{stores}", ("pixels", "bytes")[stores % 2]
            stores += 1
            before: dict[str, int] = {}
            while killed < kills:
                process = begin(data, store, kind)
                time.sleep(draw.uniform(0, duration))
                process.kill()
                output = process.communicate()[0]
                assert process.returncode in (0, -signal.SIGKILL)
                now = sealed(store)
                assert before.items() <= now.items(), "a sealed shard was lost or made again"
                check_rows(source, store, now.keys() - before.keys())
                before = now
                if (store / "manifest.json").exists():
                    finished += 1
                    break
                assert not output
                killed += 1
                within += bool(now)
            process = begin(data, store, kind)
            kept, shards = map(int, process.communicate()[0].split())
            assert process.returncode == 0
            assert kept == len(before), (kept, len(before))
            now = sealed(store)
            assert shards == len(now)
            assert before.items() <= now.items()
            assert not list(store.glob("*.partial-*"))
            check_rows(source, store, now.keys() - before.keys())
            assert len(bs.open(store)) == ROWS
            shutil.rmtree(store)
        print(f"{killed} kills, {within} of them with sealed shards, in {stores} stores; {finished} runs ended first")


if __name__ == "__main__":
    main(int(sys.argv[1]))
