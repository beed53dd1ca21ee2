"""Progress bars over rows and over bytes: rate and time left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bitesize.cli.console import errors
from bitesize.cli.interrupt import INTERRUPT


@contextlib.contextmanager
def counting(what: str, total: int, *, hide: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; call what it gives with the number of rows that were done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=hide) as progress:
        task = progress.add_task(what, total=total, rate="")

        def advance(rows: int) -> None:
            INTERRUPT.check()
            speed = progress.tasks[0].speed
            progress.update(task, advance=rows, rate=f"{speed:,.0f} rows/s" if speed else "")

        yield advance


@contextlib.contextmanager
def counting_bytes(what: str, total: int, *, hide: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; call what it gives with the number of bytes that are done so far."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=hide) as progress:
        task = progress.add_task(what, total=total)

        def at(done: int) -> None:
            INTERRUPT.check()
            progress.update(task, completed=done)

        yield at
