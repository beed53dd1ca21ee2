"""Scales of charts: round numbers for the axes, and places of values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Linear scale of an axis.

    Parameters
    ----------
    low, high
        Values at the ends of the axis.
    start, end
        Places of the ends in the chart, in its units.
    ticks
        Values with a label.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def scale_of(
    values: Iterable[float], start: float, end: float, *, zero: bool = False, whole: bool = False, count: int = 5
) -> Scale:
    """Return a scale with round ends around values; values that are not finite do not count.

    Parameters
    ----------
    values
        Values to show.
    start, end
        Places of the ends.
    zero
        Whether the scale includes 0.
    whole
        Whether ticks are whole numbers, as for epochs.
    count
        Desired number of ticks.

    Examples
    --------
    >>> scale_of([0.03, 0.71], 0, 100).ticks
    (0.0, 0.2, 0.4, 0.6, 0.8)
    >>> scale_of([1, 5], 0, 100, whole=True).ticks
    (1.0, 2.0, 3.0, 4.0, 5.0)
    """
    found = [value for value in values if math.isfinite(value)]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        around = abs(low) / 10 or 1.0
        low, high = (0.0, high) if zero and high > 0 else (low - around, high + around)
    step = round_step((high - low) / count)
    if whole:
        step = max(1.0, math.ceil(step))
        return Scale(low, high, start, end, _ticks(low, high, step))
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Scale(low, high, start, end, _ticks(low, high, step))


def _ticks(low: float, high: float, step: float) -> tuple[float, ...]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return tuple(round(number * step, digits) for number in range(first, last + 1))


def round_step(step: float) -> float:
    """Return the nearest of 1, 2 or 5 times a power of ten that is at least a step.

    Examples
    --------
    >>> round_step(0.13), round_step(3), round_step(70)
    (0.2, 5.0, 100.0)
    """
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    factor = next(each for each in (1, 2, 5, 10) if step <= each * power * (1 + 1e-9))
    return round(factor * power, 12) if power >= 1e-9 else factor * power


def label(value: float) -> str:
    """Return a short label of a value on an axis.

    Examples
    --------
    >>> [label(value) for value in (0, 0.25, 12, 1500, 2_500_000, 3e9, 1e-7)]
    ['0', '0.25', '12', '1,500', '2.5M', '3G', '1e-07']
    """
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if limit <= abs(value) < 1e15:
            return f"{value / limit:.4g}{unit}"
    if value == round(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.4g}"
