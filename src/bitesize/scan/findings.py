"""Findings of `check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bitesize.html.notebook import Html, output, table
from bitesize.memory.sizes import counted

# Lines of a table in a notebook.
_MOST = 20


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

    def _repr_html_(self) -> str:
        """Return a table of each kind of finding, for notebooks."""
        rows = ", ".join(f"{name} {counted(count, 'row')}" for name, count in self.rows.items())
        said = f"Checked {rows}: {'nothing wrong was found' if self.well else 'problems were found'}"
        groups = {"leaks": self.leaks, "duplicates": self.duplicates}
        titles = {"leaks": "in several parts, with equal contents", "duplicates": "equal within a part"}
        blocks = [_table("cannot be read", [[row] for row in self.bad])]
        blocks += [_table(titles[name], found) for name, found in groups.items()]
        blocks.append(_table("may be unintended", [[row] for row in self.suspicious]))
        names = list(dict.fromkeys(name for counts in self.classes.values() for name in counts))
        counts = [(name, *(f"{part.get(name, 0):,}" for part in self.classes.values())) for name in names[:_MOST]]
        more = f"the first {_MOST} of {len(names):,} classes" if len(names) > _MOST else "rows of each class"
        blocks.append(table(counts, ["class", *self.classes], numbers=range(1, len(self.classes) + 1), caption=more))
        return output(said, *blocks, *self.unbalanced)

    @property
    def well(self) -> bool:
        """Return whether no problem was found. Classes of different sizes alone are not a problem."""
        return not (self.bad or self.duplicates or self.leaks or self.suspicious)

    @property
    def damaged(self) -> tuple[ReportedRow, ...]:
        """Bad rows with damaged contents. Rows without read permission, or that need too much memory, are not included."""
        return self._contents


def _table(title: str, groups: Sequence[Sequence[ReportedRow]]) -> Html:
    """Return a table of the first rows, with a line between groups of several rows; "" without rows."""
    lines = [(row.part, f"{row.row:,}", row.path, row.reason) for group in groups for row in group]
    several = any(len(group) > 1 for group in groups)
    count = counted(len(groups), "group of rows", "groups of rows") if several else counted(len(groups), "row")
    more = f", the first {_MOST} rows" if len(lines) > _MOST else ""
    return table(lines[:_MOST], ("part", "row", "path", "reason"), numbers=[1], caption=f"{count} {title}{more}")
