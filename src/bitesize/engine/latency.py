"""Quantiles of the times waited for batches, for any number of waits, in memory of a fixed size."""

from __future__ import annotations

import math
from array import array

# From a microsecond to more than an hour; with 30 steps per decade, each step is 8 % wide.
_LEAST, _DECADES, _STEPS = 1e-6, 10, 30


class Latencies:
    """A histogram of seconds, with steps of 8 %.

    Examples
    --------
    >>> waits = Latencies()
    >>> for milliseconds in range(1, 101):
    ...     waits.add(milliseconds / 1000)
    >>> [round(waits.quantile(q), 2) for q in (0.5, 0.99)]
    [0.05, 0.1]
    """

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self._counts = array("q", bytes(8 * (_DECADES * _STEPS + 1)))
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one wait."""
        step = math.ceil(_STEPS * math.log10(seconds / _LEAST)) if seconds > _LEAST else 0
        self._counts[min(step, len(self._counts) - 1)] += 1
        self.count += 1

    def quantile(self, share: float) -> float:
        """Return a quantile of the waits, in seconds; 0 if no wait was counted.

        Parameters
        ----------
        share
            Share of the waits that are shorter, from 0 to 1.

        Returns
        -------
        float
            At most 8 % too large; 0 for waits of less than a microsecond.
        """
        wanted, seen = max(1, math.ceil(share * self.count)), 0
        for step, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return _LEAST * 10.0 ** (step / _STEPS) if step else 0.0
        return 0.0
