"""Where a loader's time went, and what that means."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitesize.engine.latency import Latencies
from bitesize.pipeline.clock import Clock, values_of
from bitesize.spec import Field

# The consumer waits for less than this share of the time: loading keeps up.
_KEEPS_UP = 0.05
# Threads are off the processors for more than this share of their working time, beside reading: something holds them up.
_HELD_UP = 0.3
# The consumer and the threads both wait for more than this share of the time: handing batches over takes long.
_OVERHEAD = 0.3
_ADVICE = {
    "disk": "try more threads; the second epoch is faster where the data fit the system's page cache",
    "read and cast": "rows of fewer bytes (uint8 instead of float64) would be read that much faster",
    "decode": "images that are stored at the size they are used at decode fastest",
    "kernel": "a smaller output, or uint8 instead of float32, would leave less to compute",
    "your function": "what it does beside NumPy holds the interpreter: bitesize's own transforms run outside of it",
    "Python": "rows are small: a larger batch_size makes Python's share of each smaller",
}


@dataclass(repr=False)
class Stats:
    """Counts of one loader since it was made, or since `reset`.

    Attributes
    ----------
    rows, batches : int
        Handed to the caller.
    waited : float
        Seconds the caller waited for batches to be made.
    held : float
        Seconds the caller waited while it had every batch in its own hands, as JAX has while steps run.
    started : float
        `time.perf_counter` at the first request.
    ended : float
        The same when the last batch was handed out.
    """

    rows: int = 0
    batches: int = 0
    waited: float = 0.0
    held: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    processors: int = 1
    _clocks: list[Clock] = field(default_factory=list, repr=False)
    _before: list[dict[str, float]] = field(default_factory=list, repr=False)
    _waits: Latencies = field(default_factory=Latencies, repr=False)
    _stored: int = 0
    _drawn: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def watch(
        self, clocks: list[Clock], processors: int, stored: Mapping[str, Any] | None = None, drawn: Mapping[str, Field] | None = None
    ) -> None:  # fmt: skip
        """Take the clocks of a loader's threads, and the fields of a row, as stored and in a batch."""
        self._clocks, self.processors = clocks, processors
        self._stored = sum(what.nbytes for what in (stored or {}).values() if isinstance(what, Field))
        self._drawn = sum(field.nbytes for field in (drawn or {}).values())
        self._before = [values_of(Clock())] * len(clocks)

    def reset(self) -> None:
        """Count from now on."""
        with self._lock:
            self.rows, self.batches, self.waited, self.held, self.started, self.ended = 0, 0, 0.0, 0.0, 0.0, 0.0
            self._waits = Latencies()
            self._before = [values_of(clock) for clock in self._clocks]

    def count(self, rows: int, waited: float, held: float = 0.0) -> None:
        """Count one batch, and the seconds that were waited for it to be made, behind those in which the caller held all others."""
        with self._lock:
            now = time.perf_counter()
            if not self.batches:
                self.started = now - waited - held
            self.rows += rows
            self.batches += 1
            self.waited += waited
            self.held += held
            self._waits.add(waited)
            self.ended = now

    def wait(self, share: float) -> float:
        """Return the seconds below which a share of the waits for a batch were.

        Parameters
        ----------
        share
            0.5 for the median, 0.99 for the one wait in a hundred that is longer.

        Returns
        -------
        float
            At most 8 % too large.
        """
        with self._lock:
            return self._waits.quantile(share)

    def __repr__(self) -> str:
        spent = self.ended - self.started
        return f"Stats({self.rows:,} rows in {spent:.1f} s, {self.rows_per_second:,.0f} rows/s: {self.verdict()})"

    @property
    def rows_per_second(self) -> float:
        """Rows handed out per second between the first request and the last batch, the caller's own work included."""
        spent = self.ended - self.started
        return self.rows / spent if spent > 0 else 0.0

    @property
    def bytes_read(self) -> int:
        """Bytes of the rows as they are stored: files of images, or arrays before they are cast; once decompressed, if they were."""
        total = self._sum()
        return int(total["nbytes"] + total["rows"] * self._stored)

    @property
    def bytes_handed_out(self) -> int:
        """Bytes of the batches that the caller got."""
        return self.rows * self._drawn

    @property
    def megabytes_per_second(self) -> tuple[float, float]:
        """10^6 bytes a second that were read, and that were handed out; see `bytes_read` and `bytes_handed_out`."""
        spent = max(self.ended - self.started, 1e-9)
        return self.bytes_read / spent / 1e6, self.bytes_handed_out / spent / 1e6

    @property
    def threads(self) -> int:
        """How many threads have worked for the loader; others stand by."""
        busy = [clock.busy - before["busy"] for clock, before in zip(self._clocks, self._before, strict=True)]
        return sum(each > 0.02 * max(busy) for each in busy) if any(busy) else len(self._clocks)

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
        if waits < _KEEPS_UP or self.held > self.waited:
            return (
                f"consumer-bound: loading keeps up; {1 - waits:.0%} of the time is the consumer's, and no setting here helps"
            )
        # The caller waits, and processors have nothing to do, at the same time, at the least: one that validates does not wait.
        both = waits - min(1.0, total["busy"] / (spent * min(self.threads, self.processors)))
        if self.threads > 1 and both > _OVERHEAD:
            return (
                f"overhead-bound: for {both:.0%} of the time consumer and threads wait for each other: a larger batch_size makes fewer "
                "and larger batches"
            )
        working = {name: seconds for name, seconds in self.seconds.items() if name != "waiting for the consumer"}
        name, most = max(working.items(), key=lambda item: item[1])
        bound = {"read and cast": "memory", "your function": "function"}.get(name, name)
        where = f"{bound}-bound: {name} takes {most / total['busy']:.0%} of the threads' time ({self._scaling(total)})"
        if name not in ("disk", "your function", "Python") and self.threads < self.processors:
            return f"{where}: threads={self.processors} would use them all"
        return f"{where}: {_ADVICE[name]}"

    def _scaling(self, total: Mapping[str, float]) -> str:
        """Write how many threads work, and for how much of their time other threads keep them from it."""
        held_up = max(0.0, total["busy"] - total["cpu"] - total["read"] - total["user"]) / total["busy"]
        lock = f"; {held_up:.0%} of it waiting for a processor or Python's lock" if held_up > _HELD_UP else ""
        threads, processors = self.threads, self.processors
        return f"{threads} thread{'' if threads == 1 else 's'}, {processors} processor{'' if processors == 1 else 's'}{lock}"

    def _sum(self) -> dict[str, float]:
        total = values_of(Clock())
        for clock, before in zip(self._clocks, self._before, strict=True):
            for name, value in values_of(clock).items():
                total[name] += value - before[name]
        return total
