"""Whether a GPU waits for data: ResNet-50 in bfloat16, from JPEGs and from one large `.npy`. ``python -m bench.gpu``, on a machine with one.

Compared with the same training step on one batch that stays on the GPU. Also: the rate of copies to the GPU, against the most that
page-locked memory allows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import bitesize as bs
from bench import data
from bench.cases import MEAN, STD

_HERE = Path(__file__).parent
SIDE = 224


def resnet50(torch: Any) -> Any:
    """Build ResNet-50 (He et al. 2015), with the stride in the 3 x 3 convolution."""
    nn = torch.nn

    def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)
        )  # fmt: skip

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        """A bottleneck."""

        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.path = nn.Sequential(
                conv(inputs, width, 1), nn.ReLU(), conv(width, width, 3, stride), nn.ReLU(), conv(width, 4 * width, 1)
            )
            self.beside = conv(inputs, 4 * width, 1, stride) if stride > 1 or inputs != 4 * width else nn.Identity()

        def forward(self, x: Any) -> Any:
            """Add what was learned to what there was."""
            return nn.functional.relu(self.path(x) + self.beside(x))

    layers, inputs = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            layers.append(Block(inputs, width, stride if i == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


class Training:
    """A model, and how it learns from a batch on a device."""

    def __init__(self, torch: Any, device: str) -> None:
        self.torch, self.device = torch, device
        self.model = resnet50(torch).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.01, momentum=0.9)

    def step(self, batch: Any) -> None:
        """Learn."""
        functional = self.torch.nn.functional
        with self.torch.autocast(self.device, dtype=self.torch.bfloat16):
            loss = functional.cross_entropy(self.model(batch["x"]), batch["y"])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def run(self, batches: Iterator[Any], count: int) -> tuple[float, float]:
        """Take so many steps; give images a second, and the share of the time in which the GPU had nothing to do."""
        cuda = self.torch.cuda if self.device == "cuda" else None
        pairs, rows = [], 0
        for _ in range(5):
            self.step(next(batches))
        if cuda:
            cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(count):
            batch = next(batches)
            if cuda:
                pair = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
                pair[0].record()
            self.step(batch)
            if cuda:
                pair[1].record()
                pairs.append(pair)
            rows += len(batch["y"])
        if cuda:
            cuda.synchronize()
        seconds = time.perf_counter() - begun
        busy = sum(one.elapsed_time(other) for one, other in pairs) / 1000
        return rows / seconds, max(0.0, 1 - busy / seconds) if cuda else float("nan")


def loaders(root: Path, batch: int) -> dict[str, tuple[Callable[[], bs.Loader], dict[str, Any]]]:
    """Make the data; tell how each is loaded, and the settings of the output: on the GPU, 8-bit images are normalized there."""
    photographs = data.made(root, "photographs", data.photographs)
    large = data.made(root, "large_npy", data.one_npy(12_000, (SIDE, SIDE, 3), "uint8"))
    normed = bs.Normalize(MEAN, STD)
    settings: dict[str, Any] = {"batch_size": batch, "memory": "4 GiB", "last": "drop"}
    here: dict[str, Any] = {"transforms": [normed], "dtype": "float16"}
    there = {"normalize": normed, "dtype": "float16"}

    def of_array(**more: Any) -> bs.Loader:
        import numpy as np

        steps = [bs.Flip(), *more.pop("transforms", [])]
        return bs.Loader(bs.open(large / "x.npy", np.arange(12_000) % 1000), transforms=steps, **settings, **more)

    def of_files(**more: Any) -> bs.Loader:
        steps = [bs.RandomResizedCrop(SIDE), bs.Flip(), *more.pop("transforms", [])]
        return bs.Loader(bs.open(photographs), transforms=steps, **settings, **more)

    return {
        "one large .npy, uint8": (lambda: of_array(**here), {}),
        "the same, normalized on the GPU": (of_array, there),
        "JPEGs": (lambda: of_files(**here), {}),
        "JPEGs, normalized on the GPU": (of_files, there),
    }


def endless(batches: Any) -> Iterator[Any]:
    """Go through epochs without end."""
    while True:
        yield from batches


def copy_rate(torch: Any, pinned: bool) -> float:
    """Measure copies of 256 MiB to the GPU, in GB/s."""
    host, there = (
        torch.empty(1 << 28, dtype=torch.uint8, pin_memory=pinned),
        torch.empty(1 << 28, dtype=torch.uint8, device="cuda"),
    )
    times = []
    for _ in range(10):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        there.copy_(host, non_blocking=True)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return float((1 << 28) / statistics.median(times) / 1e9)


def main() -> int:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--data", type=Path, default=_HERE / "data-cache")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: only to see that this runs")
    options = parser.parse_args()
    console = Console()
    try:
        import torch
    except ImportError:
        console.print("This needs PyTorch, with a GPU: pip install torch")
        return 1
    if options.device == "cuda" and not torch.cuda.is_available():
        console.print(
            "PyTorch sees no CUDA device here, so there is nothing to measure: this tells how long a GPU waits for data. "
            "On a machine with one it takes a few minutes; --device cpu --batch 4 --steps 2 shows that it runs."
        )
        return 0
    training = Training(torch, options.device)
    like = torch.rand(options.batch, 3, SIDE, SIDE, device=options.device).to(memory_format=torch.channels_last)
    resident = {"x": like.half(), "y": torch.zeros(options.batch, dtype=torch.int64, device=options.device)}
    most, _ = training.run(endless([resident]), options.steps)
    table = Table("data", "images/s", "of resident", "GPU idle", "GB/s to the GPU", box=None)
    table.add_row("one batch that stays on the GPU", f"{most:,.0f}", "1.00", "", "")
    for name, (make, output) in loaders(options.data, options.batch).items():
        with make() as loader:
            rate, idle = training.run(endless(bs.to_torch(loader, options.device, **output)), options.steps)
            moved = rate * sum(field.nbytes for field in loader.spec.values()) / 1e9
        table.add_row(
            name, f"{rate:,.0f}", f"{rate / most:.2f}", f"{idle:.1%}" if options.device == "cuda" else "-", f"{moved:.2f}"
        )
    console.print(table)
    if options.device == "cuda":
        console.print(
            f"copies alone: {copy_rate(torch, True):.1f} GB/s page-locked, {copy_rate(torch, False):.1f} GB/s otherwise"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
