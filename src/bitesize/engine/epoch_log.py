"""Log line for each epoch of a loader: rows, speed, and time waited."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.engine.batching import BatchRows
    from bitesize.engine.loader import Loader

_log = logging.getLogger("bitesize")


class EpochLog:
    """Counts the batches of an epoch, and logs a line at INFO when the last batch is returned to the caller."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._rows, self._waited = 0, 0.0

    def count(self, loader: Loader, step: BatchRows, waited: float) -> None:
        """Count a batch, and the seconds that the caller waited for it."""
        now = time.perf_counter()
        if self._begun is None:
            self._begun = now - waited
        self._rows += step.real
        self._waited += waited
        if loader.steps.after(step.epoch, step.position)[0] == step.epoch:
            return
        seconds = max(now - self._begun, 1e-9)
        bad = len(loader.bad)
        _log.info(
            "epoch %d: %d rows in %.2f s, %.0f rows/s, waited %.2f s for batches, peak memory %s of %s%s",
            step.epoch, self._rows, seconds, self._rows / seconds, self._waited, format_size(loader.budget.peak),
            format_size(loader.budget.total), f", {bad} bad row{'' if bad == 1 else 's'} so far" if bad else ""
        )  # fmt: skip
        self._begun, self._rows, self._waited = None, 0, 0.0
