"""Which batches of a training are logged: rarely enough to cost nothing."""

from __future__ import annotations

import math


class Sampling:
    """Choice of batches to log, with the rate since the last one.

    Parameters
    ----------
    seconds
        Least time between two lines.
    batches
        Batches of the whole training.
    lines
        Lines of the whole training, about. Default: no limit.

    Examples
    --------
    >>> sampling = Sampling(1.0, batches=5000, lines=1000)
    >>> [sampling.rate(1, batch, now=batch / 4) for batch in range(1, 8)]
    [None, None, None, None, None, 4.0, None]
    """

    def __init__(self, seconds: float, batches: int = 0, lines: float = math.inf) -> None:
        self._seconds, self._least = seconds, max(1, math.ceil(batches / lines))
        self._epoch = self._batch = -1
        self._time = 0.0

    def rate(self, epoch: int, batch: int, now: float) -> float | None:
        """Return the batches per second since the last line, or since the epoch's first batch, if a line is due; else None."""
        if epoch != self._epoch:
            # What was before, such as validation, is not part of the rate.
            self._epoch, self._batch, self._time = epoch, batch, now
            return None
        seconds, batches = now - self._time, batch - self._batch
        if seconds < self._seconds or batches < self._least:
            return None
        self._batch, self._time = batch, now
        return batches / seconds
