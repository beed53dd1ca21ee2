"""Output of training: the plan, a progress line, and one table line per epoch."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

from bitesize.cli.bar import memory_of
from bitesize.cli.console import console, counted, plain, print_understood, print_warning
from bitesize.cli.interrupt import INTERRUPT
from bitesize.cli.moving import Figures, Moving, Pace
from bitesize.cli.plan_output import print_plan
from bitesize.memory.sizes import rounded
from bitesize.training.need import plan_of

_WIDTHS, _LEAST_WIDTH = {"epoch": 6, "rows_per_second": 10}, 9
_TITLES = {"rows_per_second": "rows/s"}


class Quiet:
    """Listener that shows nothing, and counts finished epochs."""

    def __init__(self) -> None:
        self.epochs = 0

    def planned(self, job: Any) -> None:
        """Show nothing."""

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """End training if Ctrl-C was pressed."""
        INTERRUPT.check()

    def epoch(self, line: dict[str, Any]) -> None:
        """Count."""
        self.epochs += 1

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class Terminal(Quiet):
    """Listener that shows the plan, a progress line with rate, time left and memory, and one table line per epoch."""

    def __init__(self, with_plan: bool = True) -> None:
        super().__init__()
        self._with_plan = with_plan
        self._diverged = False
        self._job: Any = None
        self._whole = Pace()  # batches of all epochs, with validation and saving: for the time left
        self._epoch = Pace()  # batches of this epoch
        self._speed = ""  # rows per second, latest value
        self._at = (0, 0)  # epoch, and its finished batches
        self._logs: dict[str, float] = {}
        self._moving = Moving(self._figures, console)

    def planned(self, job: Any) -> None:
        """Print the plan of the run."""
        self._job = job
        if self._with_plan:
            print_understood(job.train, job.said)
            print_plan(plan_of(job.loader, job.val_loader))
        for warning in job.warnings:
            print_warning(warning)
        val = f"{len(job.val):,}" if job.val is not None else "no"
        console.print(
            f"{job.described}, {counted(len(job.train), 'row')} to train on, {val} to validate on, {job.task.described}\n",
            highlight=False,
        )
        if job.resuming:
            console.print(f"continuing from {plain(str(job.checkpoint.newest_path))}\n", highlight=False)
        self._moving.__enter__()

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Record the position of training."""
        super().batch(epoch, batch, logs)
        if epoch != self._at[0]:
            self._epoch = Pace()
        self._at, self._logs = (epoch, batch), logs
        self._epoch.at(batch)
        self._whole.at(epoch * len(self._job.loader) + batch)
        if self._epoch.rate:
            self._speed = f"{self._epoch.rate * self._job.loader.batch_size:,.0f} rows/s"

    def _figures(self) -> Figures | None:
        """Return the position of training."""
        if self._job is None:
            return None
        (epoch, batch), job = self._at, self._job
        batches, epochs = len(job.loader), job.settings.epochs
        validates = batch == batches and job.val_loader is not None
        title = f"{'validating' if validates else 'epoch'} {epoch + 1}/{epochs}"
        # The loss before speed and memory; other metrics only if they fit.
        loss, *metrics = [
            f"{name} {figure(self._logs[name])}" for name in sorted(self._logs, key=lambda name: name != "loss")
        ] or [""]
        others = [text for text in (loss, self._speed, memory_of(job.budget), *metrics) if text]
        left = self._whole.left(epochs * batches)
        return Figures(title, batch, batches, f"{batch:,}/{batches:,}", "batch", tuple(others or ["starting"]), left)

    def epoch(self, line: dict[str, Any]) -> None:
        """Print a table line."""
        names = _in_order(line)
        if console.is_terminal:
            names, left_out = _fitting(names, console.width)
            if left_out and not self.epochs:
                shown = ", ".join(_TITLES.get(name, name) for name in left_out)
                console.print(f"[dim]not shown on this narrow terminal: {shown} (history.csv has them)[/]", highlight=False)
        if not self.epochs:
            console.print("".join(f"{_TITLES.get(name, name):>{_width(name)}}" for name in names), style="bold")
        cells = []
        for name in names:
            value = line[name]
            text = str(value) if name == "epoch" else f"{value:,.0f}" if name == "rows_per_second" else figure(value)
            cells.append(f" {text:>{_width(name) - 1}}")
        console.print("".join(cells), highlight=False)
        if not math.isfinite(line.get("loss", 0.0)) and not self._diverged:
            self._diverged = True
            print_warning("the loss is NaN: check the data for NaN with bitesize stats, or use a lower --learning-rate")
        if line["epoch"] < self._job.settings.epochs:
            self._at, self._logs, self._epoch = (line["epoch"], 0), {}, Pace()
        super().epoch(line)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._moving.__exit__(kind, error, trace)


def _in_order(line: dict[str, Any]) -> list[str]:
    """Return the columns of the table: figures of training, then of validation, each with the loss first."""
    figures = [name for name in line if name not in ("epoch", "rows_per_second", "seconds")]
    figures.sort(key=lambda name: (name.startswith("val_"), name.removeprefix("val_") != "loss"))
    return [name for name in ("epoch", *figures, "rows_per_second", "seconds") if name in line]


def _fitting(names: list[str], width: int) -> tuple[list[str], list[str]]:
    """Return the columns that fit, and those that do not, the least important ones.

    Examples
    --------
    >>> _fitting(["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "rows_per_second", "seconds"], 40)
    (['epoch', 'loss', 'val_loss', 'val_accuracy'], ['accuracy', 'rows_per_second', 'seconds'])
    """
    first = ("epoch", "val_loss", "loss")
    ranked = sorted(
        names, key=lambda name: (name not in first, name in ("rows_per_second", "seconds"), not name.startswith("val_"))
    )
    kept: set[str] = set()
    for name in ranked:
        if sum(map(_width, (*kept, name))) > width:
            break
        kept.add(name)
    return [name for name in names if name in kept], [name for name in names if name not in kept]


def _width(name: str) -> int:
    return _WIDTHS.get(name, max(_LEAST_WIDTH, len(name) + 1))


def figure(value: float) -> str:
    """Return a figure with three decimals, or three or four digits if it is small or large: errors may be in any unit."""
    if value and abs(value) < 5e-4:
        return f"{value:.3g}"
    return f"{value:.3f}" if abs(value) < 1000 else rounded(value)
