"""Statistics of a loader: where its time goes, and what limits its speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bitesize.engine.latency import Latencies
from bitesize.html.notebook import bar, joined, output, swatch, table
from bitesize.memory.sizes import counted, format_size
from bitesize.pipeline.clock import Clock, values_of
from bitesize.spec import Field
from bitesize.storage.limiter import LIMITER, RequestCounts

# If the consumer waits for less than this share of the time, loading keeps up.
_KEEPS_UP = 0.05
# If threads are off the processors for more than this share of their working time, reading excluded, something blocks them.
_HELD_UP = 0.3
# If the consumer and the threads both wait for more than this share of the time, the exchange of batches takes long.
_OVERHEAD = 0.3
_ADVICE = {
    "disk": "try more threads; the second epoch is faster if the data fits the system's page cache",
    "requests": 'cache="auto" keeps rows on disk for later epochs and runs; a server nearer to this machine, or fewer and larger objects, help the first epoch',
    "read and cast": "smaller rows (uint8 instead of float64) are read faster",
    "decode": "images decode fastest if they are stored at the size at which they are used",
    "kernel": "a smaller output, or uint8 instead of float32, needs less computation",
    "your function": "its Python code outside NumPy holds the interpreter's lock, which bitesize's own transforms do not",
    "cache": "the first epoch fills the cache; later epochs read from it",
    "Python": "rows are small: a larger batch_size reduces Python's overhead per row",
}


@dataclass(repr=False)
class Stats:
    """Statistics of one loader since it was created, or since `reset`.

    Attributes
    ----------
    rows, batches : int
        Rows and batches that the caller has received.
    waited : float
        Seconds that the caller waited for batches.
    held : float
        Seconds that the caller waited while it held every batch itself, as JAX does while steps run.
    started : float
        `time.perf_counter` at the first request.
    ended : float
        `time.perf_counter` when the caller received the last batch.
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
    _requests_before: RequestCounts = field(default_factory=LIMITER.snapshot, repr=False)
    _hits: Callable[[], int] = field(default=int, repr=False)
    _hits_before: int = 0

    def watch(
        self, clocks: list[Clock], processors: int, stored: Mapping[str, Any] | None = None, drawn: Mapping[str, Field] | None = None,
        hits: Callable[[], int] = int,
    ) -> None:  # fmt: skip
        """Set the clocks of a loader's threads, the fields of a row as stored and in a batch, and what counts rows of a cache of stored rows."""
        self._clocks, self.processors, self._hits = clocks, processors, hits
        self._stored = sum(what.nbytes for what in (stored or {}).values() if isinstance(what, Field))
        self._drawn = sum(field.nbytes for field in (drawn or {}).values())
        self._before = [values_of(Clock())] * len(clocks)

    def reset(self) -> None:
        """Set all counts to zero."""
        with self._lock:
            self.rows, self.batches, self.waited, self.held, self.started, self.ended = 0, 0, 0.0, 0.0, 0.0, 0.0
            self._waits = Latencies()
            self._before = [values_of(clock) for clock in self._clocks]
            self._requests_before, self._hits_before = LIMITER.snapshot(), self._hits()

    def count(self, rows: int, waited: float, held: float = 0.0) -> None:
        """Count one batch, the seconds waited for it, and the seconds before in which the caller held every other batch."""
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
        """Return a quantile of the waits for a batch, in seconds.

        Parameters
        ----------
        share
            Share of the waits that are shorter: 0.5 for the median, 0.99 for the 99th percentile.

        Returns
        -------
        float
            Seconds, at most 8 % too large.
        """
        with self._lock:
            return self._waits.quantile(share)

    def __repr__(self) -> str:
        spent = self.ended - self.started
        return f"Stats({self.rows:,} rows in {spent:.1f} s, {self.rows_per_second:,.0f} rows/s: {self.verdict()})"

    def _repr_html_(self) -> str:
        """Return the verdict, the figures, and the seconds of the threads by activity, for notebooks."""
        if not self.rows:
            return output("Stats", self.verdict())
        spent = self.ended - self.started
        read, handed_out = self.megabytes_per_second
        lines = [
            ("rows", f"{self.rows:,} in {counted(self.batches, 'batch', 'batches')}"),
            ("speed", f"{self.rows_per_second:,.0f} rows/s in {spent:.1f} s"),
            ("read", f"{format_size(self.bytes_read)}, {read:,.0f} MB/s; handed out {handed_out:,.0f} MB/s"),
            (
                "waited",
                f"{self.waited:.2f} s for batches; median {self.wait(0.5) * 1e3:.1f} ms, 99 % below {self.wait(0.99) * 1e3:.1f} ms",
            ),
        ]
        lines += [("from the cache", counted(self.cache_hits, "row"))] if self.cache_hits else []
        lines += [("requests", self.requests.describe())] if self.requests.requests else []
        seconds = {name: value for name, value in self.seconds.items() if value > 0}
        threads = [(joined([swatch(i), name]), f"{value:.2f}") for i, (name, value) in enumerate(seconds.items())]
        parts = [(f"{name}: {value:.2f} s", value) for name, value in seconds.items()]
        shown = bar(parts, 0, "seconds of the threads by activity") if parts else ""
        caption = f"seconds of {counted(self.threads, 'thread')}"
        return output("Stats", self.verdict(), table(lines), shown, table(threads, numbers=[1], caption=caption))

    @property
    def rows_per_second(self) -> float:
        """Rows per second between the first request and the last batch, including the caller's own work."""
        spent = self.ended - self.started
        return self.rows / spent if spent > 0 else 0.0

    @property
    def cache_hits(self) -> int:
        """Number of rows that were read from a cache on disk."""
        return int(self._sum()["cached_rows"]) + self._hits() - self._hits_before

    @property
    def requests(self) -> RequestCounts:
        """Requests of this process to object stores and web servers: how many, their bytes, their time, tries that were repeated."""
        return LIMITER.snapshot().minus(self._requests_before)

    @property
    def bytes_read(self) -> int:
        """Bytes of the rows as stored, after decompression: image files, or arrays before they are cast."""
        total = self._sum()
        return int(total["nbytes"] + total["rows"] * self._stored)

    @property
    def bytes_handed_out(self) -> int:
        """Bytes of the batches that the caller has received."""
        return self.rows * self._drawn

    @property
    def megabytes_per_second(self) -> tuple[float, float]:
        """Megabytes (10^6 bytes) per second of `bytes_read` and of `bytes_handed_out`."""
        spent = max(self.ended - self.started, 1e-9)
        return self.bytes_read / spent / 1e6, self.bytes_handed_out / spent / 1e6

    @property
    def threads(self) -> int:
        """Number of threads that have worked for the loader; others are idle."""
        busy = [clock.busy - before["busy"] for clock, before in zip(self._clocks, self._before, strict=True)]
        return sum(each > 0.02 * max(busy) for each in busy) if any(busy) else len(self._clocks)

    @property
    def seconds(self) -> dict[str, float]:
        """Total seconds of all threads, by activity.

        The activities are ``"disk"``, ``"read and cast"`` (in one step), ``"decode"``, ``"kernel"``, ``"your function"``,
        ``"cache"`` (adding rows to a cache on disk), ``"Python"`` (the rest of the working time), and ``"waiting for the consumer"`` (for a free slot).
        """
        total = self._sum()
        named = {
            "disk": total["read"],
            "read and cast": total["fetch"],
            "decode": total["decode"],
            "kernel": total["render"],
            "your function": total["user"],
            "cache": total["cache"],
        }
        named["Python"] = max(0.0, total["busy"] - sum(named.values()))
        named["waiting for the consumer"] = total["idle"]
        return named

    def verdict(self) -> str:
        """Return a sentence that names what limits the run, and what would help most.

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
            return f"consumer-bound: loading keeps up; the consumer takes {1 - waits:.0%} of the time, and no setting of the loader helps"
        working = {name: seconds for name, seconds in self.seconds.items() if name != "waiting for the consumer"}
        name, most = max(working.items(), key=lambda item: item[1])
        requests = self.requests
        if name == "disk" and requests.requests:
            return f"request-bound: waiting for servers takes {most / total['busy']:.0%} of the threads' time ({requests.describe()}): {_ADVICE['requests']}"
        # Least share of the time in which the caller waits while processors are idle; a caller that validates does not wait.
        both = waits - min(1.0, total["busy"] / (spent * min(self.threads, self.processors)))
        if self.threads > 1 and both > _OVERHEAD:
            return (
                f"overhead-bound: for {both:.0%} of the time, the consumer and the threads wait for each other: a larger batch_size "
                "creates fewer and larger batches"
            )
        bound = {"read and cast": "memory", "your function": "function"}.get(name, name)
        where = f"{bound}-bound: {name} takes {most / total['busy']:.0%} of the threads' time ({self._scaling(total)})"
        if name not in ("disk", "your function", "Python") and self.threads < self.processors:
            return f"{where}: threads={self.processors} would use all processors"
        if name == "decode" and not total["cached_rows"] and not total["cache"]:
            if requests.requests:  # the cache keeps encoded files of data at addresses by default
                return f'{where}: cache="auto" with kind="pixels" of the cache keeps resized images on disk for later epochs and runs'
            return f'{where}: cache="auto" keeps decoded images on disk for later epochs and runs'
        return f"{where}: {_ADVICE[name]}"

    def _scaling(self, total: Mapping[str, float]) -> str:
        """Return text with the number of working threads and processors, and the share of time in which threads are blocked."""
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
