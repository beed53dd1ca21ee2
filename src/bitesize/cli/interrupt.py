"""Ctrl-C and SIGTERM that are never lost, and may end training gently."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

# A gentle end that takes longer than this is none; what was saved last stays.
GENTLE_SECONDS = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Which signal has asked for an end, if one has.

    Python raises KeyboardInterrupt wherever the main thread happens to be, and where that is in native code of a framework
    (waiting for JAX's result, say) or in a destructor, it may be swallowed. So it is remembered, and raised again.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._gentle: Callable[[], None] | None = None

    @property
    def pressed(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a process that the signal ended, as shells count: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came; not while something ends gently, which raises it itself."""
        if self.pressed and self._gentle is None:
            raise KeyboardInterrupt

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the first asks, a second ends the process at once."""
        if self.pressed:
            leave()
        self.number = number
        if self._gentle is None:
            raise KeyboardInterrupt
        self._gentle()

    @contextlib.contextmanager
    def gently(self, ask: Callable[[], None], waits: Callable[[], bool], too_late: Callable[[], None]) -> Iterator[None]:
        """Within the block, let a signal call ``ask``, which is to raise KeyboardInterrupt at a better moment.

        Parameters
        ----------
        ask
            Called in the signal's handler.
        waits
            Whether that moment has not come yet. If it has not within `GENTLE_SECONDS`, the process ends.
        too_late
            Called before that.
        """

        def give_up() -> None:
            """End the process if nothing has happened."""
            if waits():
                too_late()
                leave()

        def begin() -> None:
            """Ask, and set the clock."""
            ask()
            timer = threading.Timer(GENTLE_SECONDS, give_up)
            timer.daemon = True
            timer.start()

        self._gentle = begin
        try:
            yield
        finally:
            self._gentle = None


INTERRUPT = Interrupt()  # one a process, as there is one Ctrl-C


def leave() -> NoReturn:
    """End the process at once, with the exit code of its signal; everything of ours must be closed.

    Unwinding further would wait for a framework to tear down its threads and modules, which takes seconds.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPT.exit_code)


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Remember Ctrl-C and SIGTERM within the block, besides raising KeyboardInterrupt as always."""
    interrupt = INTERRUPT
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread may set handlers, and only there is it raised
        return
    before = [signal.signal(number, interrupt.handle) for number in _SIGNALS]
    try:
        yield interrupt
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
