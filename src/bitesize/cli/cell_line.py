"""Progress in the output of a notebook's cell: one line that is written over.

Notebooks run programs with a terminal (``!bitesize train``), or as if they had one. Their outputs know carriage returns, but not
the control sequences that move the cursor and erase lines: what is written over must be as long as what was there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rich.console import Console, ConsoleRenderable, RenderHook

# An output is stored as it came: with one line a second, an hour adds 300 KB to a notebook that is executed without a browser.
_EVERY_SECONDS = 1.0
# After other output, so that a line is not put in front of it by the other thread.
_PAUSE_SECONDS = 0.2


class Shown(Protocol):
    """Figures that can be fitted into a line."""

    @property
    def share(self) -> float:
        """Part that is done, 0 to 1."""
        ...

    def fitted(self, width: int) -> tuple[str, int, str]:
        """Return the text before the bar, the width of the bar, and the text after it."""
        ...


def in_cell(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this program was started by a cell of a notebook: Jupyter sets the variable for kernels, which pass it on."""
    return "JPY_PARENT_PID" in environment


class CellLine(RenderHook):
    """Writes figures over each other, once a second; makes room for other output of the consoles.

    Parameters
    ----------
    figures
        Return the current figures, or None before there are any.
    console
        Console of the line.
    others
        Consoles whose output may come in between.
    """

    def __init__(self, figures: Callable[[], Shown | None], console: Console, others: Sequence[Console] = ()) -> None:
        self._figures, self._console = figures, console
        self._consoles = list({id(each): each for each in (console, *others)}.values())
        self._lock, self._end = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="bitesize-progress", daemon=True)
        self._width, self._free_from = 0, 0.0

    def start(self) -> None:
        """Begin to write."""
        for each in self._consoles:
            each.push_render_hook(self)
        self._thread.start()

    def stop(self) -> None:
        """Write no more, and remove the line; do nothing if it was never begun, as when training is interrupted early."""
        if self._thread.ident is None:
            return
        self._end.set()
        self._thread.join()
        for each in self._consoles:
            each.pop_render_hook()
        self._clear()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Remove the line before other output."""
        self._clear()
        return renderables

    def _clear(self) -> None:
        with self._lock:
            self._free_from = time.monotonic() + _PAUSE_SECONDS
            if self._width:
                self._write(f"\r{' ' * self._width}\r")
                self._width = 0

    def _beat(self) -> None:
        while not self._end.wait(_EVERY_SECONDS):
            figures = self._figures()
            if figures is not None:
                self._draw(figures)

    def _draw(self, figures: Shown) -> None:
        before, bar, behind = figures.fitted(self._console.width)
        full, empty = "━─" if self._console.encoding.startswith("utf") else "#."
        filled = round(bar * figures.share)
        line = " ".join(filter(None, [before, full * filled + empty * (bar - filled), behind]))
        with self._lock:
            if time.monotonic() >= self._free_from:
                self._write(f"\r{line:<{self._width}}")
                self._width = max(len(line), self._width)

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()
