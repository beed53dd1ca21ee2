"""Tables as text: CSV, TSV and JSON lines, as columns of text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise
from typing import NamedTuple

from bitesize.errors import BadFile
from bitesize.sources.choices import Choice
from bitesize.sources.file_paths import looks_like_paths
from bitesize.storage import paths

# Files of one JSON object per line.
JSON_LINES = (".jsonl", ".ndjson")
_DELIMITERS = ";\t|"

Columns = Mapping[str, Sequence[str]]


class TextTable(NamedTuple):
    """Columns of text.

    Attributes
    ----------
    columns : Mapping of str to Sequence of str
        The cells of each column.
    counts : list of int
        Rows of each file.
    nested : list of str
        Keys whose values are lists or objects, which are not columns.
    choices : tuple of Choice
        Decisions made for ambiguous files.
    """

    columns: Columns
    counts: list[int]
    nested: list[str]
    choices: tuple[Choice, ...]


def read_tables(tables: Sequence[str], most: int | None = None) -> TextTable:
    """Read tables of the same columns, in order.

    Parameters
    ----------
    tables
        Paths.
    most
        Maximum number of rows to read of each file; default: all.

    Raises
    ------
    BadFile
        If one is not a table, or they have different columns, or there are no rows.
    """
    columns: dict[str, list[str]] = {}
    nested: dict[str, None] = {}
    ends = [0]
    choices: list[Choice] = []
    for number, table in enumerate(tables):
        if table.lower().endswith(JSON_LINES):
            own = read_json_lines(table, most, nested)
        else:
            own, choice = _read_csv(table, most)
            choices += choice
        if number and list(own) != list(columns):
            raise BadFile(f"{table} has the columns {', '.join(own)}, and {tables[0]} {', '.join(columns)}")
        for name, cells in own.items():
            columns.setdefault(name, []).extend(cells)
        ends.append(len(next(iter(columns.values()), [])))
    if not columns or not ends[-1]:
        raise BadFile(f"{tables[0]} lists no files: it has no rows")
    return TextTable(columns, [b - a for a, b in pairwise(ends)], list(nested), tuple(dict.fromkeys(choices)))


def delimiter_of(table: str) -> tuple[str, list[str]]:
    """Return the delimiter and the names of the columns of a table.

    Raises
    ------
    BadFile
        If a name comes twice, or the first line is a row and no names.
    """
    with _lines(table) as lines:
        first = next(lines, "")
    usual = "\t" if table.lower().endswith(".tsv") else ","
    names = _names(first, usual)
    others = [each for each in (*_DELIMITERS, ",") if len(names) == 1 and each != usual and each in names[0]]
    if others:
        usual = max(others, key=first.count)
        names = _names(first, usual)
    _check_names(names, table)
    return usual, names


def read_json_lines(table: str, most: int | None, nested: dict[str, None]) -> dict[str, list[str]]:
    """Read a file of one JSON object per line; keys of lists and objects are added to ``nested``."""
    records = []
    with _lines(table) as lines:
        for number, line in enumerate(islice(lines, most), 1):
            if line.strip():
                try:
                    records.append(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise BadFile(f"line {number} of {table} is not valid JSON: {error}") from error
    return columns_of(records, table, nested)


def columns_of(records: Sequence[object], table: str, nested: dict[str, None]) -> dict[str, list[str]]:
    """Return records as columns of text; keys of lists and objects are added to ``nested``.

    Raises
    ------
    BadFile
        If a record is not an object.
    """
    names: dict[str, None] = {}
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise BadFile(
                f'record {number} of {table} is {type(record).__name__}, but an object is needed, such as {{"file_name": ...}}'
            )
        for name, value in record.items():
            (nested if isinstance(value, dict | list) else names).setdefault(name)
    flat = [name for name in names if name not in nested]
    return {name: [_text(record.get(name)) for record in records if isinstance(record, dict)] for name in flat}


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _read_csv(table: str, most: int | None) -> tuple[dict[str, list[str]], list[Choice]]:
    delimiter, names = delimiter_of(table)
    usual = "\t" if table.lower().endswith(".tsv") else ","
    choices = [] if delimiter == usual else [Choice(f"columns are separated by {delimiter!r}", "")]
    parts: list[list[str]] = [[] for _ in names]
    with _opened(table, delimiter) as lines:
        next(lines, None)
        for line in islice(lines, most):
            if not line:
                continue
            if len(line) != len(names):
                raise BadFile(f"line {lines.line_num} of {table} has {len(line)} values for {len(names)} columns")
            for part, value in zip(parts, line, strict=True):
                part.append(value)
    return dict(zip(names, parts, strict=True)), choices


def _check_names(names: Sequence[str], table: str) -> None:
    """Refuse a first line that is a row, which would be lost, and names that come twice."""
    numbers = [name for name in names if re.fullmatch(r"[+-]?\d*\.?\d+([eE][+-]?\d+)?", name)]
    twice = len(set(names)) < len(names)
    if any("." in name for name in numbers) or (twice and len(numbers) > len(names) / 2) or looks_like_paths(names[:1]):
        raise BadFile(
            f"the first line of {table} is a row, not column names ({', '.join(names[:6])}): add a header line, such as "
            'path,label, or open numpy.loadtxt(..., delimiter=",")'
        )
    if twice:
        raise BadFile(f"{table} names a column twice: {', '.join(names)}")


def _names(line: str, delimiter: str) -> list[str]:
    return [name.strip("\ufeff \t") for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]


@contextmanager
def _opened(path: str, delimiter: str) -> Iterator[csv._reader]:  # type: ignore[name-defined]
    """Read lines of a table as lists."""
    with _errors(path), paths.open_text(path, newline="") as file:
        yield csv.reader(file, delimiter=delimiter, skipinitialspace=True)


@contextmanager
def _lines(path: str) -> Iterator[Iterator[str]]:
    with _errors(path), paths.open_text(path) as file:
        yield iter(file)


@contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(
            f"{path} is not a table in UTF-8: {error}. Save it as UTF-8, or open pandas.read_csv({paths.basename(path)!r}, encoding=...)"
        ) from error
