"""Where a loader's time went, and what that means."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

# The consumer waits for less than this share of the time: loading keeps up.
_KEEPS_UP = 0.05
# Threads are off the processors for more than this share of their working time, beside reading: something holds them up.
_HELD_UP = 0.3
# Threads wait for a slot for more than this share of their time although the consumer waits too: handing over takes long.
_HANDING_OVER = 0.4
_ADVICE = {
    "disk": "more threads have more reads under way, and the second epoch finds in the system's cache what fits there",
    "read and cast": "rows of fewer bytes (uint8 instead of float64) would be read that much faster",
    "decode": "images that are stored at the size they are used at decode fastest",
    "kernel": "a smaller output, or uint8 instead of float32, would leave less to compute",
    "your function": "what it does beside NumPy holds the interpreter: bitesize's own transforms run outside of it",
    "Python": "rows are small: a larger batch_size spreads Python's share over more of them",
}


class Clock:
    """Seconds that one thread spent, by what it did; only that thread writes.

    Attributes
    ----------
    read, fetch, decode, draw, user : float
        Reading from disk, reading and casting in one step, decoding, the kernels, and functions of the user.
    idle : float
        Waiting for a slot to fill.
    busy : float
        Filling slots: all of the above but ``idle``, and Python's own time beside it.
    cpu : float
        Seconds of a processor during ``busy``.
    rows : int
        Rows filled.
    """

    __slots__ = ("busy", "cpu", "decode", "draw", "fetch", "idle", "read", "rows", "user")

    def __init__(self) -> None:
        self.read = self.fetch = self.decode = self.draw = self.user = self.idle = self.busy = self.cpu = 0.0
        self.rows = 0


@dataclass
class Stats:
    """Counts of one loader since it was made, or since `reset`.

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
    """

    rows: int = 0
    batches: int = 0
    waited: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    processors: int = 1
    _clocks: list[Clock] = field(default_factory=list, repr=False)
    _before: list[dict[str, float]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def watch(self, clocks: list[Clock], processors: int) -> None:
        """Take the clocks of a loader's threads."""
        self._clocks, self.processors = clocks, processors
        self._before = [_values(Clock())] * len(clocks)

    def reset(self) -> None:
        """Count from now on."""
        with self._lock:
            self.rows, self.batches, self.waited, self.started, self.ended = 0, 0, 0.0, 0.0, 0.0
            self._before = [_values(clock) for clock in self._clocks]

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

    @property
    def threads(self) -> int:
        """How many threads work for the loader."""
        return len(self._clocks)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of all threads together, by what they did.

        ``"disk"``, ``"read and cast"`` (in one step), ``"decode"``, ``"kernel"``, ``"your function"``, ``"Python"`` (what
        is left of their working time), and ``"waiting for the consumer"``: for a slot to be free.
        """
        total = self._sum()
        named = {
            "disk": total["read"],
            "read and cast": total["fetch"],
            "decode": total["decode"],
            "kernel": total["draw"],
            "your function": total["user"],
        }
        named["Python"] = max(0.0, total["busy"] - sum(named.values()))
        named["waiting for the consumer"] = total["idle"]
        return named

    def verdict(self) -> str:
        """Say in one sentence what bounds the run, and what would help most.

        Examples
        --------
        >>> Stats().verdict()
        'nothing has been loaded yet'
        """
        total, spent = self._sum(), self.ended - self.started
        if not self.rows or spent <= 0 or total["busy"] <= 0:
            return "nothing has been loaded yet"
        waits = self.waited / spent
        if waits < _KEEPS_UP:
            return (
                f"consumer-bound: loading keeps up; {1 - waits:.0%} of the time is the consumer's, and no setting here helps"
            )
        working = {name: seconds for name, seconds in self.seconds.items() if name != "waiting for the consumer"}
        name, most = max(working.items(), key=lambda item: item[1])
        bound = {"read and cast": "memory", "kernel": "kernel", "your function": "function", "Python": "Python"}.get(
            name, name
        )
        share = most / total["busy"]
        where = f"{name} takes {share:.0%} of the threads' time ({self.threads} threads, {self.processors} processors)"
        held = total["busy"] - total["cpu"] - total["read"]
        if self.threads > 1 and total["idle"] > _HANDING_OVER * (total["idle"] + total["busy"]):
            return (
                f"hand-over-bound: both the consumer and the threads wait for {min(waits, total['idle'] / total['busy']):.0%} "
                "of the time: a larger batch_size means fewer batches to hand over"
            )
        if name != "disk" and held > _HELD_UP * total["busy"] and self.threads <= self.processors:
            return (
                f"interpreter-bound: {where}, but {held / total['busy']:.0%} of it waiting for a processor or for the "
                "interpreter's lock: beside Python code that never pauses, sys.setswitchinterval(0.0005) hands it over sooner"
            )
        if name not in ("disk", "your function", "Python") and self.threads < self.processors:
            return f"{bound}-bound: {where}: threads={self.processors} would use them all"
        return f"{bound}-bound: {where}: {_ADVICE[name]}"

    def _sum(self) -> dict[str, float]:
        total = _values(Clock())
        for clock, before in zip(self._clocks, self._before, strict=True):
            for name, value in _values(clock).items():
                total[name] += value - before[name]
        return total


def _values(clock: Clock) -> dict[str, float]:
    return {name: float(getattr(clock, name)) for name in Clock.__slots__}
