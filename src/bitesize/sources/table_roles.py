"""Roles of the columns of a table of paths: paths, labels, weights, numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound
from bitesize.sources.base import OpenOptions
from bitesize.sources.choices import Choice, unread_labels
from bitesize.sources.column_names import (
    LABELS,
    PATHS,
    PERHAPS_PATHS,
    WEIGHTS,
    are_columns,
    first_named,
    is_row_number,
    match,
    may_be_identifier,
    plain,
    require,
)
from bitesize.sources.columns import wanted_fields
from bitesize.sources.file_paths import Finder, looks_like_paths
from bitesize.sources.lost_files import hint
from bitesize.sources.splits import COLUMNS
from bitesize.sources.text_labels import repeats
from bitesize.sources.text_table import Columns, TextTable
from bitesize.storage import paths

# Rows that are checked to find out which column holds paths.
TRIED = 20
_NAMED = 10
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MISSING = frozenset(("", "na", "nan", "n/a", "null", "none", "-", "?"))
_WITH_COMMAS = re.compile(r"[+-]?\d+(,\d+)*([eE][+-]?\d+)?")


def path_column(columns: Columns, table: str, roots: Sequence[str]) -> str | None:
    """Return the column with paths: by its name, or because its values are files.

    Raises
    ------
    NotFound
        If a column holds what look like paths, and none of these files exists.
    """
    found = first_named(columns, PATHS)
    if found is not None:
        return found
    named = [name for wanted in PERHAPS_PATHS for name in columns if plain(name) == wanted]
    unnamed = [name for name in columns if name not in named and looks_like_paths(columns[name][:TRIED])]
    unnamed += [name for name in columns if name not in (*named, *unnamed) and _may_name_files(columns[name][:TRIED])]
    for name in (*named, *unnamed):
        cells = [cell for cell in islice(columns[name], TRIED) if cell.strip()]
        finder = Finder(roots, table)
        if cells and all(finder.find(cell) is not None for cell in cells):
            return name
    lost = next((name for name in (*named, *unnamed) if looks_like_paths(columns[name][:TRIED])), None)
    if lost is not None:
        first = ", ".join(dict.fromkeys(columns[lost][:_NAMED]))
        below = " or ".join(dict.fromkeys(root or "." for root in roots))
        raise NotFound(
            f"the files in the column {lost!r} of {table} do not exist below {below}: {first}{hint(columns[lost][0], roots)}"
        )
    _refuse_decimal_commas(columns, table)
    _refuse_units(columns, table)
    return None


def _refuse_decimal_commas(columns: Columns, table: str) -> None:
    """Raise `BadSetting` for numbers with a comma: as text they would be left out."""
    for name, column in columns.items():
        cells = [cell.strip() for cell in column[:TRIED] if cell.strip()]
        is_label = plain(name) in LABELS or re.search(r"tags?|keywords?", name, re.IGNORECASE) is not None
        if is_label or not has_commas(cells):
            continue
        example = next(cell for cell in cells if "," in cell)
        if all(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", cell) for cell in cells if "," in cell):
            mark, way = "a comma (of thousands, or of decimals)", "thousands=','"
        else:
            mark, way = "a decimal comma", "decimal=','"
        raise BadSetting(
            f"the column {name!r} of {table} has numbers with {mark}, such as {example!r}: write them with a decimal point, or read the "
            f"table with pandas.read_csv({paths.basename(table)!r}, sep=None, engine='python', {way}), and open the data frame"
        )


def _refuse_units(columns: Columns, table: str) -> None:
    """Raise `BadSetting` for a second line of units: with it, columns of numbers would be text, and left out."""
    first = {name: column[0].strip() for name, column in columns.items() if len(column)}
    given = {name: cell for name, cell in first.items() if cell.lower() not in _MISSING}
    if any(_NUMBER.fullmatch(cell) for cell in given.values()):
        return
    for name, unit in given.items():
        cells = [cell.strip() for cell in columns[name][1:TRIED] if cell.strip()]
        if len(cells) > 1 and all(_NUMBER.fullmatch(cell) for cell in cells):
            raise BadSetting(
                f"line 2 of {table} has {unit!r} in the column {name!r}, whose other rows are numbers: remove this line if it has units, or "
                f"read the table with pandas.read_csv({paths.basename(table)!r}, skiprows=[1]), and open the data frame"
            )


def has_commas(cells: Sequence[str]) -> bool:
    """Return whether all cells are numbers, and some have a comma."""
    return any("," in cell for cell in cells) and all(_WITH_COMMAS.fullmatch(cell) for cell in cells)


def _may_name_files(cells: Sequence[str]) -> bool:
    """Return whether cells are all different words, as names of files without a suffix are."""
    given = [cell for cell in cells if cell.strip()]
    return len(given) > 1 and len(set(given)) == len(given) and not any(cell.isdigit() or " " in cell for cell in given)


class ChosenColumns(NamedTuple):
    """Which column each field is: the files' field, all others, and which of them has the labels and the weights."""

    files: str
    columns: dict[str, str]
    label: str
    targets: list[str]
    weight: str | None
    left_out: dict[str, int]
    choices: list[Choice]

    def needed(self, options: OpenOptions) -> ChosenColumns:
        """Return the columns that are needed: all, or all but those of labels and of sample weights."""
        chosen = self if options.labels_needed else self._without_labels()
        return chosen if options.weights_needed else chosen._without_weights()

    def _without_weights(self) -> ChosenColumns:
        kept = [choice for choice in self.choices if not choice.chosen.startswith("sample weights:")]
        columns = {name: column for name, column in self.columns.items() if name != self.weight}
        return self._replace(columns=columns, weight=None, choices=kept)

    def _without_labels(self) -> ChosenColumns:
        label = self.columns.get(self.label)
        names = self.targets or ([] if label is None else [label])
        if not names:
            return self
        columns = {name: column for name, column in self.columns.items() if name != self.label}
        kept = [choice for choice in self.choices if not choice.chosen.startswith("labels:")]
        return self._replace(columns=columns, targets=[], choices=[*kept, unread_labels(names)])


def choose_columns(table: TextTable, path: str, options: OpenOptions, where: str) -> ChosenColumns:
    """Choose fields: those that are asked for, or the labels and all that are numbers; labels are called ``y``, if nothing else is."""
    columns, choices, files = table.columns, list[Choice](), "x"
    left_out = {f"{name}: lists or objects": 1 for name in table.nested}
    names = [name for name in columns if name != path]
    targets: list[str] = []
    label = None
    if isinstance(options.labels, str):
        label = require(options.labels, columns, where, "labels")
    elif are_columns(options.labels, columns):
        targets = [require(name, columns, where, "labels") for name in options.labels]
        if len(targets) == 1:
            label = targets.pop()
    if options.fields is not None:
        wanted = wanted_fields(options, columns)
        unknown = [column for column in wanted.values() if match(column, columns) is None]
        if unknown:
            raise BadSetting(f"the table has no column {unknown[0]!r}: it has {', '.join(columns)}")
        wanted = {name: match(column, columns) or column for name, column in wanted.items()}
        of_files = [name for name, column in wanted.items() if column == path]
        if len(of_files) > 1:
            raise BadSetting(f"the files of {where} are one field, but {' and '.join(of_files)} are requested")
        if of_files and isinstance(options.fields, Mapping):
            files = of_files[0]
        wanted = {name: column for name, column in wanted.items() if column not in (path, label, *targets)}
        if files in wanted:
            raise BadSetting(
                f'{files!r} is the field of the files of {where}: choose another name, fields={{"image": "{path}", ...}}'
            )
        weight = _weight(columns, options, list(wanted.values()), where)
        weights = next((name for name, column in wanted.items() if column == weight), weight)
        if weights is not None and weight is not None:
            wanted.setdefault(weights, weight)
    else:
        weights = weight = _weight(columns, options, [name for name in names if name != label], where)
        if label is None and not targets and options.labels is None:
            label = _label(columns, [name for name in names if name != weight], left_out, choices)
        wanted = {name: name for name in _number_columns(columns, names, left_out) if name not in (label, *targets)}
        if files in wanted:
            del wanted[files]
            left_out[f"the column {files!r}, whose name the files have"] = 1
    if weights is not None and options.weights is None:
        choices.append(Choice(f"sample weights: the column {weight!r}", 'weights=""'))
    for name in (label, *targets):
        left_out = {why: count for why, count in left_out.items() if name is None or not why.startswith(f"{name}: ")}
    if label is None:
        named = "y" if "y" in wanted or targets or options.fields is None else first_named(wanted, LABELS) or "y"
        return ChosenColumns(files, wanted, named, targets, weights, left_out, choices)
    name = "y" if "y" not in wanted else label
    return ChosenColumns(files, {name: label} | wanted, name, targets, weights, left_out, choices)


def _label(columns: Columns, names: Sequence[str], left_out: dict[str, int], choices: list[Choice]) -> str | None:
    """Return the column with labels: one of a usual name, or the only other column if it can be intended."""
    label = first_named(names, LABELS)
    if label is not None:
        choices.append(Choice(f"labels: the column {label!r}", "labels="))
        return label
    rest = [name for name in names if plain(name) not in COLUMNS and not is_row_number(name) and not may_be_identifier(name)]
    texts = [name for name in rest if as_numbers(columns[name]) is None]
    if len(rest) == 1 and not texts:
        choices.append(Choice(f"labels: the column {rest[0]!r}, the only other", "labels="))
        return rest[0]
    if len(texts) != 1:
        return None
    if looks_like_paths(columns[texts[0]]):
        return None
    values, rows = len(set(columns[texts[0]])), len(columns[texts[0]])
    if repeats(values, rows) and all(value.strip() for value in set(columns[texts[0]])):
        choices.append(Choice(f"labels: the column {texts[0]!r}, the only text", "labels="))
        return texts[0]
    contents = "captions" if plain(texts[0]) in ("text", "caption", "captions") else "text"
    left_out[f"{texts[0]}: {contents}, {values:,} different values in {rows:,} rows; labels={texts[0]!r} selects it"] = 1
    return None


def _weight(columns: Columns, options: OpenOptions, among: Sequence[str], where: str) -> str | None:
    """Return the column with sample weights: the one that is asked for, or one of a usual name with numbers."""
    if options.weights:
        column = require(options.weights, columns, where, "weights")
        if as_numbers(columns[column]) is None:
            raise BadSetting(f"the weights {column!r} of {where} must be one number per row, but are text")
        return column
    if options.weights is not None:
        return None
    found = first_named(among, WEIGHTS)
    return found if found is not None and as_numbers(columns[found]) is not None else None


def _number_columns(columns: Columns, names: Sequence[str], left_out: dict[str, int]) -> list[str]:
    """Return the columns of numbers; for others, why they are left out."""
    numeric = []
    for name in names:
        if plain(name) in COLUMNS:
            left_out[f"{name}: splits of the data (split=)"] = 1
        elif is_row_number(name):
            left_out[f"{name or 'a column without a name'}: row numbers (fields= selects it)"] = 1
        elif as_numbers(columns[name]) is not None:
            numeric.append(name)
        elif looks_like_paths(columns[name]):
            left_out[f"{name}: paths of files; masks are opened with labels=FOLDER"] = 1
        elif has_commas([cell.strip() for cell in columns[name] if cell.strip()]):
            left_out[f"{name}: numbers with a comma; write them with a decimal point"] = 1
        elif not any(why.startswith(f"{name}: ") for why in left_out):
            left_out[f"{name}: text that is not a label"] = 1
    return numeric


def as_numbers(column: Sequence[str]) -> NDArray[Any] | None:
    """Read a column as int64 or else float64, or None where it is text; an empty value is a NaN."""
    for kind in (np.int64, np.float64):
        try:
            return np.array([value or "nan" for value in column] if kind is np.float64 else column).astype(kind)
        except (ValueError, OverflowError):
            continue
    return None
