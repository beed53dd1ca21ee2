"""How many of a loader's threads work: as many as there are processors, and more while those have nothing to do.

Threads wait for the disk, or for the interpreter's lock beside a busy consumer. Then more of them have more reads under
way, and get more turns. Where processors are the limit, more threads only get into each other's way; so the others stand
by until the processors are not used, and stay only if they make it faster.
"""

from __future__ import annotations

import threading
import time

# Seconds and bites between two looks: enough that chance does not decide.
_WINDOW, _BITES = 0.1, 16
# The processors count as unused below this share of their time, and as used up above that one.
_UNUSED, _USED_UP = 0.8, 0.95
# Threads that wait for slots for more than this share of their time have a slow consumer: more would wait too.
_STARVED = 0.2
# A thread more must bring at least this much, or it stands by again, and none is tried for so many seconds.
_WORTH_IT, _REST = 1.02, 2.0


class Crew:
    """Decides which threads work.

    Parameters
    ----------
    least
        Threads that always work: the processors there are for them.
    most
        All threads.
    """

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self.working = least
        self._lock = threading.RLock()  # entered by native code: Ctrl-C within Condition.__enter__ would leave it locked
        self._changed = threading.Condition(self._lock)
        self._begun = time.monotonic()
        self._cpu = self._idle = 0.0
        self._rows = self._bites = 0
        self._before: float | None = None  # rows per second before the last thread was added
        self._rest_until = 0.0
        self._closed = False

    def wait(self, number: int) -> None:
        """Stand by until thread ``number`` is to work, or the loader ends."""
        if number < self.working:
            return
        with self._lock:
            while number >= self.working and not self._closed:
                self._changed.wait()

    def report(self, rows: int, cpu: float, idle: float) -> None:
        """Count what a thread did in one bite: rows, seconds of a processor, seconds it waited for something to do."""
        if self.most == self.least:
            return
        with self._lock:
            self._rows += rows
            self._bites += 1
            self._cpu += cpu
            self._idle += idle
            now = time.monotonic()
            if now - self._begun >= _WINDOW and self._bites >= _BITES:
                self._look(now)

    def limit(self, most: int) -> None:
        """Never let more than so many threads work."""
        with self._lock:
            self.most = max(self.least, most)
            self.working = min(self.working, self.most)

    def close(self) -> None:
        """Wake all threads for good."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def _look(self, now: float) -> None:
        seconds = now - self._begun
        rate = self._rows / seconds
        used, starved = self._cpu / (seconds * self.least), self._idle / (seconds * self.working)
        if self._before is not None and rate < self._before * _WORTH_IT:
            self.working -= 1
            self._rest_until = now + _REST
            self._before = None
        elif used < _UNUSED and starved < _STARVED and self.working < self.most and now >= self._rest_until:
            self.working += 1
            self._before = rate
            self._changed.notify_all()
        else:
            self._before = None
            if self.working > self.least and (used > _USED_UP or starved > _STARVED):
                self.working -= 1
        self._begun, self._cpu, self._idle, self._rows, self._bites = now, 0.0, 0.0, 0, 0
