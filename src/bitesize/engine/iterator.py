"""Iterator over the batches of a loader."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitesize.batch import Batch
from bitesize.engine.epoch_log import EpochLog
from bitesize.engine.holding import Holder
from bitesize.engine.stream import BatchStream
from bitesize.engine.workers import Engine
from bitesize.errors import LoaderClosed

if TYPE_CHECKING:
    from bitesize.engine.loader import Loader


class BatchIterator(Iterator[Batch]):
    """Iterator over the batches of one epoch, or of all epochs from one on; see `Loader.__iter__`."""

    def __init__(self, loader: Loader, engine: Engine, run: BatchStream, epoch: int, endless: bool, holder: Holder) -> None:
        self._loader = loader
        self._engine = engine
        self._run = run
        self._epoch = epoch
        self._endless = endless
        self._holder = holder
        self._copied = frozenset() if holder.sends else loader.copied
        self._closed: str | None = None  # why
        self._finished = False
        self._turn = threading.Lock()
        self._log = EpochLog()

    def __next__(self) -> Batch:
        self._engine.check_process()
        with self._turn:  # for threads that share an iterator
            return self._next()

    def _next(self) -> Batch:
        if self._closed:
            raise LoaderClosed(f"this iterator has ended: {self._closed}")
        if self._run.next_to_return[0] != self._epoch and not self._endless:
            # The epoch advances here, or when the next loop starts and all batches were taken: a loop that was left repeats its epoch.
            if not self._finished:
                self._loader.source.check_unchanged()
                self._finished = True
                self._loader.set_epoch(self._run.next_to_return[0])
            raise StopIteration
        began, ring = time.perf_counter(), self._engine.ring
        holds_all = ring.leased == len(ring)
        filling = self._engine.next_batch(self._run, self._holder, lambda: self._closed is not None)
        step = filling.step
        if filling.error is not None:
            error, filling.error = filling.error, None
            filling.token = None
            self._engine.cancel(self._run)
            self._closed = "it raised an error; a new loop starts the epoch again"
            try:
                raise error
            finally:  # the error's frames must not refer to the error, because they refer to memory of the loader
                del error, filling, step
        assert filling.token is not None
        batch = Batch(
            filling.slot.lease(self._loader.spec, step.rows.size, filling.token, self._copied),
            rows=step.rows,
            mask=filling.mask,
            epoch=step.epoch,
            position=step.position,
            weight=step.weight,
        )
        filling.token = None
        if not step.position:
            self._loader.source.check_unchanged()
            self._loader.adapt()
        self._loader.took(step.epoch, step.position)
        # While the caller held every slot, there was no slot for this batch.
        held = max(0.0, filling.started - began) if holds_all else 0.0
        waited = time.perf_counter() - began
        self._loader.stats.count(step.real, waited - held, held)
        self._log.count(self._loader, step, waited)
        return batch

    def close(self) -> None:
        """End this iterator; the loader stays open."""
        if self._engine.forked:  # the lock may have been held during the fork
            return
        with self._run.lock:
            if not self._finished and self._closed is None:
                self._closed = "a newer iterator of the same loader has replaced it"
            self._run.changed.put(None)
