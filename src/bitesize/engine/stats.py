"""Where a loader's time went."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


class Clock:
    """Seconds that one thread spent, by what it did; only that thread writes.

    Attributes
    ----------
    read, fetch, decode, draw, user : float
        Reading from disk, reading and casting in one step, decoding, the kernels, and functions of the user.
    idle : float
        Waiting for a slot to fill: the consumer is slower.
    busy : float
        Filling slots, all of the above but ``idle``, and Python's own time beside it.
    rows : int
        Rows filled.
    """

    __slots__ = ("busy", "decode", "draw", "fetch", "idle", "read", "rows", "user")

    def __init__(self) -> None:
        self.read = self.fetch = self.decode = self.draw = self.user = self.idle = self.busy = 0.0
        self.rows = 0


@dataclass
class Stats:
    """Counts of one loader since it was made.

    Attributes
    ----------
    rows, batches : int
        Handed to the caller.
    waited : float
        Seconds the caller waited for batches.
    started : float
        `time.perf_counter` at the first request.
    ended : float
        The same when the last batch was handed out.
    clocks : list of Clock
        Of each thread.
    """

    rows: int = 0
    batches: int = 0
    waited: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    clocks: list[Clock] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, rows: int, waited: float) -> None:
        """Count one batch."""
        with self._lock:
            now = time.perf_counter()
            if not self.batches:
                self.started = now - waited
            self.rows += rows
            self.batches += 1
            self.waited += waited
            self.ended = now

    @property
    def rows_per_second(self) -> float:
        """Rows handed out per second between the first request and the last batch, the caller's own work included."""
        spent = self.ended - self.started
        return self.rows / spent if spent > 0 else 0.0
