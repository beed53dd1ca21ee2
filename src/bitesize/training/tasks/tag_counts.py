"""Counts of the rows without and with each tag by their rounded log-odds: what F1 and the area under the ROC curve are computed from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.sizes import counted, format_size

# Log-odds are rounded to steps of 1/256, from -16 to 16: figures are then those of the rounded values, exactly, however rows are cut
# into batches and batches are shared by workers. Rows of one step count as equal in the area under the ROC curve.
LIMIT, PER_UNIT = 16.0, 256
STEPS = int(2 * LIMIT * PER_UNIT)
_COUNTED = np.dtype(np.uint32)
_CODE = np.dtype(np.uint16)  # a step, and above it whether the row has the tag


class TagCounts:
    """Counts of rows by step. Of few rows the steps are kept, of many the counts: whichever is smaller.

    Parameters
    ----------
    tags
        Number of tags.
    rows
        Most rows that are added.

    Examples
    --------
    >>> import numpy as np
    >>> counts = TagCounts(1, 2)
    >>> counts.add(np.array([[True], [False]]), np.array([[7], [5]], np.uint16))
    >>> [np.flatnonzero(each).tolist() for each in counts.of(0)]
    [[5], [7]]
    """

    def __init__(self, tags: int, rows: int) -> None:
        self._tags, self._rows = tags, 0
        self._codes = np.empty((tags, rows), _CODE) if _keeps_rows(rows) else None
        self._counts = None if _keeps_rows(rows) else np.zeros((tags, 2, STEPS), _COUNTED)

    def add(self, true: NDArray[np.bool_], steps: NDArray[np.uint16]) -> None:
        """Add rows: their tags and steps, shape (rows, tags)."""
        if self._counts is not None:
            np.add.at(self._counts, (np.arange(self._tags), true.astype(np.int64), steps), 1)
        elif self._codes is not None:
            self._codes[:, self._rows : self._rows + len(true)] = (steps + true * _CODE.type(STEPS)).T
        self._rows += len(true)

    def of(self, tag: int) -> NDArray[np.int64]:
        """Return the counts of rows without and with a tag, by step: shape (2, steps)."""
        if self._counts is not None:
            return np.asarray(self._counts[tag], np.int64)
        assert self._codes is not None
        counts = np.bincount(self._codes[tag, : self._rows], minlength=2 * STEPS)
        return np.asarray(counts.reshape(2, STEPS), np.int64)


def counts_nbytes(tags: int, rows: int) -> tuple[int, str]:
    """Return the bytes of `TagCounts`, and their origin as text.

    Examples
    --------
    >>> counts_nbytes(5000, 1000), counts_nbytes(5000, 1_000_000)
    ((10000000, '2 bytes for each of 5,000 tags and 1,000 rows'), (327680000, '64 KiB for each of 5,000 tags'))
    """
    if _keeps_rows(rows):
        return tags * rows * _CODE.itemsize, f"2 bytes for each of {counted(tags, 'tag')} and {counted(rows, 'row')}"
    each = 2 * STEPS * _COUNTED.itemsize
    return tags * each, f"{format_size(each)} for each of {counted(tags, 'tag')}"


def _keeps_rows(rows: int) -> bool:
    return rows * _CODE.itemsize <= 2 * STEPS * _COUNTED.itemsize
