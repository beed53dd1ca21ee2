"""Checking labels one by one: not missing, masked or empty, and of one type."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, first_few

_NAMED = 5
_LISTS = (list, tuple, set, frozenset)
# Missing values of pandas and NumPy that are not floats.
_MISSING_TYPES = ("NAType", "NaTType")


def refuse_rows(rows: Sequence[int], value: str, way: str = "") -> None:
    """Raise `BadSetting` if there are rows; the message names the first few.

    Raises
    ------
    BadSetting
        If `rows` is not empty.
    """
    if len(rows):
        first = first_few(rows, _NAMED)
        several = f" ({len(rows):,} such rows: {first})" if len(rows) > 1 else ""
        raise BadSetting(
            f"labels must be numbers or text, one per row: the label of row {rows[0]} is {value}{several}; "
            f"{way or 'drop these rows from the data and from labels='}"
        )


def refuse_masked(labels: Any) -> None:
    """Raise `BadSetting` for a masked array: masked values are not labels."""
    if np.ma.isMaskedArray(labels):
        raise BadSetting(
            "labels are a masked array: fill it first with labels.filled(0), or drop rows from the data and the labels"
        )


def check_cells(cells: Sequence[Any]) -> None:
    """Check a list of labels before conversion to an array, which could turn ``nan`` and ``1`` into text.

    Raises
    ------
    BadSetting
        If a label is missing, or only some labels are text.
    """
    kinds = set(map(type, cells))
    if not all(issubclass(kind, int | np.integer | np.bool_ | str) for kind in kinds):
        refuse_rows([i for i, cell in enumerate(cells) if is_missing(cell)], "missing")
    texts = {kind for kind in kinds if issubclass(kind, str | bytes)}
    if texts and texts != kinds:
        text = next(i for i, cell in enumerate(cells) if isinstance(cell, str | bytes))
        other = next(i for i, cell in enumerate(cells) if not isinstance(cell, str | bytes))
        raise BadSetting(
            f"labels must be of one type: the label of row {text} is the text {cells[text]!r:.80}, the label of row {other} is "
            f"{cells[other]!r:.80} ({type(cells[other]).__name__}); list(map(str, labels)) converts all to text"
        )


def is_missing(cell: Any) -> bool:
    """Return whether a label is None, NaN, masked, or a missing value of pandas."""
    if cell is None or cell is np.ma.masked or type(cell).__name__ in _MISSING_TYPES:
        return True
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    return isinstance(cell, numbers.Number) and bool(cell != cell)


def check_values(labels: NDArray[Any]) -> None:
    """Check an array of labels for NaN; dense targets of more than two axes may contain NaN.

    Raises
    ------
    BadSetting
        If a label is NaN.
    """
    if labels.dtype.kind in "fcmM" and labels.ndim in (1, 2):
        bad = np.isnat(labels) if labels.dtype.kind in "mM" else np.isnan(labels)
        refuse_rows(np.flatnonzero(bad.reshape(len(labels), -1).any(axis=1)).tolist(), "missing (NaN)")
    if labels.dtype.kind == "U" and labels.ndim == 1:
        way = "drop these rows, or pass labels.tolist() if 'nan' is a class"
        refuse_rows(np.flatnonzero(labels == "nan").tolist(), "'nan', as NumPy writes a missing value", way)


def check_texts(labels: Sequence[str]) -> None:
    """Raise `BadSetting` for labels without text: they would become a separate class."""
    if any(not text or text.isspace() for text in set(labels)):
        refuse_rows([i for i, text in enumerate(labels) if not text.strip()], "empty")


def tag_lists(cells: Sequence[Any]) -> list[list[str]] | None:
    """Return the tags of each row if labels are lists of text, or None.

    Raises
    ------
    BadSetting
        If only some rows have a list of text.
    """
    lists = [isinstance(cell, _LISTS) for cell in cells]
    if not any(lists) or not any(isinstance(tag, str) for cell in cells if isinstance(cell, _LISTS) for tag in cell):
        return None
    odd = next(
        (
            i
            for i, cell in enumerate(cells)
            if not isinstance(cell, _LISTS) or not all(isinstance(tag, str) and tag.strip() for tag in cell)
        ),
        None,
    )
    if odd is not None:
        raise BadSetting(
            f'lists of tags need a list of text for each row, [["a"], ["a", "b"], []]: the label of row {odd} is {cells[odd]!r:.200}'
        )
    return [list(dict.fromkeys(cell)) for cell in cells]
