"""Ctrl-C that is never lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

EXIT_INTERRUPTED = 130  # as shells count a process that SIGINT ended


class Interrupt:
    """Whether Ctrl-C was pressed.

    Python raises KeyboardInterrupt wherever the main thread happens to be, and where that is in native code of a framework
    (waiting for JAX's result, say) or in a destructor, it may be swallowed. So it is remembered, and raised again.
    """

    def __init__(self) -> None:
        self.pressed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was pressed."""
        if self.pressed:
            raise KeyboardInterrupt


INTERRUPT = Interrupt()  # one a process, as there is one Ctrl-C


def leave() -> NoReturn:
    """End the process at once, with the exit code of Ctrl-C; everything of ours must be closed.

    Unwinding further would wait for a framework to tear down its threads and modules, which takes seconds.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Remember Ctrl-C within the block, besides raising KeyboardInterrupt as always."""
    interrupt = INTERRUPT
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread may set handlers, and only there is it raised
        return

    def handle(number: int, frame: FrameType | None) -> None:
        interrupt.pressed = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
