"""One loader in a process of its own: it prepares itself, then loads an epoch each time it is told to."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

# What libraries say belongs to stderr: stdout is for answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(**values: Any) -> None:
    """Answer with one line of JSON."""
    ANSWERS.write(json.dumps(values) + "\n")
    ANSWERS.flush()


def measure(load: Any) -> tuple[int, float]:
    """Run one epoch: tell rows and seconds."""
    begun = time.perf_counter()
    amount = load()
    if isinstance(amount, int):
        return amount, time.perf_counter() - begun
    if isinstance(amount, tuple):  # it measured itself
        return amount
    if isinstance(amount, float):  # seconds are all there is to tell
        return 0, amount
    rows = sum(amount)
    return rows, time.perf_counter() - begun


def peak_memory() -> int:
    """Return the most bytes that this process has held at one time, as the system counts them."""
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(name: str, peer: str, folder: str) -> None:
    """Prepare a peer of a case, and follow orders."""
    from bench.cases import CASES

    case = CASES[name]
    module, function = case.peers[peer].split(":")
    try:
        load, how = getattr(import_module(f"bench.peers.{module}"), function)(case, Path(folder))
        measure(load)  # once for the caches: of the system, of compilers, of worker processes
    except ImportError as error:
        answer(missing=str(error))
        return
    except Exception:
        answer(failed=traceback.format_exc())
        return
    answer(ready=True, how=how)
    for _ in sys.stdin:
        rows, seconds = measure(load)
        answer(rows=rows, seconds=seconds, peak=peak_memory())


if __name__ == "__main__":
    main(*sys.argv[1:])
