"""Splitting windows of time series by time: no step is in two parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.sources.choices import Choice
from bitesize.sources.row_source import RowSource

# The part of rows that are in no part.
NOWHERE = -1
CROSSING = "windows that cross the border between parts"


def parts_by_time(source: RowSource, shares: Sequence[float]) -> NDArray[np.int64]:
    """Return the part of each row, earlier steps first; `NOWHERE` for windows that cross a border. Each recording is split for itself.

    Parameters
    ----------
    source
        Windows of time series.
    shares
        Fraction of the steps of each part; they sum to 1.

    Raises
    ------
    BadSetting
        If rows are not windows.
    """
    found = source.extents(np.arange(len(source), dtype=np.int64))
    if found is None:
        raise BadSetting(f'by="time" splits windows of bs.timeseries, but {source!r} has other rows')
    recordings, member = np.unique(found.recording, return_inverse=True)
    begin = np.full(len(recordings), np.iinfo(np.int64).max)
    end = np.zeros(len(recordings), np.int64)
    np.minimum.at(begin, member, found.first)
    np.maximum.at(end, member, found.last + 1)
    part_of = np.zeros(len(source), np.int64)
    for share in np.cumsum(shares)[:-1].tolist():
        border = (begin + np.round(share * (end - begin)).astype(np.int64))[member]
        part_of[found.first >= border] += 1
        part_of[(found.first < border) & (found.last >= border)] = NOWHERE - len(shares)  # stays below 0
    return np.maximum(part_of, NOWHERE)


def overlap_hint(source: RowSource) -> Choice | None:
    """Return the choice that says that a random split would leak, if neighboring windows have steps in common."""
    found = source.extents(np.arange(min(len(source), 2), dtype=np.int64))
    if found is None or len(source) < 2:
        return None
    if found.recording[0] != found.recording[1] or found.first[1] > found.last[0]:
        return None
    return Choice("windows overlap: a random split puts the same steps into several parts", 'split(..., by="time")')
