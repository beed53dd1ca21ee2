"""The process that is measured: ``python -m tests.contract.child NUMBER FOLDER``; the parent watches it from outside.

It prints "ready" when one tiny loader of the same kind has run and was closed, waits for a line, runs the case, prints one
line of JSON, and waits again, so that what is left can be counted.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import bitesize as bs
from tests.contract.cases import CASES, OUTPUTS, Case
from tests.contract.data import one_part, source


def loader(case: Case, folder: Path, rows: int, memory: Any, **options: Any) -> bs.Loader:
    """Make the loader of a case."""
    images = case.kind.startswith(("jpeg", "mixed", "tar", "remote jpeg"))
    transforms = [bs.RandomResizedCrop(case.size), bs.Flip(), bs.Scale(1 / 255)] if images else [bs.Scale(0.5)]
    if case.kind == "volumes":
        transforms = [bs.RandomCrop((48, 80, 80)), bs.Resize(case.size), bs.Flip(depth=0.5), bs.Percentiles()]
    data = source(case.kind, folder, rows)
    if case.how in OUTPUTS:
        options["last"] = "pad"
    if case.how == "window":
        options["order"] = bs.Order(len(data), window=500)
    return bs.Loader(
        data, memory=memory, threads=case.threads, dtype="float32",
        **{"batch_size": case.batch_size, "transforms": transforms, "on_error": "skip"} | options,
    )  # fmt: skip


def left() -> dict[str, int]:
    """Count what a loader could leave behind."""
    gc.collect()
    shared = [name for name in os.listdir("/dev/shm") if f"{os.getpid()}" in name] if os.path.isdir("/dev/shm") else []
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]  # Zarr's own, up to six
    return {"threads": len(threads), "descriptors": len(os.listdir("/proc/self/fd")), "shared": len(shared)}


def run(case: Case, folder: Path) -> dict[str, Any]:
    """Do what the case says; give what is worth knowing."""
    budget = bs.Budget(f"{case.budget} MiB")
    if case.how == "concat":
        return concat(folder, budget, case.rows)
    if case.how == "train":
        return train(case, folder, budget)
    if case.how == "two loaders":
        return two_loaders(case, folder, budget)
    with loader(case, folder, case.rows, budget) as ours:
        told = {"planned": ours.plan.total}
        rows = {"keeps": keeps, "breaks": breaks, "many epochs": many_epochs, **dict.fromkeys(OUTPUTS, through)}.get(
            case.how, epochs
        )(ours, case)
        told |= {"rows": rows, "bad": len(ours.bad), "reasons": [bad.reason for bad in ours.bad[:3]]}
    return told | {"peak": budget.peak}


def epochs(ours: bs.Loader, case: Case) -> int:
    """Go through the rows once; slowly where that is the case."""
    rows = 0
    for i, batch in enumerate(ours):
        rows += int(batch["y"].size)
        if case.how == "slow" and i < 100:
            time.sleep(0.03)
    return rows


def through(ours: bs.Loader, case: Case) -> int:
    """Go through the rows as a framework does."""
    rows = []
    if case.how == "partial_fit":
        bs.sklearn.partial_fit(Counts(rows), ours, epochs=1)
        return sum(rows)
    for batch in getattr(bs, case.how)(ours):
        y = batch[1] if case.how == "to_tensorflow" else batch["y"][np.asarray(batch["mask"])]
        rows.append(int(y.shape[0]))
        del batch, y
    return sum(rows)


class Counts:
    """Learns nothing: counts rows."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def partial_fit(self, x: Any) -> None:
        """Count."""
        self.rows.append(len(x))


def keeps(ours: bs.Loader, case: Case) -> int:
    """Keep batches until that is refused, then go on as one should."""
    kept: list[Any] = []
    try:
        kept.extend(ours)
    except bs.BatchesHeld:
        held = len(kept)
        kept.clear()
        return epochs(ours, case) if held < 10 else -1
    return -2


def breaks(ours: bs.Loader, case: Case) -> int:
    """Leave the loop early 200 times."""
    for i in range(200):
        for j, _ in enumerate(ours):
            if j >= i % 5:
                break
    return epochs(ours, case)


def many_epochs(ours: bs.Loader, case: Case) -> int:
    """Go through the rows 100 times; what is held is told after each epoch."""
    rows = 0
    for epoch in range(100):
        rows += epochs(ours, case)
        if epoch in (4, 99):
            gc.collect()
            sys.stdout.write(f"epoch {epoch + 1}\n")
            sys.stdout.flush()
            sys.stdin.readline()
    return rows


def two_loaders(case: Case, folder: Path, budget: bs.Budget) -> dict[str, Any]:
    """Two loaders on one budget, consumed in turn."""
    with (
        loader(case, folder, case.rows // 2, budget) as first,
        loader(case, folder, case.rows // 2, budget, seed=1) as second,
    ):
        rows = sum(int(batch["y"].size) for pair in zip(first, second, strict=True) for batch in pair)
        return {"planned": budget.granted, "rows": rows, "peak": budget.peak}


def train(case: Case, folder: Path, budget: bs.Budget) -> dict[str, Any]:
    """Keras training with validation beside it, both loaders on one budget; the model is as small as can be."""
    model = tiny_model(case.size)
    with (
        loader(case, folder, case.rows, budget) as first,
        loader(case, folder, case.rows // 8, budget, shuffle=False, on_error="raise") as second,
    ):
        model.fit(bs.to_keras(first), validation_data=bs.to_keras(second), epochs=1, verbose=0)
        return {"planned": budget.granted, "rows": case.rows, "peak": budget.peak}


def tiny_model(size: int) -> Any:
    """Make a model that takes next to no memory itself."""
    import keras

    layers = [keras.Input((size, size, 3)), keras.layers.AveragePooling2D(16), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def concat(folder: Path, budget: bs.Budget, rows: int) -> dict[str, Any]:
    """Join float64 arrays of 10.1 GiB in all, without holding them."""
    lazy = bs.concatenate([one_part(folder)] * 9)
    assert len(lazy) == rows
    path = lazy.save(folder / "joined.npy", budget)
    size = path.stat().st_size
    path.unlink()
    return {"planned": budget.peak, "rows": len(lazy), "peak": budget.peak, "written": size}


def warm(case: Case, folder: Path) -> None:
    """Run one tiny loader of the same kind and close it: imports, compiled code and what libraries keep for good."""
    if case.how == "concat":
        bs.concatenate([one_part(folder)]).slice(0, 1).save(folder / "tiny.npy").unlink()
        return
    # Few requests at the same time, because what they take is not always returned.
    memory = "24 MiB" if case.kind.startswith("remote") else "4 GiB"
    with loader(case, folder, 64, memory, batch_size=8) as tiny:
        if case.how in OUTPUTS:
            through(tiny, case)
        if case.how == "train":
            tiny_model(case.size).fit(bs.to_keras(tiny), validation_data=bs.to_keras(tiny), epochs=1, verbose=0)
        for _ in tiny:
            pass


def main() -> None:
    """Prepare, wait, run, tell, wait."""
    number, folder = int(sys.argv[1]), Path(sys.argv[2])
    case = CASES[number]
    warm(case, folder)
    for thread in threading.enumerate():
        if thread.name == "bitesize-compile":  # on a fresh machine it may still be at work
            thread.join()
    if case.kind.startswith("remote"):
        time.sleep(4)  # until unused connections are closed, and threads without work have ended
    before = left()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    try:
        told = run(case, folder)
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"}
    deadline = time.monotonic() + 8  # threads that were told to end take a moment
    while any((after := left())[name] > before[name] for name in before) and time.monotonic() < deadline:
        time.sleep(0.05)
    told["left"] = {name: after[name] - before[name] for name in after}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main()
