"""How training shows itself: the plan, a line that moves, and a table line an epoch."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bitesize.cli.console import console, counted, plain, print_understood, print_warning
from bitesize.cli.interrupt import INTERRUPT
from bitesize.cli.plan import print_plan
from bitesize.memory.sizes import format_size
from bitesize.training.need import plan_of

_WIDTHS = {"epoch": 6, "loss": 9, "accuracy": 9, "val_loss": 9, "val_accuracy": 13, "rows_per_second": 10, "seconds": 9}
_TITLES = {"rows_per_second": "rows/s"}


class Quiet:
    """Shows nothing, and counts finished epochs."""

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
    """Shows the plan, then a progress line with rate, time left and memory, and a table line an epoch."""

    def __init__(self, with_plan: bool = True) -> None:
        super().__init__()
        self._with_plan = with_plan
        self._diverged = False
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._job: Any = None
        self._task: Any = None

    def planned(self, job: Any) -> None:
        """Print what is about to run."""
        self._job = job
        if self._with_plan:
            print_understood(job.train, job.said)
            print_plan(plan_of(job.loader, job.val_loader))
        for warning in job.warnings:
            print_warning(warning)
        val = f"{len(job.val):,}" if job.val is not None else "no"
        console.print(
            f"{job.described}, {counted(len(job.train), 'row')} to train on, {val} to validate on, "
            f"{counted(len(job.classes), 'class', 'classes')}\n",
            highlight=False,
        )
        if job.goes_on:
            console.print(f"continuing from {plain(str(job.checkpoint.newest_path))}\n", highlight=False)
        self._progress.start()
        self._task = self._progress.add_task("epoch 1", total=len(job.loader), figures="starting")

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Move the line."""
        super().batch(epoch, batch, logs)
        job = self._job
        stats = job.loader.stats
        figures = "  ".join(f"{name} {value:.3f}" for name, value in logs.items())
        used = f"{format_size(job.budget.in_use)} of {format_size(job.budget.total)}"
        self._progress.update(
            self._task,
            description=f"epoch {epoch + 1}/{job.settings.epochs}",
            completed=batch,
            total=len(job.loader),
            figures=f"{figures}  {stats.rows_per_second:,.0f} rows/s  {used}",
        )

    def epoch(self, line: dict[str, Any]) -> None:
        """Print a table line."""
        names = [name for name in _WIDTHS if name in line]
        if not self.epochs:
            self._progress.console.print(
                "".join(f"{_TITLES.get(name, name):>{_WIDTHS[name]}}" for name in names), style="bold"
            )
        cells = []
        for name in names:
            value = line[name]
            text = str(value) if name == "epoch" else f"{value:,.0f}" if name == "rows_per_second" else f"{value:.3f}"
            cells.append(f"{text:>{_WIDTHS[name]}}")
        self._progress.console.print("".join(cells), highlight=False)
        if not math.isfinite(line.get("loss", 0.0)) and not self._diverged:
            self._diverged = True
            print_warning(
                "the loss is no number any more: the data may hold NaN (see bitesize stats), or lower --learning-rate"
            )
        self._progress.reset(self._task, total=len(self._job.loader))
        super().epoch(line)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()
