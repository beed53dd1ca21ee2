"""Iterator over the batches of a loader."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Protocol

from bitesize.batch import Batch
from bitesize.engine.bad_rows import BadRowPolicy
from bitesize.engine.batching import Batching
from bitesize.engine.epoch_log import EpochLog
from bitesize.engine.holding import Holder
from bitesize.engine.position import Position
from bitesize.engine.stats import Stats
from bitesize.engine.stream import BatchStream
from bitesize.engine.workers import Engine
from bitesize.errors import LoaderClosed
from bitesize.memory.budget import Budget
from bitesize.pictures.batch_html import RowDescription
from bitesize.sources.base import Source
from bitesize.spec import Field


class Driver(Protocol):
    """The driver of a loader, as far as an iterator uses it."""

    source: Source
    spec: dict[str, Field]
    copied: frozenset[str]
    batching: Batching
    bad_rows: BadRowPolicy
    budget: Budget
    position: Position
    stats: Stats
    rows_are: RowDescription

    def begin_epoch(self) -> None:
        """Adapt the number of slots to the available memory, and find what others have added to a cache."""

    def begin_batch(self) -> None:
        """Find what others have added to a cache since the epoch began."""

    def end_epoch(self) -> None:
        """Complete what the epoch has added to a cache."""


class BatchIterator(Iterator[Batch]):
    """Iterator over the batches of one epoch, or of all epochs from one on; see `Loader.__iter__`.

    It refers to the driver, so that a loader may be dropped while a loop runs.
    """

    def __init__(
        self, driver: Driver, engine: Engine, stream: BatchStream, epoch: int, endless: bool, holder: Holder
    ) -> None:
        self._driver = driver
        self._engine = engine
        self._stream = stream
        self._epoch = epoch
        self._endless = endless
        self._holder = holder
        self._copied = frozenset() if holder.sends else driver.copied
        self._closed: str | None = None  # why
        self._finished = False
        self._turn = threading.Lock()
        self._log = EpochLog(driver.batching, driver.bad_rows, driver.budget)

    def __next__(self) -> Batch:
        self._engine.check_process()
        with self._turn:  # for threads that share an iterator
            return self._next()

    def _next(self) -> Batch:
        if self._closed:
            raise LoaderClosed(f"this iterator has ended: {self._closed}")
        if self._stream.next_to_return[0] != self._epoch and not self._endless:
            # The epoch advances here, or when the next loop starts and all batches were taken: a loop that was left repeats its epoch.
            if not self._finished:
                self._driver.source.check_unchanged()
                self._finished = True
                self._driver.position.set_epoch(self._stream.next_to_return[0])
            raise StopIteration
        began, ring = time.perf_counter(), self._engine.ring
        holds_all = ring.leased == len(ring)
        pending = self._engine.next_batch(self._stream, self._holder, lambda: self._closed is not None)
        step = pending.step
        if pending.error is not None:
            error, pending.error = pending.error, None
            pending.token = None
            self._engine.cancel(self._stream)
            self._closed = "it raised an error; a new loop starts the epoch again"
            try:
                raise error
            finally:  # the error's frames must not refer to the error, because they refer to memory of the loader
                del error, pending, step
        assert pending.token is not None
        batch = Batch(
            pending.slot.lease(self._driver.spec, step.rows.size, pending.token, self._copied),
            rows=step.rows,
            mask=pending.mask,
            epoch=step.epoch,
            position=step.position,
            weight=step.weight,
            rows_are=self._driver.rows_are,
        )
        pending.token = None
        if not step.position:
            self._driver.source.check_unchanged()
            self._driver.begin_epoch()
        else:
            self._driver.begin_batch()
        self._driver.position.advance(step.epoch, step.position)
        # While the caller held every slot, there was no slot for this batch.
        held = max(0.0, pending.started - began) if holds_all else 0.0
        waited = time.perf_counter() - began
        self._driver.stats.count(step.real, waited - held, held)
        self._log.count(step, waited)
        if self._driver.batching.after(step.epoch, step.position)[0] != step.epoch:
            self._driver.end_epoch()
        return batch

    def close(self) -> None:
        """End this iterator; the loader stays open."""
        if self._engine.forked:  # the lock may have been held during the fork
            return
        with self._stream.lock:
            if not self._finished and self._closed is None:
                self._closed = "a newer iterator of the same loader has replaced it"
            self._stream.changed.put(None)
