"""Progress over rows and over bytes: rate, memory and time left."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bitesize.cli.console import errors
from bitesize.cli.interrupt import INTERRUPT
from bitesize.cli.moving import Figures, Moving, Pace
from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.memory.budget import Budget


@contextlib.contextmanager
def counting(
    title: str, total: int, *, hide: bool = False, unit: str = "rows", budget: Budget | None = None, disk: str | None = None
) -> Iterator[Callable[[int], None]]:  # fmt: skip
    """Show progress while the block runs, with the free space of the folder ``disk``; the yielded function adds finished rows."""
    done, pace = 0, Pace()
    pace.at(0)

    def figures() -> Figures:
        """Return how far it is."""
        others = [f"{done / max(total, 1):.0%}"]
        if pace.rate:
            others.append(f"{pace.rate:,.0f} {unit}/s")
        if budget is not None:
            others.append(memory_of(budget))
        if disk is not None and os.path.isdir(disk):
            others.append(f"{format_size(shutil.disk_usage(disk).free)} free on disk")
        return Figures(title, done, total, f"{done:,}/{total:,}", unit, tuple(others), pace.left(total))

    def advance(rows: int) -> None:
        """Count finished rows."""
        nonlocal done
        INTERRUPT.check()
        done += rows
        pace.at(done)

    with Moving(figures, errors, hide=hide):
        yield advance


@contextlib.contextmanager
def counting_bytes(title: str, total: int, *, hide: bool = False) -> Iterator[Callable[[int], None]]:
    """Show progress while the block runs; the yielded function sets the number of bytes done so far."""
    done, pace = 0, Pace()
    pace.at(0)

    def figures() -> Figures:
        """Return how far it is."""
        others = [f"{format_size(int(pace.rate))}/s"] if pace.rate else []
        return Figures(
            title, done, total, f"{format_size(done)} of {format_size(total)}", others=tuple(others), left=pace.left(total)
        )

    def at(count: int) -> None:
        """Record the number of bytes done so far."""
        nonlocal done
        INTERRUPT.check()
        done = count
        pace.at(done)

    with Moving(figures, errors, hide=hide):
        yield at


def memory_of(budget: Budget) -> str:
    """Return the bytes that a budget holds now, as text."""
    return f"{format_size(budget.in_use)}/{format_size(budget.total)}"
