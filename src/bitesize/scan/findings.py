"""Findings of `check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class ReportedRow(NamedTuple):
    """A row of one part of the data, such as ``"train"``, with the reason for the report."""

    part: str
    row: int
    path: str
    reason: str = ""


@dataclass(frozen=True)
class Findings:
    """Findings of `check`.

    Attributes
    ----------
    rows : Mapping of str to int
        Number of rows in each part.
    bad : tuple of ReportedRow
        Rows that cannot be read, with the reason.
    duplicates : tuple of tuples of ReportedRow
        Groups of rows with equal contents within a part. The reason is ``"other labels"`` if their labels differ.
    leaks : tuple of tuples of ReportedRow
        Groups of rows with equal contents in several parts. A model would be evaluated on rows that it was trained on.
    suspicious : tuple of ReportedRow
        Rows that can be read, but may be unintended: one color, NaN or infinite values, extreme size, a format that differs
        from the file name, or 16-bit values that use a small part of their range.
    classes : Mapping of str to (Mapping of str to int)
        Number of rows of each class in each part; empty without classes.
    unbalanced : tuple of str
        Sentences about classes of very different sizes.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> found = bs.check(bs.open(np.array([[1.0, 2.0], [3.0, np.nan]])), "16 MiB")
    >>> found.rows, found.well, len(found.suspicious)
    ({'data': 2}, False, 1)
    """

    rows: Mapping[str, int]
    bad: tuple[ReportedRow, ...]
    duplicates: tuple[tuple[ReportedRow, ...], ...]
    leaks: tuple[tuple[ReportedRow, ...], ...]
    suspicious: tuple[ReportedRow, ...]
    classes: Mapping[str, Mapping[str, int]]
    unbalanced: tuple[str, ...]
    _contents: tuple[ReportedRow, ...] = ()  # rows of `bad` whose file can be read, but is damaged

    @property
    def well(self) -> bool:
        """Return whether no problem was found. Classes of different sizes alone are not a problem."""
        return not (self.bad or self.duplicates or self.leaks or self.suspicious)

    @property
    def damaged(self) -> tuple[ReportedRow, ...]:
        """Bad rows with damaged contents. Rows without read permission, or that need too much memory, are not included."""
        return self._contents
