"""Pack a million small rows and read them back: arrays, labels and files of a few bytes. Arguments: folder, rows, budget in MiB.

Says "ready" before it begins, so that a limit can be set, and waits for a line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import bitesize as bs
from bitesize.sources import new_buffers
from bitesize.spec import Encoded, Field


class Rows(bs.Source):
    """Rows made from their number: nothing of their size is in memory."""

    title = "rows made from their number"

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.spec = {"file": Encoded(), "x": Field((8,), np.dtype(np.float32)), "y": Field((), np.dtype(np.int64))}

    def __len__(self) -> int:
        return self._rows

    def read(self, rows: np.ndarray, into: dict) -> None:
        into["x"][...] = rows[:, None] + np.arange(8)
        into["y"][...] = rows % 7
        if "file" in into:
            for i, row in enumerate(rows.tolist()):
                data = row.to_bytes(4, "little") * (1 + row % 5)
                into["file"].put(i, len(data))[:] = data

    def _identity(self) -> bytes:
        return str(self._rows).encode()


def main(folder: Path, rows: int, budget: int) -> None:
    memory = bs.Budget(budget << 20)
    bs.pack(Rows(100), folder / "first", kind="bytes", memory="32 MiB")  # loads what is loaded once
    bs.open(folder / "first")
    print("ready", flush=True)
    sys.stdin.readline()
    report = bs.pack(Rows(rows), folder / "store", kind="bytes", memory=memory)
    packed, made = bs.open(folder / "store"), Rows(rows)
    charge = memory.charge(packed.nbytes, "index")
    draw = np.random.default_rng(0)
    for start in range(0, rows, 20_000):
        numbers = draw.integers(0, rows, 200) if start % 40_000 else np.arange(start, min(start + 20_000, rows))
        ours, theirs = new_buffers(packed.spec, len(numbers)), new_buffers(made.spec, len(numbers))
        packed.read(numbers, ours)
        made.read(numbers, theirs)
        assert all((ours[name] == theirs[name]).all() for name in ("x", "y"))
        assert [bytes(ours["file"].files[i]) for i in range(len(numbers))] == [
            bytes(theirs["file"].files[i]) for i in range(len(numbers))
        ]
    charge.release()
    print(json.dumps({"rows": report.rows[""], "shards": report.shards, "peak": memory.peak, "seconds": report.seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
