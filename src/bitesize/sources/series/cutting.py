"""Where windows start: in each recording, within the limits, and not across gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.sources.series.gaps import containing, crossing
from bitesize.sources.series.runs import Runs, joined, regular, selected

SHORT = "recordings shorter than a window"
GAPS = "windows that cross a gap"
MISSING = "windows with missing values"


@dataclass(frozen=True)
class Window:
    """Form and places of windows; see `bitesize.timeseries`.

    Parameters
    ----------
    length, stride, rate
        ``sequence_length``, ``sequence_stride``, ``sampling_rate``.
    start, end
        ``start_index``, ``end_index``.

    Raises
    ------
    BadSetting
        If a number is impossible.
    """

    length: int | None
    stride: int = 1
    rate: int = 1
    start: int | None = None
    end: int | None = None

    def __post_init__(self) -> None:
        if self.length is None:
            raise BadSetting("sequence_length, the number of rows of a window, is missing")
        for name in ("length", "stride", "rate"):
            value = getattr(self, name)
            known = {"length": "sequence_length", "stride": "sequence_stride", "rate": "sampling_rate"}[name]
            if not is_whole(value, least=1):
                raise BadSetting(f"{known} must be a whole number of at least 1, not {value!r}")
            object.__setattr__(self, name, int(value))
        for name in ("start", "end"):
            value = getattr(self, name)
            if value is not None and not is_whole(value):
                raise BadSetting(f"{name}_index must be a whole number or None, not {value!r}")

    @property
    def rows(self) -> int:
        """Number of rows of a window."""
        assert self.length is not None
        return self.length

    @property
    def span(self) -> int:
        """Number of steps from the first to the last row, both included."""
        return (self.rows - 1) * self.rate + 1


@dataclass(frozen=True)
class Cut:
    """Windows, and what is left out.

    Attributes
    ----------
    runs : Runs
        First steps of the windows.
    left_out : Mapping of str to int
        Number of windows and recordings left out, by reason.
    """

    runs: Runs
    left_out: Mapping[str, int]


def cut(
    ends: NDArray[np.int64],
    window: Window,
    ahead: Sequence[int] = (),
    targets: int | None = None,
    borders: NDArray[np.bool_] | None = None,
    missing: NDArray[np.bool_] | None = None,
) -> Cut:
    """Return the windows of recordings.

    Parameters
    ----------
    ends
        Number of steps up to the end of each recording, shape (recordings,).
    window
        Form and places of windows.
    ahead
        Steps of targets after the last step of a window.
    targets
        Number of first steps that have a target.
    borders
        Whether there is a gap before each step, shape (steps,).
    missing
        Whether values of each step are missing, shape (steps,).

    Raises
    ------
    BadSetting
        If no window is left.

    Examples
    --------
    >>> made = cut(np.array([6, 8]), Window(3, stride=2))
    >>> made.runs.starts(np.arange(2)).tolist(), dict(made.left_out)
    ([0, 2], {'recordings shorter than a window': 1})
    """
    span = window.span + max(ahead, default=0)
    parts: list[Runs] = []
    counts = {SHORT: 0, GAPS: 0, MISSING: 0}
    for number, (first, stop) in enumerate(zip(np.append(0, ends[:-1]).tolist(), ends.tolist(), strict=True)):
        begin, end = _limits(window, first, stop)
        possible = end - begin - span + 1
        if targets is not None:
            possible = min(possible, targets - begin)
        if possible <= 0:
            counts[SHORT] += 1
            continue
        windows = -(-possible // window.stride)
        if borders is None and missing is None:
            parts.append(regular(begin, windows, window.stride, number))
            continue
        crossed = np.zeros(windows, np.bool_)
        if borders is not None:
            crossed = crossing(borders[begin + 1 : end], span)[: possible : window.stride]
        bad = np.zeros(windows, np.bool_)
        if missing is not None:
            bad = _bad_windows(missing[begin:end], window, ahead, possible)[:: window.stride]
        counts[GAPS] += int(crossed.sum())
        counts[MISSING] += int((bad & ~crossed).sum())
        parts.append(selected(begin, ~(crossed | bad), window.stride, number))
    runs = joined(parts, window.stride)
    if not len(runs):
        raise BadSetting(_none_left(ends, window, span, targets, counts))
    return Cut(runs, {reason: count for reason, count in counts.items() if count})


def _limits(window: Window, first: int, stop: int) -> tuple[int, int]:
    """Return the first step of a recording to use, and the first not to use."""
    begin, end, _ = slice(window.start, window.end).indices(stop - first)
    return first + begin, first + end


def _bad_windows(missing: NDArray[np.bool_], window: Window, ahead: Sequence[int], possible: int) -> NDArray[np.bool_]:
    """Return which windows contain missing values, or have such targets, by their first step, shape (possible,)."""
    bad = containing(missing, window.rows, window.rate)[:possible].copy()
    for step in ahead:
        at = window.span - 1 + step
        bad |= missing[at : at + possible]
    return bad


def _none_left(ends: NDArray[np.int64], window: Window, span: int, targets: int | None, counts: Mapping[str, int]) -> str:
    """Return why there is no window."""
    longest = int(np.diff(ends, prepend=0).max())
    what = "the longest of them" if len(ends) > 1 else "the data"
    limits = (
        "" if window.start is None and window.end is None else f", from start_index={window.start} to end_index={window.end}"
    )
    if counts[GAPS] or counts[MISSING]:
        return f"no window is left: {counts[GAPS]:,} cross a gap, {counts[MISSING]:,} contain missing values. Make sequence_length={window.length} smaller"
    few = "" if targets is None else f", and there are targets for {targets:,} steps"
    return (
        f"a window takes {span:,} steps (sequence_length={window.length}, sampling_rate={window.rate}, and the horizon), but {what} "
        f"{'has' if len(ends) > 1 else 'have'} {longest:,}{limits}{few}"
    )
