"""Output that fits terminals, files and other programs, and ends in order where it can no longer be written."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from bitesize.cli.interrupt import INTERRUPT

_MOST_COLUMNS = 10_000  # of a table
_SIGPIPE = 13  # also on Windows, which has no such signal: exit code 141


class Output(Console):
    """Console that breaks lines of text only for a terminal: files and other programs get each line whole."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print as `rich.console.Console` does."""
        if soft_wrap is None and not self.is_terminal and all(isinstance(each, str) for each in objects):
            soft_wrap = True
        with writing(self.file):
            super().print(*objects, soft_wrap=soft_wrap, **options)

    def print_table(self, table: Table) -> None:
        """Print a table; words and figures are never cut: where the output is too narrow for them, lines become longer than it."""
        wide = self.options.update(width=_MOST_COLUMNS)
        for column in table.columns:
            column.min_width = max(Measurement.get(self, wide, cell).minimum for cell in (column.header, *column.cells))
        self.print(table, crop=False)

    def on_broken_pipe(self) -> None:
        """End the command, as `writing` does; rich would end the process."""
        _end_of_output(self.file)


@contextlib.contextmanager
def writing(stream: Any) -> Iterator[None]:
    """Write to stdout or stderr within the block, and end the command in order where that is not possible.

    A program that reads the output may end first, such as ``head``. That counts as a signal: training saves, and the exit code is 141.
    On a full disk, the command ends with an error.
    """
    try:
        yield
    except BrokenPipeError:
        _end_of_output(stream)
    except OSError as error:
        _drop(stream)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: the output cannot be written: {error.strerror or error}\n")
        raise SystemExit(1) from error


def open_streams() -> None:
    """Make stdout and stderr accept any text, also where stdout or stderr is closed (``>&-``)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif hasattr(stream, "reconfigure"):  # characters that this terminal cannot show are escaped
            stream.reconfigure(errors="backslashreplace")


def _end_of_output(stream: Any) -> None:
    _drop(stream)
    if INTERRUPT.pressed:
        return  # the reader got the same Ctrl-C, as in `bitesize train photos/ | tee log`: work ends in order
    if threading.current_thread() is not threading.main_thread():
        INTERRUPT.number = _SIGPIPE  # which the work finds
        return
    _drop(sys.stderr)
    INTERRUPT.handle(_SIGPIPE, None)


def _drop(stream: Any) -> None:
    """Write nothing more to a stream that failed; what is in its buffer would fail again when the process ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
