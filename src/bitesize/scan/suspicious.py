"""Rows that can be read, but may be unintended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.scan.content import RowFacts
from bitesize.scan.findings import ReportedRow
from bitesize.sources.base import Source
from bitesize.sources.value_range import PART_OF_RANGE, narrow_in_words
from bitesize.spec import Encoded

# Images are reported if their pixels differ from the median by this factor, or if their shape is extreme.
_TIMES_THE_MEDIAN, _ASPECT, _SMALL_SIDE = 50, 20, 8
_KEEPING = ("I;16", "unchanged")


def suspicious_rows(name: str, part: Source, facts: RowFacts) -> list[ReportedRow]:
    """Return the suspicious rows of a part, with all reasons for each."""
    rows = []
    narrow = _narrow(part, facts)
    pixels = facts.sides.astype(np.int64).prod(axis=1)
    known = pixels > 0
    middle = float(np.median(pixels[known])) if known.any() else 0.0
    for row in np.flatnonzero(facts.not_finite | facts.uniform | facts.misnamed | known | narrow).tolist():
        reasons = []
        width, height = facts.sides[row].tolist()
        if facts.uniform[row]:
            reasons.append("of one color" if known[row] else "all values are the same")
        if narrow[row]:
            reasons.append(_of_narrow_range(part, facts, row))
        if facts.not_finite[row]:
            reasons.append(f"{facts.not_finite_field} has NaN or infinite values")
        if facts.misnamed[row]:
            reasons.append("its image format differs from its file name")
        if known[row]:
            size = f"{width} x {height} pixels"
            if min(width, height) < _SMALL_SIDE or max(width, height) > _ASPECT * min(width, height):
                reasons.append(f"{size}, an extreme shape")
            elif not middle / _TIMES_THE_MEDIAN <= pixels[row] <= middle * _TIMES_THE_MEDIAN:
                reasons.append(f"{size}, while the median is {middle:,.0f} pixels")
        if reasons:
            rows.append(ReportedRow(name, row, part.describe(row), "; ".join(reasons)))
    return rows


def _narrow(part: Source, facts: RowFacts) -> NDArray[np.bool_]:
    """Return which images and volumes of 16 bits use a small part of their range: all that 8 bits leave few levels of, or one for all rows."""
    what = part.spec[part.primary]
    if what.dtype not in (np.uint8, np.uint16):
        return np.zeros(len(facts.levels), np.bool_)
    narrow: NDArray[np.bool_] = (facts.levels > 0) & (facts.brightest < (int(np.iinfo(what.dtype).max) + 1) // PART_OF_RANGE)
    if isinstance(what, Encoded) and what.mode not in _KEEPING:
        return narrow
    # Their values are kept, so a dark image among others is not a problem. One row represents a dark data set.
    chosen = np.zeros(len(narrow), np.bool_)
    brightest = int(facts.brightest.argmax())
    chosen[brightest] = narrow[brightest]
    return chosen


def _of_narrow_range(part: Source, facts: RowFacts, row: int) -> str:
    what, brightest = part.spec[part.primary], int(facts.brightest[row])
    if not isinstance(what, Encoded) or what.mode in _KEEPING:
        return narrow_in_words(brightest, what.dtype)
    way = 'open it with mode="unchanged"'
    return (
        f"its values of more than 8 bits use less than 1/{PART_OF_RANGE} of their range, so 8 bits leave {facts.levels[row]} levels: "
        f"{way}"
    )
