"""Windows that cross a gap in time, or contain missing values."""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.sources.text_labels import check_room
from bitesize.spec import Field

# Rows that are read at a time in search of missing values, in bytes.
_BLOCK_NBYTES = 1 << 20
# A larger share of irregular distances means that the steps are not regular.
_MOST_IRREGULAR = 0.5


def time_values(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Return times as numbers or dates.

    Raises
    ------
    BadSetting
        If they are text that is not a date as in ISO 8601, or there is no time at some step.
    """
    if values.dtype.kind in "UST":
        try:
            with warnings.catch_warnings():  # of offsets such as +01:00, with which dates become those of UTC
                warnings.simplefilter("ignore", UserWarning)
                values = values.astype("datetime64[us]")
        except ValueError as error:
            raise BadSetting(
                f"{where} has {str(values[0])!r}, which is not a date as in ISO 8601 (2024-01-31T12:00:00): pass the times themselves, "
                "time=pandas.to_datetime(column, ...).to_numpy()"
            ) from error
    if values.ndim != 1 or values.dtype.kind not in "iufM":
        raise BadSetting(
            f"{where} must be one number or date for each step, not of shape {values.shape} and dtype {values.dtype}"
        )
    missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    if missing.any():
        raise BadSetting(
            f"{where} has {int(missing.sum()):,} steps without a time, the first at step {int(missing.argmax())}"
        )
    return values


def step_of(times: list[NDArray[Any]], step: float | timedelta | np.timedelta64 | None, where: str) -> Any:
    """Return the time from one step to the next: ``step``, or the median of what is there.

    Raises
    ------
    BadSetting
        If ``step`` does not fit the times, or most distances are irregular.
    """
    distances = np.concatenate([np.diff(each) for each in times])
    if not len(distances):
        raise BadSetting(f"{where} has no two times in a recording")
    dates = distances.dtype.kind == "m"
    if step is None:
        found = (
            np.median(distances.astype(np.int64)).astype(np.int64).astype(distances.dtype) if dates else np.median(distances)
        )
    elif dates:
        seconds = step / np.timedelta64(1, "s") if isinstance(step, np.timedelta64) else step
        seconds = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        found = np.timedelta64(round(float(seconds) * 1e9), "ns")
    elif isinstance(step, timedelta | np.timedelta64):
        raise BadSetting(f"step={step!r}: the times of {where} are numbers, so step must be a number in their unit")
    else:
        found = float(step)
    if not found > (np.timedelta64(0, "ns") if dates else 0):
        raise BadSetting(
            f"{where}: the time from one step to the next is {found}, but must be above 0: sort the rows by time"
        )
    irregular = sum(int(is_border(each, found).sum()) for each in times)
    if step is None and irregular > _MOST_IRREGULAR * len(distances):
        raise BadSetting(
            f"{where} has no regular step: {irregular:,} of {len(distances):,} distances differ by more than half from the median, {found}. "
            "Resample the data, or pass step="
        )
    return found


def is_border(times: NDArray[Any], step: Any) -> NDArray[np.bool_]:
    """Return for each step but the first whether its distance to the step before is irregular: off by more than half a step."""
    half = step // 2 if times.dtype.kind == "M" else step / 2
    return np.asarray(np.abs(np.diff(times) - step) > half)


def not_later(parts: list[NDArray[Any]]) -> int:
    """Return the number of steps that are not later than the step before: the rows are not sorted, or a time comes twice."""
    return sum(int((np.diff(part).astype(np.float64) <= 0).sum()) for part in parts)


def seconds_of(step: Any) -> str:
    """Return a step as text: dates in seconds."""
    return f"{step / np.timedelta64(1, 's'):g} s" if isinstance(step, np.timedelta64) else f"{step:g}"


def crossing(borders: NDArray[np.bool_], span: int) -> NDArray[np.bool_]:
    """Return which windows of ``span`` consecutive steps cross a border, by their first step.

    Parameters
    ----------
    borders
        Whether there is a border before each step but the first, shape (steps - 1,).
    span
        Number of steps of a window.

    Returns
    -------
    ndarray of bool, shape (steps - span + 1,)

    Examples
    --------
    >>> crossing(np.array([False, True, False, False]), 2).tolist()
    [False, True, False, False]
    """
    count = np.append(0, np.cumsum(borders, dtype=np.int64))
    return np.asarray(count[span - 1 :] > count[: len(count) - span + 1])


def containing(bad: NDArray[np.bool_], length: int, rate: int) -> NDArray[np.bool_]:
    """Return which windows contain a bad step: steps ``i, i + rate, ...``, ``length`` of them, by their first step ``i``.

    Returns
    -------
    ndarray of bool, shape (steps - (length - 1) * rate,)

    Examples
    --------
    >>> containing(np.array([False, True, False, False, False]), 2, 2).tolist()
    [False, True, False]
    """
    windows = len(bad) - (length - 1) * rate
    padded = np.zeros((-(-len(bad) // rate) + 1) * rate, np.bool_)
    padded[rate : rate + len(bad)] = bad
    count = np.cumsum(padded.reshape(-1, rate), axis=0, dtype=np.int64)
    return np.asarray((count[length:] > count[:-length]).ravel()[:windows])


def missing_steps(source: Source, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which steps have a value that is NaN in one of the fields; everything is read once."""
    floats = [name for name in names if isinstance(field := source.spec[name], Field) and field.dtype.kind in "fc"]
    check_room(16 * len(source), "a number for each step, in search of missing values,")
    missing = np.zeros(len(source), np.bool_)
    widest = max((source.spec[name].nbytes for name in floats), default=1)  # type: ignore[union-attr]
    rows = max(1, _BLOCK_NBYTES // max(1, widest))
    for start in range(0, len(source), rows) if floats else ():
        numbers = np.arange(start, min(start + rows, len(source)), dtype=np.int64)
        into = {name: np.empty((len(numbers), *source.spec[name].shape), source.spec[name].dtype) for name in floats}  # type: ignore[union-attr]
        source.read(numbers, into)
        for values in into.values():
            missing[start : start + len(numbers)] |= np.isnan(values.reshape(len(numbers), -1)).any(axis=1)
    return missing
