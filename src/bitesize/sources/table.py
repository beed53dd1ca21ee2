"""Tables of paths: CSV files that name a file a row, with labels, targets and weights beside."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.files.names import Names, names_of
from bitesize.sources.base import Asked, Files, Source
from bitesize.sources.beside import Beside, Zipped
from bitesize.sources.columns import wanted_fields
from bitesize.sources.kinds import by_suffix, need
from bitesize.sources.labels import class_numbers
from bitesize.sources.splits import COLUMNS, rows_of_part

# What people call the columns.
PATHS = ("path", "file", "file_name", "filename", "filepath", "image", "image_path")
LABELS = ("label", "y", "class", "target")
# A folder with such a file is described by it.
METADATA = "metadata.csv"
# Files that do not exist, and are named in the error.
_NAMED = 10

Columns = Mapping[str, Sequence[str]]


class Table(Beside):
    """The files that a table names, and its columns of numbers."""

    title = "tables of paths and labels"
    suffixes = (".csv", ".tsv")
    in_parts = True

    @classmethod
    def takes(cls, what: Any) -> bool:
        """Tell whether this is a folder that a ``metadata.csv`` describes, as Hugging Face's image folders are."""
        if not isinstance(what, str):
            return False
        path = os.path.join(what, METADATA)
        if not os.path.isfile(path):
            return False
        with _opened(path) as lines:
            return any(name in PATHS for name in next(lines, []))

    @classmethod
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Open the files that a table, or several alike, name; paths are relative to each table's folder."""
        tables = [os.path.join(what, METADATA)] if isinstance(what, str) else what
        columns, counts = _read(tables)
        path = _first(columns, PATHS, tables[0])
        chosen = _chosen(columns, path, asked, tables[0])
        rows = _rows_of_part(columns, asked.split, tables[0])
        folders = [
            folder for table, count in zip(tables, counts, strict=True) for folder in [os.path.dirname(table)] * count
        ]
        if len(tables) == 1:
            names = files_of([columns[path][row] for row in rows], folders[:1], tables[0])
        else:
            names = files_of([os.path.join(folders[row], columns[path][row]) for row in rows], [""], tables[0])
        kind = _kind_of(names, tables[0])
        arrays, classes = {}, {}
        for name, column in chosen.columns.items():
            arrays[name], found = _values(columns, column, rows, name == chosen.label, tables[0])
            if found is not None:
                classes[name] = found
        source = kind.of_files(Files(names, None, None, chosen.left_out), replace(asked, labels=None, fields=None))
        if chosen.files != "x":
            source = Zipped([({chosen.files: "x"}, source)])
        table = cls(source, arrays, classes.pop(chosen.label, None), chosen.label)
        table.classes_of = classes
        return table

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small images of random noise, and a table of their paths, classes and weights."""
        from PIL import Image

        random = np.random.default_rng(0)
        lines = ["path,label,weight"]
        for i in range(rows):
            Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).save(folder / f"{i}.png")
            lines.append(f"{i}.png,{'ab'[i % 2]},{i / rows}")
        (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
        return cls.opened([str(folder / "table.csv")], Asked())


def labelled_files(table: str | os.PathLike[str], root: str) -> tuple[Names, list[str]]:
    """Read a table of paths and labels; paths are relative to ``root`` or to the table's folder.

    Raises
    ------
    NotFound
        If the table or a file of it does not exist.
    BadFile
        If it is no table, or has no such columns.
    """
    name = os.fspath(table)
    if not os.path.isfile(name):
        raise NotFound(f"{name} does not exist")
    columns, _ = _read([name])
    path, label = _first(columns, PATHS, name), _first(columns, LABELS, name)
    return files_of(columns[path], [root, os.path.dirname(name)], name), list(_all_there(columns, label, name))


def _rows_of_part(columns: Columns, split: str | None, table: str) -> Sequence[int]:
    """Tell the rows of a part, where a column tells it; or all."""
    column = next((name for name in COLUMNS if name in columns), None)
    if column is None:
        if split is not None:
            raise BadSetting(f"split={split!r}: {table} has no column that tells parts, called {', '.join(COLUMNS)}")
        return range(len(next(iter(columns.values()))))
    parts, numbers = np.unique(columns[column], return_inverse=True)
    taken = rows_of_part(parts.tolist(), numbers, split, table)
    return range(len(numbers)) if taken is None else np.flatnonzero(taken).tolist()


@contextmanager
def _opened(path: str) -> Iterator[Iterator[list[str]]]:
    """Read lines of a table as lists."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield csv.reader(file, delimiter="\t" if path.lower().endswith(".tsv") else ",", skipinitialspace=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} is not a table in UTF-8: {error}") from error


def _read(tables: Sequence[str]) -> tuple[Columns, list[int]]:
    """Read the columns of tables that have the same, and how many rows each has."""
    columns: dict[str, list[str]] = {}
    ends = [0]
    for number, table in enumerate(tables):
        with _opened(table) as lines:
            names = next(lines, [])
            if number and names != list(columns):
                raise BadFile(f"{table} has the columns {', '.join(names)}, and {tables[0]} {', '.join(columns)}")
            if len(set(names)) < len(names):
                raise BadFile(f"{table} names a column twice: {', '.join(names)}")
            other = next((each for each in ";\t|" if len(names) == 1 and each in names[0]), None)
            if other is not None:
                raise BadFile(f"{table} is separated by {other!r}: save it with commas, or as .tsv with tabs")
            parts = [columns.setdefault(name, []) for name in names]
            for count, line in enumerate(lines, 2):
                if not line:
                    continue
                if len(line) != len(names):
                    raise BadFile(f"line {count} of {table} has {len(line)} values for {len(names)} columns")
                for part, value in zip(parts, line, strict=True):
                    part.append(value)
            ends.append(len(parts[0]) if parts else 0)
    if not columns or not next(iter(columns.values())):
        raise BadFile(f"{tables[0]} lists no files")
    return columns, [b - a for a, b in pairwise(ends)]


def _first(columns: Columns, names: Sequence[str], table: str) -> str:
    found = next((name for name in names if name in columns), None)
    if found is None:
        what = {PATHS: "paths", LABELS: "labels"}[tuple(names)]
        raise BadFile(
            f"{table} needs a column of {what}, called {', '.join(names)}, and has {', '.join(columns)}: a table of files is "
            "needed; numbers are read from .npy, Parquet or HDF5 files"
        )
    return found


def files_of(paths: Sequence[str], roots: Sequence[str], table: str) -> Names:
    """Find the files that a table names, relative to one of the folders.

    Raises
    ------
    NotFound
        If one is in none of them; the first ten are named.
    """
    found, missing = [], []
    for name in paths:
        places = [os.path.join(folder, name) for folder in roots]
        place = next((place for place in places if os.path.isfile(place)), None)
        if place is None:
            missing.append(name)
        else:
            found.append(place)
    if missing:
        first = ", ".join(missing[:_NAMED])
        raise NotFound(
            f"{len(missing)} files of {table} do not exist below {' or '.join(dict.fromkeys(root or '.' for root in roots))}: {first}"
        )
    return names_of(found)


class _Chosen(NamedTuple):
    """Which column each field is: the files' field, all others, and which of them has the labels."""

    files: str
    columns: dict[str, str]
    label: str
    left_out: dict[str, int]


def _chosen(columns: Columns, path: str, asked: Asked, table: str) -> _Chosen:
    """Choose fields: those that are asked for, or the labels and all that are numbers; labels are called ``y``, if nothing else is."""
    others, left_out, files = [name for name in columns if name != path], {}, "x"
    label = asked.labels if isinstance(asked.labels, str) else None
    if label is not None and label not in columns:
        raise BadSetting(f"labels={label!r}: the table has no such column: it has {', '.join(columns)}")
    if asked.fields is not None:
        wanted = wanted_fields(asked, columns)
        unknown = [column for column in wanted.values() if column not in columns]
        if unknown:
            raise BadSetting(f"the table has no column {unknown[0]!r}: it has {', '.join(columns)}")
        of_files = [name for name, column in wanted.items() if column == path]
        if len(of_files) > 1:
            raise BadSetting(f"the files of {table} are one field, and {' and '.join(of_files)} are asked for")
        if of_files and isinstance(asked.fields, Mapping):
            files = of_files[0]
        wanted = {name: column for name, column in wanted.items() if column not in (path, label)}
        if files in wanted:
            raise BadSetting(
                f'{files!r} is the field of the files of {table}: give them another name, fields={{"image": "{path}", ...}}'
            )
    else:
        label = label or next((name for name in LABELS if name in others), others[0] if len(others) == 1 else None)
        numbers = [name for name in others if name not in COLUMNS and _numbers(columns[name]) is not None]
        wanted = {name: name for name in numbers if name not in (label, files)}
        if files in numbers and label != files:
            left_out[f"the column {files!r}, which is what the files are called"] = 1
    if label is None:
        return _Chosen(files, wanted, "y", left_out)
    name = "y" if "y" not in wanted else label
    return _Chosen(files, {name: label} | wanted, name, left_out)


def _kind_of(names: Names, table: str) -> type[Source]:
    kinds = {by_suffix(os.fsdecode(names.relative(i))) for i in range(len(names))}
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind is None or not kind.file_is_row:
        raise BadSetting(f"the files of {table} must be of one kind, images or .npy files: {names.show(0)} ...")
    need(kind)
    return kind


def _all_there(columns: Columns, label: str, table: str, rows: Sequence[int] | None = None) -> list[str]:
    """Give the labels of rows, none of which may be empty: that would be a class of its own."""
    paths, values = next(iter(columns.values())), columns[label]
    rows = range(len(values)) if rows is None else rows
    missing = [paths[row] for row in rows if not values[row].strip()]
    if missing:
        raise BadFile(f"{len(missing)} rows of {table} have no {label!r}: {', '.join(missing[:_NAMED])}")
    return [values[row] for row in rows]


def _values(
    columns: Columns, column: str, rows: Sequence[int], is_label: bool, table: str
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Give the values of a column, and the names of classes where they are text: what they are is told by all rows, whatever part is taken."""
    values = columns[column]
    everywhere = [value for value in values if value.strip()]
    kind = _numbers(everywhere)
    if kind is not None and not is_label:
        numbers = _numbers([values[row] for row in rows])
        assert numbers is not None
        return numbers.astype(kind.dtype if len(everywhere) == len(values) else np.float64), None
    given = _all_there(columns, column, table, rows)
    if kind is not None:  # whole numbers are classes, too, and others are targets
        return np.array(given).astype(kind.dtype), None
    numbered, classes = class_numbers(everywhere, len(everywhere))
    known = dict(zip(everywhere, numbered.tolist(), strict=True))
    return np.array([known[value] for value in given], np.int64), classes


def _numbers(column: Sequence[str]) -> NDArray[Any] | None:
    """Read a column as int64 or else float64, or None where it is text; an empty value is a NaN."""
    for kind in (np.int64, np.float64):
        try:
            return np.array([value or "nan" for value in column] if kind is np.float64 else column).astype(kind)
        except (ValueError, OverflowError):
            continue
    return None
