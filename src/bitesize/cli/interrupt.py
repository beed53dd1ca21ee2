"""Handle Ctrl-C and SIGTERM: they are never lost, and can end training gracefully."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

# A graceful end that takes longer than this is abandoned; the last checkpoint stays.
GENTLE_SECONDS = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Record of the signal that has requested an end, if any.

    Python raises KeyboardInterrupt at the current position of the main thread. In native code of a framework (waiting for a
    result of JAX, for example) or in a destructor, the exception can be swallowed. So the signal is recorded, and raised again.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._gentle: Callable[[], None] | None = None

    @property
    def pressed(self) -> bool:
        """Return whether a signal has arrived."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """Exit code of a process that the signal ended, as in shells: 130 for Ctrl-C, 141 for a closed pipe, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived; not during a graceful end, which raises it itself."""
        if self.pressed and self._gentle is None:
            raise KeyboardInterrupt

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: the first requests an end, a second ends the process at once."""
        if self.pressed:
            leave()
        self.number = number
        if self._gentle is None:
            raise KeyboardInterrupt
        self._gentle()

    @contextlib.contextmanager
    def gently(self, ask: Callable[[], None], waits: Callable[[], bool], too_late: Callable[[], None]) -> Iterator[None]:
        """Call ``ask`` for a signal within the block; ``ask`` arranges a KeyboardInterrupt at a safe moment.

        Parameters
        ----------
        ask
            Called in the signal's handler.
        waits
            Return whether the end is still pending. If it is after `GENTLE_SECONDS`, the process ends.
        too_late
            Called before the process ends.
        """

        def give_up() -> None:
            """End the process if the graceful end is still pending."""
            if waits():
                too_late()
                leave()

        def begin() -> None:
            """Call ``ask``, and start the timer."""
            ask()
            timer = threading.Timer(GENTLE_SECONDS, give_up)
            timer.daemon = True
            timer.start()

        self._gentle = begin
        try:
            yield
        finally:
            self._gentle = None


INTERRUPT = Interrupt()  # one per process, because signals are per process


def leave() -> NoReturn:
    """End the process at once, with the exit code of its signal; close all loaders and files before.

    A normal exit would wait for a framework to stop its threads and unload its modules, which takes seconds.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the program that reads it has ended
            stream.flush()
    os._exit(INTERRUPT.exit_code)


def end_when_blocked() -> None:
    """Make a signal end this process also while it waits in native code, where Python handles no signal: for another rank, for example.

    Python writes the number of each signal to a socket at once, which a thread reads.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    _sockets[:] = [writer]  # kept open

    def watch() -> None:
        """End the process if the main thread has not handled a signal, or ended, in time."""
        while number := reader.recv(1):
            if number[0] in _SIGNALS:
                time.sleep(GENTLE_SECONDS + 1)
                INTERRUPT.number = INTERRUPT.number or number[0]
                leave()

    threading.Thread(target=watch, name="bitesize-signals", daemon=True).start()


_sockets: list[socket.socket] = []


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Record Ctrl-C and SIGTERM within the block, and raise KeyboardInterrupt as usual."""
    interrupt = INTERRUPT
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread can set handlers, and only there is KeyboardInterrupt raised
        return
    before = [signal.signal(number, interrupt.handle) for number in _SIGNALS]
    try:
        yield interrupt
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
