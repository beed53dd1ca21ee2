"""Values of the columns of a table of paths: labels, numbers, tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.files.names import Names
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.table_roles import as_numbers
from bitesize.sources.text_labels import Texts, number_texts, text_labels, unlabeled
from bitesize.sources.text_table import Columns

_NAMED = 10


def _all_there(columns: Columns, label: str, table: str, rows: Sequence[int]) -> None:
    """Refuse labels that are empty: that would be a class of its own."""
    paths, values = next(iter(columns.values())), columns[label]
    missing = [paths[row] for row in rows if not values[row].strip()]
    if missing:
        raise unlabeled(len(missing), str(table), label, missing[:_NAMED])


def column_values(
    columns: Columns,
    column: str,
    rows: Sequence[int],
    is_label: bool,
    options: OpenOptions,
    table: str,
    choices: list[Choice],
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return the values of a column, and the names of classes where they are text: what they are does not depend on the part."""
    values = columns[column]
    filled = [value for value in values if value.strip()]
    kind = as_numbers(filled) if not is_label else None
    if kind is not None:
        numbers = as_numbers([values[row] for row in rows])
        assert numbers is not None
        return numbers.astype(kind.dtype if len(filled) == len(values) else np.float64), None
    if is_label and options.tag_delimiter:
        labels = text_labels(Texts.of(values), column, table, options.tag_delimiter)
        return labels.values[np.asarray(rows, np.int64)], labels.classes
    _all_there(columns, column, table, rows)
    text_of = np.cumsum([bool(value.strip()) for value in values]) - 1
    indices = text_of[np.asarray(rows, np.int64)]
    if not is_label:
        numbered, classes = number_texts(Texts.of(filled))
        return numbered[indices], classes
    labels = text_labels(Texts.of(filled), column, table, options.tag_delimiter, may_be_numbers=True)
    choices += labels.choices
    return labels.values[indices], labels.classes


def target_values(
    columns: Columns, names: Sequence[str], rows: Sequence[int], table: str, choices: list[Choice]
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return several columns as labels: 0 or 1 for each class, or numbers."""
    targets = []
    for name in names:
        _all_there(columns, name, table, rows)
        numbers = as_numbers(columns[name])
        if numbers is None:
            raise BadSetting(
                f"labels={list(names)}: several label columns must hold numbers, such as 1 and 0 for yes and no, but {name!r} of {table} is text: name one as the label, "
                f"and select the others with fields=, which makes class numbers of text (source.classes_of has the names)"
            )
        targets.append(numbers)
    whole = np.stack(targets, axis=1)
    binary = bool(np.isin(whole, (0, 1)).all())
    choices.append(Choice(f"labels: {'a 0 or 1 for each' if binary else 'numbers'} of {', '.join(names)}", "labels="))
    values = whole[np.asarray(rows, np.int64)].astype(np.float32 if binary else np.float64)
    return values, tuple(names) if binary else None


def check_repeated(names: Names, source: Source) -> None:
    """Refuse files that are named several times with different labels: that is how several labels per file are written.

    Raises
    ------
    BadSetting
        If there are such.
    """
    labels, seen = source.labels, dict[bytes, int]()
    again, different = 0, []
    for row in range(len(names)):
        path = names.path(row)
        first = seen.setdefault(path, row)
        if first != row:
            again += 1
            if labels is not None and labels[first] != labels[row]:
                different.append(names.show(row))
    if different:
        raise BadSetting(
            f"{len(different)} files are listed in several rows with different labels: {', '.join(different[:_NAMED])}. Write each file "
            'once, with all its labels in one cell, and open it with tag_delimiter="|"'
        )
    if again:
        source.choices = (*source.choices, Choice(f"{again:,} rows name a file that another row also names", ""))
