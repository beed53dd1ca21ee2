"""Progress of long work: on a terminal and in a notebook one updated line that always fits; elsewhere one line per minute, for logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bitesize.cli.cell_line import CellLine, in_cell
from bitesize.cli.console import console as stdout
from bitesize.cli.console import errors

# Often enough to show progress in a log, rarely enough not to fill it.
EVERY_SECONDS = 60.0
_LEAST_BAR, _MOST_BAR = 6, 24


@dataclass(frozen=True)
class Figures:
    """State of some work in progress.

    Parameters
    ----------
    what
        ``"epoch 3/5"`` or ``"reading"``.
    done, total
        Position and length of the bar.
    count
        The same as text: ``"120/984"``.
    unit
        Unit of the count, for logs: ``"batch"``; empty if it is clear.
    others
        Other figures, the most important first: if the line is too narrow, the last ones are left out.
    left
        Seconds left, or None if not known yet.
    """

    what: str
    done: float
    total: float
    count: str
    unit: str = ""
    others: tuple[str, ...] = ()
    left: float | None = None

    @property
    def share(self) -> float:
        """Part that is done, 0 to 1."""
        return min(1.0, self.done / max(self.total, 1))

    def text(self) -> str:
        """Return all figures as one line for a log."""
        left = () if self.left is None else (f"{format_left(self.left)} left",)
        return ", ".join([self.what, f"{self.unit} {self.count}".strip(), *self.others, *left])

    def fitted(self, width: int) -> tuple[str, int, str]:
        """Return the text before the bar, the width of the bar (0: no bar), and the text after it.

        Figures are left out, the last first, until the line fits; ``what``, ``count`` and ``left`` always stay.
        """
        left = format_left(self.left)
        for shown in range(len(self.others), -1, -1):
            behind = "  ".join([self.count, *self.others[:shown], left])
            room = width - len(self.what) - len(behind) - 3  # two spaces, and the last column, at which some terminals wrap
            if room >= _LEAST_BAR:
                return self.what, min(room, _MOST_BAR), behind
        return self.what, 0, f"{self.count}  {left}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        before, bar, behind = self.fitted(options.max_width)
        line = Table.grid(padding=(0, 1, 0, 0))
        shown: list[RenderableType] = [Text(before, no_wrap=True)]
        if bar:
            shown.append(ProgressBar(max(self.total, 1), self.done, width=bar))
        line.add_row(*shown, Text(behind, no_wrap=True))
        yield line


def format_left(seconds: float | None) -> str:
    """Format a time in hours, minutes and seconds.

    Examples
    --------
    >>> format_left(3725.4), format_left(None)
    ('1:02:05', '-:--:--')
    """
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Pace:
    """Rate of counted work, and the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun: float | None = None
        self._first = self._done = 0.0
        self._now = 0.0

    def at(self, done: float) -> None:
        """Record how much is done; the first call starts the clock, so that one-time loading does not count."""
        self._now = self._clock()
        if self._begun is None:
            self._begun, self._first = self._now, done
        self._done = done

    @property
    def rate(self) -> float | None:
        """Count per second, or None if not known yet."""
        spent = 0.0 if self._begun is None else self._now - self._begun
        return (self._done - self._first) / spent if spent > 0 and self._done > self._first else None

    def left(self, total: float) -> float | None:
        """Return the seconds until ``total`` is done, or None if not known yet."""
        return None if not self.rate else max(0.0, (total - self._done) / self.rate)


class Moving:
    """Context manager that shows progress: updated in place on a terminal, elsewhere printed to stderr once a minute.

    Parameters
    ----------
    figures
        Return the current figures, or None before there are any.
    console
        Console for the output.
    hide
        Show nothing.
    """

    def __init__(self, figures: Callable[[], Figures | None], console: Console, *, hide: bool = False) -> None:
        self._figures, self._hide = figures, hide
        self._live: Live | CellLine | None = None
        if console.is_interactive and not hide:
            self._live = (
                CellLine(figures, console, (stdout, errors))
                if in_cell()
                else Live(get_renderable=self._shown, console=console, transient=True, refresh_per_second=5)
            )
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Moving:
        if self._live is not None:
            self._live.start()
        elif not self._hide and self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="bitesize-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _shown(self) -> RenderableType:
        return self._figures() or Text("")

    def _beat(self) -> None:
        while not self._end.wait(EVERY_SECONDS):
            if (figures := self._figures()) is not None:
                errors.print(figures.text(), markup=False, highlight=False, soft_wrap=True)
