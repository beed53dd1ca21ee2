"""Tables of paths: CSV files that name a file a row, with labels, targets and weights beside."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.files.names import Names, names_of
from bitesize.sources.base import Asked, Files, Source
from bitesize.sources.beside import Beside
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
        """Open the files that a table, or several alike, name; paths are relative to the table's folder."""
        tables = [os.path.join(what, METADATA)] if isinstance(what, str) else what
        columns = _of_part(_read(tables), asked.split, tables[0])
        path = _first(columns, PATHS, tables[0])
        names = files_of(columns[path], [os.path.dirname(table) for table in tables], tables[0])
        chosen = _chosen(columns, path, asked)
        label = chosen.get("y")
        kind = _kind_of(names, tables[0])
        numbers, classes = (None, None) if label is None else _labels(_all_there(columns, label, tables[0]))
        source = kind.of_files(Files(names, numbers, classes, {}), replace(asked, labels=None, fields=None))
        arrays, classes_of = {}, {}
        for name, column in chosen.items():
            if name != "y":
                found = _numbers(columns[column])
                if found is None:  # another label
                    found, classes_of[name] = class_numbers(list(_all_there(columns, column, tables[0])), len(names))
                arrays[name] = found
        table = cls(source, arrays, None)
        table.classes_of = {name: found for name, found in classes_of.items() if found is not None}
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
    columns = _read([name])
    path, label = _first(columns, PATHS, name), _first(columns, LABELS, name)
    return files_of(columns[path], [root, os.path.dirname(name)], name), list(_all_there(columns, label, name))


def _of_part(columns: Columns, split: str | None, table: str) -> Columns:
    """Take the rows of a part, where a column tells it."""
    column = next((name for name in COLUMNS if name in columns), None)
    if column is None:
        if split is not None:
            raise BadSetting(f"split={split!r}: {table} has no column that tells parts, called {', '.join(COLUMNS)}")
        return columns
    parts, numbers = np.unique(columns[column], return_inverse=True)
    taken = rows_of_part(parts.tolist(), numbers, split, table)
    return columns if taken is None else {name: list(compress(values, taken)) for name, values in columns.items()}


@contextmanager
def _opened(path: str) -> Iterator[Iterator[list[str]]]:
    """Read lines of a table as lists."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield csv.reader(file, delimiter="\t" if path.lower().endswith(".tsv") else ",", skipinitialspace=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} is not a table in UTF-8: {error}") from error


def _read(tables: Sequence[str]) -> Columns:
    """Read the columns of tables that have the same."""
    columns: dict[str, list[str]] = {}
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
    if not columns or not next(iter(columns.values())):
        raise BadFile(f"{tables[0]} lists no files")
    return columns


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


def _chosen(columns: Columns, path: str, asked: Asked) -> dict[str, str]:
    """Give the column of each field but ``x``: those asked for, or the labels and all that are numbers."""
    others = [name for name in columns if name != path]
    if asked.fields is not None:
        wanted = dict(asked.fields) if isinstance(asked.fields, Mapping) else {name: name for name in asked.fields}
        unknown = [column for column in wanted.values() if column not in columns]
        if unknown:
            raise BadSetting(f"the table has no column {unknown[0]!r}: it has {', '.join(columns)}")
        wanted = {name: column for name, column in wanted.items() if column != path}
    else:
        wanted = {name: name for name in others if _numbers(columns[name]) is not None and name not in COLUMNS}
    label = asked.labels if isinstance(asked.labels, str) else None
    if label is not None and label not in columns:
        raise BadSetting(f"labels={label!r}: the table has no such column: it has {', '.join(columns)}")
    if label is None and asked.fields is None:
        label = next((name for name in LABELS if name in others), others[0] if len(others) == 1 else None)
    if label is not None:
        wanted = {"y": label} | {name: column for name, column in wanted.items() if column != label}
    return wanted


def _kind_of(names: Names, table: str) -> type[Source]:
    kinds = {by_suffix(os.fsdecode(names.relative(i))) for i in range(len(names))}
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind is None or not kind.file_is_row:
        raise BadSetting(f"the files of {table} must be of one kind, images or .npy files: {names.show(0)} ...")
    need(kind)
    return kind


def _all_there(columns: Columns, label: str, table: str) -> Sequence[str]:
    """Give the labels, none of which may be empty: that would be a class of its own."""
    missing = [path for path, value in zip(next(iter(columns.values())), columns[label], strict=True) if not value.strip()]
    if missing:
        raise BadFile(f"{len(missing)} rows of {table} have no {label!r}: {', '.join(missing[:_NAMED])}")
    return columns[label]


def _labels(column: Sequence[str]) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Take whole numbers and text as classes, other numbers as targets."""
    numbers = _numbers(column)
    if numbers is not None and numbers.dtype.kind == "f":
        return numbers, None
    return class_numbers(list(column), len(column))


def _numbers(column: Sequence[str]) -> NDArray[Any] | None:
    """Read a column as int64 or else float64, or None where it is text; an empty value is a NaN."""
    for kind in (np.int64, np.float64):
        try:
            return np.array([value or "nan" for value in column] if kind is np.float64 else column).astype(kind)
        except (ValueError, OverflowError):
            continue
    return None
