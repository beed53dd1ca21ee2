"""The kernels alone, against casting alone and against torch: ``python -m bench.kernels``.

One process and one thread, in turns; the time is the processor's, for one row, from random numbers to values in the batch. Rows are
in the processor's cache, as after reading; batches are not, as there are several of them. torch resamples the same parts of the same
images, from uint8 to uint8 (its native kernel with antialiasing), without colors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import bitesize as bs
from bench.__main__ import machine, versions
from bench.cases import MEAN, STD
from bitesize.memory.mapping import allocate
from bitesize.pipeline.arrays import ArrayRenderer
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.stages import sort_transforms
from bitesize.spec import Field
from bitesize.transforms.view import View

SIDE = 224
_BITE = 1 << 20  # bytes that are read, then rendered, as in a loader
_ROWS = 200  # rows of one turn, at least
_RING = 192  # rows of three batches of 64
_NORMALIZE = bs.Normalize(MEAN, STD)
Measure = Callable[[], float]

# name: (height, width), transforms, layout
OURS: dict[str, tuple[tuple[int, int], list[Any], str]] = {
    "Normalize": ((SIDE, SIDE), [_NORMALIZE], "HWC"),
    "CenterCrop, Normalize": ((256, 256), [bs.CenterCrop(SIDE), _NORMALIZE], "HWC"),
    "RandomCrop, Normalize": ((256, 256), [bs.RandomCrop(SIDE), _NORMALIZE], "HWC"),
    "Flip, Normalize": ((SIDE, SIDE), [bs.Flip(), _NORMALIZE], "HWC"),
    "Rotate90, Normalize": ((SIDE, SIDE), [bs.Rotate90(), _NORMALIZE], "HWC"),
    "Normalize, CHW": ((SIDE, SIDE), [_NORMALIZE], "CHW"),
    "CenterCrop, Normalize, CHW": ((256, 256), [bs.CenterCrop(SIDE), _NORMALIZE], "CHW"),
    "RandomResizedCrop, Flip, Normalize": ((256, 256), [bs.RandomResizedCrop(SIDE), bs.Flip(), _NORMALIZE], "HWC"),
    "Resize from 256 x 256, Normalize": ((256, 256), [bs.Resize(SIDE), _NORMALIZE], "HWC"),
    "Resize from 500 x 375, Normalize": ((375, 500), [bs.Resize(SIDE), _NORMALIZE], "HWC"),
}
# name, compared with, the most that it may take, as a share of the other
BARS = (
    ("CenterCrop, Normalize", "Normalize", 1.25),
    ("RandomCrop, Normalize", "Normalize", 1.25),
    ("Flip, Normalize", "Normalize", 1.25),
    ("Rotate90, Normalize", "Normalize", 1.25),
    ("Normalize, CHW", "Normalize", 1.25),
    ("CenterCrop, Normalize, CHW", "Normalize", 1.25),
    ("RandomResizedCrop, Flip, Normalize", "torch, the same crops", 0.9),
    ("Resize from 500 x 375, Normalize", "torch from 500 x 375", 0.8),
)


def ours(size: tuple[int, int], transforms: Sequence[Any], layout: str, batches: NDArray[np.float32]) -> Measure:
    """Return what renders some bites, and returns the seconds for one row."""
    stages, chw = sort_transforms(transforms), layout == "CHW"
    shape = (3, SIDE, SIDE) if chw else (SIDE, SIDE, 3)
    stored, rendered = Field((*size, 3), np.dtype(np.uint8)), Field(shape, np.dtype(np.float32))
    renderer = ArrayRenderer("x", stored, rendered, stages, chw, {}, True)
    scratch = Scratch({}, False, renderer.kernel_values, None)
    random, count = np.random.default_rng(0), sum(view.random_count for view in stages.image_transforms)
    fresh = random.integers(0, 256, (max(1, _BITE // stored.nbytes), *stored.shape), np.uint8)
    read, bite = fresh.copy(), len(fresh)
    ring, at = batches.reshape(-1, *shape), 0

    def measure() -> float:
        nonlocal at
        times = []
        for _ in range(max(4, _ROWS // bite)):
            numbers = [tuple(row) for row in random.random((bite, count)).tolist()]
            read[...] = fresh
            at = at + bite if at + 2 * bite <= _RING else 0
            begun = time.thread_time()
            renderer.render({"x": read}, numbers, {"x": ring[at : at + bite]}, scratch)
            times.append((time.thread_time() - begun) / bite)
        return statistics.median(times)

    return measure


def of_torch(size: tuple[int, int], crops: bool) -> Measure:
    """Return what resamples some bites with torch, and returns the seconds for one row."""
    import torch

    torch.set_num_threads(1)
    height, width = size
    bite = max(1, _BITE // (height * width * 3))
    random = np.random.default_rng(0)
    fresh = torch.from_numpy(random.integers(0, 256, (bite, height, width, 3), np.uint8))
    read = fresh.clone()
    images, step = read.permute(0, 3, 1, 2), bs.RandomResizedCrop(SIDE)

    def part(image: Any) -> Any:
        if not crops:
            return image
        view = View(width, height)
        step.adjust(view, random.random(4).tolist())
        left, top = round(view.c), round(view.f)
        return image[:, :, top : top + max(1, round(view.e * SIDE)), left : left + max(1, round(view.a * SIDE))]

    def measure() -> float:
        times = []
        for _ in range(max(4, _ROWS // bite)):
            read.copy_(fresh)
            parts = [part(images[i : i + 1]) for i in range(bite)]
            begun = time.thread_time()
            for each in parts:
                torch.nn.functional.interpolate(each, (SIDE, SIDE), mode="bilinear", antialias=True)
            times.append((time.thread_time() - begun) / bite)
        return statistics.median(times)

    return measure


def main() -> None:
    """Measure, print a table and the bars, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description="Measure the kernels alone.")
    parser.add_argument("--rounds", type=int, default=25, help="turns of each (25)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="where JSON is written")
    chosen = parser.parse_args()
    console = Console()
    console.print(machine(), versions(), sep="\n", highlight=False)
    # All write to the same memory, because the speed of memory depends on where the system has placed its pages.
    batches = allocate(_RING * SIDE * SIDE * 3 * 4).view(np.float32)
    batches[...] = 0  # as in the second epoch, when the system has provided all pages
    each = {name: ours(*settings, batches) for name, settings in OURS.items()}
    each |= {"torch, the same crops": of_torch((256, 256), True), "torch from 500 x 375": of_torch((375, 500), False)}
    times: dict[str, list[float]] = {name: [] for name in each}
    for measure in each.values():
        measure()  # compiles
    turns = np.random.default_rng(0)
    for _ in range(chosen.rounds):
        for name in turns.permutation(list(each)).tolist():  # what came before has filled the caches
            times[name].append(each[name]())
    show(console, times)
    chosen.out.mkdir(parents=True, exist_ok=True)
    record = {"case": "kernels", "unit": "s", "machine": machine(), "versions": versions(), "results": times}
    (chosen.out / "kernels.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def show(console: Console, times: dict[str, list[float]]) -> None:
    """Print medians, and the bars as medians of the ratios within rounds."""
    table = Table(box=None, padding=(0, 2))
    table.add_column("")
    table.add_column("microseconds a row", justify="right")
    table.add_column("least", justify="right", style="dim")
    for name, values in times.items():
        table.add_row(name, f"{statistics.median(values) * 1e6:.0f}", f"{min(values) * 1e6:.0f}")
    console.print(table, highlight=False)
    for name, other, most in BARS:
        ratio = statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))
        met = "[green]met[/]" if ratio <= most else "[red]missed[/]"
        console.print(f"  {name} / {other}: {ratio:.2f}, hoped for at most {most:g}: {met}", highlight=False)


if __name__ == "__main__":
    main()
