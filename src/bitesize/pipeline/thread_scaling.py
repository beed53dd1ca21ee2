"""Number of working threads of a loader: one per processor, more while processors are idle, fewer if fewer are enough.

Threads wait for the disk, or for the interpreter's lock next to a busy consumer. More threads then have more reads in progress,
and get the lock more often. If the processors are the limit, more threads only slow each other down. So additional threads stay idle
until processors are unused, and keep working only if loading becomes faster.

Every image takes the interpreter's lock a few times, and so does each Python operation of a training. On many processors,
unneeded threads take the lock from needed threads and from the training. On 16 processors, 8 threads decoded faster than 16, and
fed a GPU 1.7 times as fast. So threads that are not needed are also idle.
"""

from __future__ import annotations

import threading
import time

# Least seconds and bites between two decisions, large enough to average out noise.
_WINDOW, _BITES = 0.1, 16
# Processors count as unused below the first share of their time, and as fully used above the second.
_UNUSED, _USED_UP = 0.8, 0.95
# If threads wait for slots for more than this share of their time, the consumer is slow, and more threads would wait too.
_STARVED = 0.2
# An additional thread must increase the speed by this factor; otherwise it becomes idle, and the next trial is after _REST seconds.
_WORTH_IT, _REST = 1.02, 2.0
# With a quarter fewer threads, the speed must stay above this share.
_AS_GOOD = 0.95
# Least number of working threads (up to the processors), at which the lock is not a limit; and the number at the start.
_FEW, _FIRST = 4, 8


class ThreadScaler:
    """Controls which threads work.

    Parameters
    ----------
    least
        Number of processors for threads.
    most
        Number of all threads. If it is equal to ``least``, all of them work.
    """

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self.working = least if most == least else min(least, _FIRST)
        self._floor = min(least, _FEW)
        self._lock = threading.RLock()  # entered by native code: Ctrl-C within Condition.__enter__ would leave it locked
        self._changed = threading.Condition(self._lock)
        self._begun = time.monotonic()
        self._cpu = self._idle = 0.0
        self._rows = self._bites = 0
        self._before: tuple[int, float] | None = None  # threads, and rows per second, before a trial of another number
        self._fewer_next = False
        self._rest_until = 0.0
        self._closed = False

    def wait(self, number: int) -> None:
        """Wait until thread ``number`` has to work, or the loader is closed."""
        if number < self.working:
            return
        with self._lock:
            while number >= self.working and not self._closed:
                self._changed.wait()

    def report(self, rows: int, cpu: float, idle: float) -> None:
        """Record one bite of a thread: rows, processor seconds, and seconds that it waited for work."""
        if self.most == self.least:
            return
        with self._lock:
            self._rows += rows
            self._bites += 1
            self._cpu += cpu
            self._idle += idle
            now = time.monotonic()
            if now - self._begun >= _WINDOW and self._bites >= _BITES:
                self._decide(now)

    def limit(self, most: int) -> None:
        """Set the largest number of working threads."""
        with self._lock:
            self.most = max(self.least, most)
            self.working = min(self.working, self.most)

    def close(self) -> None:
        """Wake all threads permanently."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def _decide(self, now: float) -> None:
        seconds = now - self._begun
        rate = self._rows / seconds
        used, starved = self._cpu / (seconds * self.least), self._idle / (seconds * self.working)
        if starved > _STARVED:  # threads produce more than the consumer takes, with any number of threads
            self._before = None
            self.working = max(self._floor, self.working - 1)
        elif self._before is not None and not self._was_good(rate):
            self.working, self._before = self._before[0], None
            self._rest_until, self._fewer_next = now + _REST, not self._fewer_next
        elif self._may_try(used) and now >= self._rest_until and (tried := self._next_trial()) != self.working:
            self.working, self._before = tried, (self.working, rate)
        else:
            self._before = None
            if self.working > self.least and used > _USED_UP:
                self.working -= 1
        self._changed.notify_all()
        self._begun, self._cpu, self._idle, self._rows, self._bites = now, 0.0, 0.0, 0, 0

    def _may_try(self, used: float) -> bool:
        """Return whether another number of threads may be faster: processors are unused, or fewer threads than processors work."""
        return used < _UNUSED or self.working < self.least

    def _was_good(self, rate: float) -> bool:
        """Return whether the number of threads on trial is good enough to keep."""
        assert self._before is not None
        threads, before = self._before
        return rate >= before * (_WORTH_IT if self.working > threads else _AS_GOOD)

    def _next_trial(self) -> int:
        """Return the number of threads to try next."""
        more, fewer = min(self.working + 1, self.most), max(self._floor, self.working - max(1, self.working // 4))
        return fewer if self.working <= self.least and (self._fewer_next or more == self.working) else more
