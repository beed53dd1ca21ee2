"""Memory for runs of rows, and the threads that wait for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.mapping import allocate

Frame = NDArray[np.uint8]


class BufferPool:
    """Memory up to so many bytes; what is given back serves runs of the same size again.

    Memory goes to loads in the order in which they were dispatched, as the schedule foresaw it: else a later one could take what an
    earlier one needs, for which those wait whose end would give memory back. All methods but the last two are called with the lock
    ``changed`` held.

    Parameters
    ----------
    nbytes
        All bytes there are.
    """

    def __init__(self, nbytes: int) -> None:
        self.lock = threading.RLock()  # entered by native code: Ctrl-C within Condition.__enter__ would leave it locked
        self.changed = threading.Condition(self.lock)
        self._left = nbytes
        self._idle: dict[int, list[Frame]] = {}
        self._loads: deque[object] = deque()  # that have no memory yet, in order
        self._active = self._waiting = (
            0  # threads that were given something to do; and those that wait since the last change
        )
        self._stuck = False  # whether all of them do
        self._closed = False

    def enter(self, load: object | None) -> None:
        """Count a thread that is to use what is held, or to load some."""
        self._active += 1
        if load is not None:
            self._loads.append(load)

    def leave(self) -> None:
        """Count it off."""
        self._active -= 1
        self.progress()

    def progress(self) -> None:
        """Wake those who wait: something has changed, so each must look again whether it still has to."""
        self._waiting, self._stuck = 0, False
        self.changed.notify_all()

    def wait(self) -> None:
        """Wait for others. When all do, they look once more: then who is first in line for memory goes without."""
        self._waiting += 1
        if self._waiting < self._active:
            self.changed.wait()
        else:
            self.progress()
            self._stuck = True

    def room(self, nbytes: int, load: object, ended: Callable[[], bool]) -> Frame | None:
        """Wait for memory until others have done with theirs; None if nobody is left who could, or it has ``ended``."""
        frame = None
        while not ended():
            if self._loads[0] is load:
                frame = self._take(nbytes)
                if frame is not None or self._stuck:
                    break
            self.wait()
        self._loads.remove(load)
        self.progress()
        return frame

    def _take(self, nbytes: int) -> Frame | None:
        if self._idle.get(nbytes):
            return self._idle[nbytes].pop()
        for size, frames in self._idle.items():
            while frames and self._left < nbytes:
                frames.pop()
                self._left += size
        if self._left < nbytes:
            return None
        frame = allocate(nbytes)
        self._left -= nbytes
        return frame

    def give(self, frame: Frame) -> None:
        """Take memory back."""
        if not self._closed:
            self._idle.setdefault(frame.nbytes, []).append(frame)
        self.progress()

    def grow(self, nbytes: int) -> None:
        """Add bytes."""
        with self.lock:
            self._left += nbytes

    def close(self) -> None:
        """Let go of all memory, now or when it is given back."""
        with self.lock:
            self._closed = True
            self._idle = {}
