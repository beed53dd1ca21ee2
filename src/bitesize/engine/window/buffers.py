"""Memory for chunks of rows, and the threads that wait for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.mapping import allocate as map_memory

Buffer = NDArray[np.uint8]


class BufferPool:
    """Memory of a limited size. Returned buffers are reused for chunks of the same size.

    Loads get memory in the order in which they were dispatched, which is the order of the schedule. Otherwise a later load could
    take memory that an earlier load needs, while the threads that could return memory wait for the earlier load. All methods except
    the last two are called with the lock ``changed`` held.

    Parameters
    ----------
    nbytes
        Total bytes.
    """

    def __init__(self, nbytes: int) -> None:
        self.lock = threading.RLock()  # entered by native code: Ctrl-C within Condition.__enter__ would leave it locked
        self.changed = threading.Condition(self.lock)
        self._left = nbytes
        self._idle: dict[int, list[Buffer]] = {}
        self._loads: deque[object] = deque()  # without memory yet, in order
        self._active = self._waiting = 0  # threads that have work; and threads that wait since the last change
        self._stuck = False  # whether all active threads wait
        self._closed = False

    def enter(self, load: object | None) -> None:
        """Count a thread that will use cached chunks, or load a chunk."""
        self._active += 1
        if load is not None:
            self._loads.append(load)

    def leave(self) -> None:
        """Subtract a thread from the count."""
        self._active -= 1
        self.progress()

    def progress(self) -> None:
        """Wake all waiting threads after a change, so that each checks its condition again."""
        self._waiting, self._stuck = 0, False
        self.changed.notify_all()

    def wait(self) -> None:
        """Wait for other threads. When all threads wait, wake them once; the first load in line then proceeds without memory."""
        self._waiting += 1
        if self._waiting < self._active:
            self.changed.wait()
        else:
            self.progress()
            self._stuck = True

    def allocate(self, nbytes: int, load: object, ended: Callable[[], bool]) -> Buffer | None:
        """Wait until memory is free; return None if no thread can return memory, or ``ended`` is true."""
        buffer = None
        while not ended():
            if self._loads[0] is load:
                buffer = self._find(nbytes)
                if buffer is not None or self._stuck:
                    break
            self.wait()
        self._loads.remove(load)
        self.progress()
        return buffer

    def _find(self, nbytes: int) -> Buffer | None:
        if self._idle.get(nbytes):
            return self._idle[nbytes].pop()
        for size, buffers in self._idle.items():
            while buffers and self._left < nbytes:
                buffers.pop()
                self._left += size
        if self._left < nbytes:
            return None
        buffer = map_memory(nbytes)
        self._left -= nbytes
        return buffer

    def put_back(self, buffer: Buffer) -> None:
        """Return memory to the pool."""
        if not self._closed:
            self._idle.setdefault(buffer.nbytes, []).append(buffer)
        self.progress()

    def grow(self, nbytes: int) -> None:
        """Add bytes."""
        with self.lock:
            self._left += nbytes

    def close(self) -> None:
        """Release all memory, now or when it is returned."""
        with self.lock:
            self._closed = True
            self._idle = {}
