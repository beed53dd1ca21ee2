"""How many of a loader's threads work: as many as there are processors, more while those have nothing to do, fewer where fewer do.

Threads wait for the disk, or for the interpreter's lock beside a busy consumer. Then more of them have more reads under
way, and get more turns. Where processors are the limit, more threads only get into each other's way; so the others stand
by until the processors are not used, and stay only if they make it faster.

Every image takes the interpreter's lock a few times, and so does each operation of a training in Python. On many processors,
threads that are not needed take turns away from those that are, and from the training: of 16 processors, 8 decoded faster than
all, and a GPU beside them was fed 1.7 times as fast. So what is not needed stands by, too.
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
# A quarter of the threads less must leave this much.
_AS_GOOD = 0.95
# So many always work, where there are the processors: beside fewer, the lock is no limit. And so many work at first.
_FEW, _FIRST = 4, 8


class ThreadScaler:
    """Decides which threads work.

    Parameters
    ----------
    least
        The processors there are for threads.
    most
        All threads; where they are as many, all of them work.
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
        if starved > _STARVED:  # whatever was tried, they make more than is taken
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
        """Whether another number may be better: processors have nothing to do, or no thread."""
        return used < _UNUSED or self.working < self.least

    def _was_good(self, rate: float) -> bool:
        """Whether the number of threads that is being tried may stay."""
        assert self._before is not None
        threads, before = self._before
        return rate >= before * (_WORTH_IT if self.working > threads else _AS_GOOD)

    def _next_trial(self) -> int:
        """Tell how many threads to try next."""
        more, fewer = min(self.working + 1, self.most), max(self._floor, self.working - max(1, self.working // 4))
        return fewer if self.working <= self.least and (self._fewer_next or more == self.working) else more
