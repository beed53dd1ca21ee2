"""`timeseries`: windows over long arrays and recordings, with the names of Keras."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.errors import BadSetting
from bitesize.memory.sizes import counted
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.features import SelectedFeatures
from bitesize.sources.series.cutting import Cut, Window, cut
from bitesize.sources.series.gaps import is_border, missing_steps, not_later, seconds_of, step_of, time_values
from bitesize.sources.series.recordings import Recordings, open_recordings
from bitesize.sources.series.targets import Ahead, Targets, Values, given_targets, values_ahead
from bitesize.sources.series.windows import Windows

_log = logging.getLogger("bitesize")
Missing = Literal["raise", "skip", "keep"]


def timeseries(
    data: Any,
    targets: ArrayLike | Source | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    sequence_length: int | None = None,
    *,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    start_index: int | None = None,
    end_index: int | None = None,
    horizon: int | Sequence[int] | None = None,
    target_columns: str | int | Sequence[str | int] | None = None,
    time: str | ArrayLike | None = None,
    step: float | timedelta | np.timedelta64 | None = None,
    missing: Missing = "raise",
    fields: Sequence[str] | Mapping[str, str] | None = None,
) -> Source:
    """Open windows of consecutive rows: of one long array, or of recordings, whose ends no window crosses.

    Row ``i`` is the window of the rows ``s, s + sampling_rate, ...`` with ``s = start_index + i * sequence_stride``, as in
    ``keras.utils.timeseries_dataset_from_array``. Rows are read when a window is read, so memory and disk hold the data once.

    Parameters
    ----------
    data
        One row for each step: an array, a `numpy.memmap`, a `LazyArray`, a `Source`, or a path of a `.npy`, HDF5, Zarr, CSV or Parquet
        file. Or several recordings of any lengths: a folder, a list or a pattern of `.npy`, CSV, Parquet or Feather files, one
        recording each, or a list of arrays. Class folders, and ``{class: folder}``, label all windows of a recording.
    targets
        For a single array, one target for each step, shape (steps, ...): ``targets[s]`` belongs to the window that starts at step s, and
        windows without a target are left out. Numbers, text (classes), or a path, `Source` or `LazyArray` from which they are read. For
        recordings, labels of the recordings as for `bitesize.open`: one each, ``{name: label}``, a pattern, or a table with the columns
        ``path`` and ``label``. False: no labels, also for class folders.
    sequence_length
        Number of rows of a window, at least 1.
    sequence_stride
        Steps from the first row of a window to the first row of the next window, at least 1.
    sampling_rate
        Steps from one row of a window to its next row, at least 1.
    start_index, end_index
        First step of the data to use, and the first step not to use; of each recording, if there are several. Negative values count from
        the end. None: everything.
    horizon
        Takes the targets from the data: values ``horizon`` steps (rows of the data, whatever ``sampling_rate`` is) after the last row of
        the window; 0 is that row itself. Several steps, such as ``[1, 24]`` or ``range(1, 25)``, give targets of shape (steps, columns).
    target_columns
        Columns of the targets, by name or number: one column has no axis of its own, a list has. Or the name of a field. None: all
        columns.
    time
        Name of the column with the time of each step, or an array of shape (steps,): numbers or dates. Windows that cross a gap are left
        out: a distance from one step to the next that differs from ``step`` by more than half of it.
    step
        Time from one step to the next, in seconds or as a timedelta if times are dates, else in the unit of the times. None: the median.
    missing
        What to do with windows that contain missing values (NaN), also in targets from the data. ``"raise"``: they are bad rows, whose
        error a `Loader` raises, or skips with ``on_error="skip"``. ``"skip"``: all data are read once, and such windows are left out.
        ``"keep"``: they are kept, and values are not checked.
    fields
        For data with named fields or columns: those to select, as for `bitesize.open`.

    Returns
    -------
    Source
        One row for each window: ``x`` of shape (sequence_length, ...), and with targets ``y``. ``split(..., by="time")`` splits without
        steps in two parts. `Source.left_out` counts windows and recordings that are left out.

    Raises
    ------
    BadSetting
        If settings are impossible, or no window is left.
    NotFound, BadFile
        If data cannot be opened.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> hours = np.arange(100.0).reshape(50, 2)
    >>> windows = bs.timeseries(hours, sequence_length=24, horizon=1, target_columns=0)
    >>> windows
    Windows(26 rows of {x: (24, 2) float64, y: () float64})
    >>> windows[0]["x"][-1].tolist(), float(windows[0]["y"])
    ([46.0, 47.0], 48.0)
    >>> train, val = windows.split(0.5, by="time")
    >>> train.explain().left_out
    {'windows that cross the border between parts': 24}
    """
    window = Window(sequence_length, sequence_stride, sampling_rate, start_index, end_index)
    if missing not in ("raise", "skip", "keep"):
        raise BadSetting(f'missing must be "raise", "skip" or "keep", not {missing!r}')
    if horizon is not None and targets is not None and targets is not False:
        raise BadSetting("pass either targets= or horizon=: with a horizon, targets are values of the data")
    found = open_recordings(data, targets, fields)
    found = _without_time(found, time)
    given = _targets(found, targets)
    ahead = values_ahead(found.source, horizon, target_columns)
    checked = _checks(found, time, step, missing, ahead)
    made = cut(
        found.ends, window, ahead.steps if ahead else (), given.count if given else None, checked.borders, checked.missing
    )
    return _made(
        found,
        window,
        given,
        ahead,
        made,
        (*found.choices, *checked.choices),
        missing,
        time if isinstance(time, str) else None,
    )


@dataclass(frozen=True)
class _Checks:
    """Borders that windows must not cross, steps that they must not contain, and what is to be said about them."""

    borders: NDArray[np.bool_] | None
    missing: NDArray[np.bool_] | None
    choices: tuple[Choice, ...]


def _without_time(found: Recordings, time: Any) -> Recordings:
    """Return the data without the column of times among the features."""
    names = found.source.feature_names
    if not isinstance(time, str) or names is None or time not in names:
        return found
    rest = [name for name in names if name != time]
    if not rest:
        raise BadSetting(f"time={time!r} is the only column of the data")
    choice = Choice(f"x: without the column {time!r}, which is the time", "time=")
    return replace(found, source=SelectedFeatures(found.source, rest), choices=(*found.choices, choice))


def _targets(found: Recordings, targets: Any) -> Targets | None:
    """Return targets that are given: labels of recordings, or one for each step."""
    if found.labels is not None:
        return Values(found.labels, found.classes, of_recordings=True)
    return None if found.names else given_targets(targets)


def _checks(found: Recordings, time: Any, step: Any, missing: Missing, ahead: Ahead | None) -> _Checks:
    """Find gaps in time and missing values."""
    source, choices = found.source, []
    borders = None
    if time is None and step is not None:
        raise BadSetting("step= needs time=, the column with the time of each step")
    if time is not None:
        where = f"the column {time!r}" if isinstance(time, str) else "time="
        values = time_values(_times(source, time), where)
        if len(values) != len(source):
            raise BadSetting(f"time= has {len(values):,} values for {len(source):,} steps")
        parts = np.split(values, found.ends[:-1])
        every = step_of(parts, step, where)
        borders = np.zeros(len(source), np.bool_)
        borders[1:] = is_border(values, every)
        borders[np.append(0, found.ends[:-1])] = False  # windows do not cross the ends of recordings anyway
        gaps = int(borders.sum())
        said = f"time: {where}, a step every {seconds_of(every)}, {gaps:,} {'gap' if gaps == 1 else 'gaps'}"
        unsorted = not_later(parts)
        if unsorted:
            said += f"; {counted(unsorted, 'step is', 'steps are')} not later than the one before: sort the rows by time, and drop those that come twice"
            _log.warning("%s", said)
        choices.append(Choice(said, "step="))
    bad = None
    if missing == "skip":
        beside = (source.label_name, source.weight_name)
        names = [name for name in source.spec if name not in beside]
        bad = missing_steps(source, tuple(dict.fromkeys([*names, *([ahead.name] if ahead else [])])))
        choices.append(Choice(f"missing values: {int(bad.sum()):,} of {len(bad):,} steps have some (NaN)", "missing="))
    return _Checks(borders, bad, tuple(choices))


def _times(source: Source, time: Any) -> NDArray[Any]:
    """Return the times of all steps."""
    if not isinstance(time, str):
        return np.asarray(time)
    try:
        return source.column(time)
    except TypeError as error:  # NumPy's, where recordings are joined
        raise BadSetting(
            f"the column {time!r} has numbers, dates or text in some recordings, and others in other recordings: write it in one way"
        ) from error


def _made(
    found: Recordings,
    window: Window,
    given: Targets | None,
    ahead: Ahead | None,
    made: Cut,
    choices: tuple[Choice, ...],
    missing: Missing,
    time: str | None,
) -> Source:
    """Return the source of windows, with what it has left out."""
    base = found.source
    source = Windows(
        base,
        made.runs,
        window.rows,
        window.rate,
        targets=given,
        ahead=ahead,
        ends=found.ends,
        names=found.names,
        refuse_missing=missing == "raise",
    )
    source.choices = (*base.choices, *choices)
    unused = [
        name for name in (base.label_name, base.weight_name) if name is not None and not (ahead and ahead.name == name)
    ]
    if unused:
        _log.warning(
            "%s: taken as labels of steps, which windows do not have. To have a column in x, give it another name; target_columns= uses it as target",
            ", ".join(unused),
        )
    lost = {f"the field {name!r} of each step (target_columns= uses it)": 1 for name in unused}
    known = {reason: n for reason, n in base.left_out.items() if time is None or not reason.startswith(f"{time}: ")}
    source.left_out = {**known, **(found.left_out or {}), **lost, **made.left_out}
    return source
