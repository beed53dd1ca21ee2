"""Progress of long calls, if the caller asks for it with ``progress=True``: a bar in notebooks, one updated line on terminals."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from bitesize.html.notebook import COLORS, element, joined, output

Totals = Callable[[int, int], None]
Counts = Callable[[int], None]
# Often enough to be seen moving, rarely enough not to slow down the work or to fill a log.
_EVERY_SECONDS, _EVERY_SECONDS_OF_A_LOG = 0.25, 60.0
_WIDTH = 24


def totals(progress: Totals | bool | None, title: str, unit: str = "rows") -> Totals | None:
    """Return a function that takes what is done and the total: the caller's, a `Bar` for True, or None.

    Parameters
    ----------
    progress
        As the caller has given it.
    title
        What is done, such as ``"packing"``.
    unit
        Unit of the numbers.
    """
    if isinstance(progress, bool):
        return Bar(title, unit) if progress else None
    return progress


def counts(progress: Counts | bool | None, title: str, total: int, unit: str = "rows") -> Counts | None:
    """Return a function that takes what was done since its last call: the caller's, one that moves a `Bar` for True, or None."""
    if not isinstance(progress, bool):
        return progress
    if not progress:
        return None
    bar, done = Bar(title, unit), 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        bar(done, total)

    bar(0, total)
    return add


def ignore(count: int) -> None:
    """Show no progress."""


class Bar:
    """Shows what is done: in the output of a notebook's cell, else on stderr.

    Parameters
    ----------
    title
        What is done.
    unit
        Unit of the numbers.
    """

    def __init__(self, title: str, unit: str = "rows") -> None:
        self._title, self._unit = title, unit
        self._lock = threading.Lock()  # some calls report from their threads
        self._begun: float | None = None
        self._due = self._first = 0.0
        self._ended = False
        self._cell = _cell()
        self._moves = sys.stderr is not None and sys.stderr.isatty()
        self._width = 0

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        with self._lock:
            now = time.monotonic()
            if self._begun is None:
                self._begun, self._first = now, done
            ends = done >= total
            if self._ended or (now < self._due and not ends):
                return
            self._ended = ends
            self._show(done, total, self._figures(done, total, now - self._begun))
            self._due = now + (_EVERY_SECONDS if self._cell is not None or self._moves else _EVERY_SECONDS_OF_A_LOG)

    def _figures(self, done: int, total: int, seconds: float) -> str:
        """Return numbers, speed, and the time left or spent as text."""
        said = [f"{done:,}/{total:,} {self._unit}"]
        rate = (done - self._first) / seconds if seconds > 0 else 0
        if self._ended:
            said.append(f"{seconds:,.1f} s")
        elif rate > 0:
            said += [f"{rate:,.0f} {self._unit}/s", f"{(total - done) / rate:,.0f} s left"]
        return ", ".join(said)

    def _show(self, done: int, total: int, figures: str) -> None:
        share = min(1.0, done / max(total, 1))
        text = f"{self._title}: {figures}"
        if self._cell is not None:
            self._cell(_html(share, text), text)
        elif self._moves:
            filled = round(share * _WIDTH)
            line = f"{self._title} [{'#' * filled}{'.' * (_WIDTH - filled)}] {figures}"
            end = "\n" if self._ended else ""
            sys.stderr.write(f"\r{line:<{self._width}}{end}")
            sys.stderr.flush()
            self._width = len(line)
        elif self._ended or self._due:  # a log gets no line at once, as most work is short
            sys.stderr.write(f"{text}\n")


def _html(share: float, text: str) -> str:
    inside = element("rect", x=0, y=0, width=f"{600 * share:.0f}", height=8, rx=2, fill=COLORS[0])
    frame = element("rect", x=0.5, y=0.5, width=599, height=7, rx=2, fill="none", stroke="currentColor", stroke_opacity=0.5)
    return output(
        joined([text]), element("svg", inside, frame, role="img", aria_label=text, viewBox="0 0 600 8", width=600, height=8)
    )


def _cell() -> Callable[[str, str], None] | None:
    """Return a function that shows HTML, or its text, in the output of the running cell; None outside of notebooks."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if not hasattr(shell, "kernel"):  # also IPython in a terminal has a shell, but no kernel
        return None
    from IPython import display

    display_in_cell: Any = display.display
    handle: Any = None

    def show(html: str, text: str) -> None:
        """Show HTML in place of what was shown before."""
        nonlocal handle
        data = {"text/html": html, "text/plain": text}
        if handle is None:
            handle = display_in_cell(data, raw=True, display_id=True)
        else:
            handle.update(data, raw=True)

    return show
