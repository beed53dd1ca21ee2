"""Log line for each epoch of a loader: rows, speed, and time waited."""

from __future__ import annotations

import logging
import time

from bitesize.engine.bad_rows import BadRowPolicy
from bitesize.engine.batching import Batching, BatchRows
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import format_size

_log = logging.getLogger("bitesize")


class EpochLog:
    """Counts the batches of an epoch, and logs a line at INFO when the last batch is returned to the caller.

    Parameters
    ----------
    batching, bad_rows, budget
        Parts of the loader.
    """

    def __init__(self, batching: Batching, bad_rows: BadRowPolicy, budget: Budget) -> None:
        self._batching, self._bad_rows, self._budget = batching, bad_rows, budget
        self._begun: float | None = None
        self._rows, self._waited = 0, 0.0

    def count(self, step: BatchRows, waited: float) -> None:
        """Count a batch, and the seconds that the caller waited for it."""
        now = time.perf_counter()
        if self._begun is None:
            self._begun = now - waited
        self._rows += step.real
        self._waited += waited
        if self._batching.after(step.epoch, step.position)[0] == step.epoch:
            return
        seconds = max(now - self._begun, 1e-9)
        bad = len(self._bad_rows.bad)
        _log.info(
            "epoch %d: %d rows in %.2f s, %.0f rows/s, waited %.2f s for batches, peak memory %s of %s%s",
            step.epoch, self._rows, seconds, self._rows / seconds, self._waited, format_size(self._budget.peak),
            format_size(self._budget.total), f", {bad} bad row{'' if bad == 1 else 's'} so far" if bad else ""
        )  # fmt: skip
        self._begun, self._rows, self._waited = None, 0, 0.0
