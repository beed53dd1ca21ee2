"""Ctrl-C, or the interruption of a notebook's kernel, while a program of the user trains with a checkpoint."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    """A `Checkpoint`, as far as it ends a training after the current batch."""

    def stop(self, error: BaseException | None = None) -> None:
        """Request a checkpoint, and the end of training with an error."""

    def forget_stop(self) -> None:
        """Withdraw the request."""

    @property
    def newest_path(self) -> Path | None:
        """Return the newest checkpoint."""


@contextlib.contextmanager
def saving_on_interrupt(checkpoint: Stoppable | None) -> Iterator[None]:
    """Make the first Ctrl-C within the block save a checkpoint after the current batch; a second one interrupts at once.

    Python would raise KeyboardInterrupt between any two instructions: the model may be in the middle of a step then, and JAX,
    which reuses the memory of weights, may have none of them. A program's own handler of SIGINT stays, and so does that of
    Python in other threads than the main one, which cannot set a handler.

    Parameters
    ----------
    checkpoint
        The checkpoint of the training; without one, nothing is changed.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C.
    """
    main = threading.current_thread() is threading.main_thread()
    if checkpoint is None or not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    error, pressed = KeyboardInterrupt(), False

    def handle(number: int, frame: FrameType | None) -> None:
        """Request the end of training; the next signal is Python's."""
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        checkpoint.stop(error)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        checkpoint.forget_stop()
        error.args = (f"the last checkpoint is {checkpoint.newest_path}: the same call continues there",)
    if pressed:  # after the last batch, which nothing follows that could raise it
        raise error
