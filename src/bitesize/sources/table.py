"""Tables of paths: CSV files that name per file a row, with labels, targets and weights beside; and CSV files of numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.files.names import Names
from bitesize.files.state import FileState
from bitesize.sources.addresses import configure
from bitesize.sources.arrow_rows import select_split
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.column_names import LABELS, PATHS, PERHAPS_PATHS, first_named, match, plain
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.combine.zipped import Zipped
from bitesize.sources.csv_numbers import read_numbers, refuse_recordings
from bitesize.sources.file_paths import files_of, find_files
from bitesize.sources.label_columns import labeled
from bitesize.sources.labels import check_weights
from bitesize.sources.registry import by_suffix, need
from bitesize.sources.splits import COLUMNS, rows_of_split
from bitesize.sources.table_roles import TRIED, choose_columns, path_column
from bitesize.sources.table_values import check_repeated, column_values, target_values
from bitesize.sources.text_table import JSON_LINES, Columns, TextTable, delimiter_of, read_tables
from bitesize.storage import paths
from bitesize.storage.url import is_url

__all__ = ["LabeledFiles", "Table", "files_of", "labeled_files"]

# Names of files that describe their folder.
METADATA = ("metadata.csv", "metadata.jsonl")


class Table(WithFields):
    """The files that a table names, with its columns of numbers."""

    title = "tables of paths and labels"
    suffixes = (".csv", ".tsv", *JSON_LINES)
    has_splits = True

    def __init__(
        self,
        base: Source,
        arrays: Mapping[str, NDArray[np.generic]],
        classes: tuple[str, ...] | None,
        label: str = "y",
        *,
        tables: Sequence[str] = (),
        names: Sequence[str] = (),
        rows: Sequence[int] = (),
    ) -> None:
        super().__init__(base, arrays, classes, label)
        self._tables, self._names, self._rows = tuple(tables), tuple(names), np.asarray(rows, np.int64)
        self._states = [FileState.of(os.fsencode(table)) for table in tables]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, and of renamed fields."""
        return tuple(dict.fromkeys((*self._names, *self.spec)))

    def column(self, name: str) -> NDArray[Any]:
        """Read a column of the tables, also one that is not a field, as text where it is not a field of numbers."""
        if name in self._arrays:
            return super().column(name)
        full_name = match(name, self._names)
        if full_name is None:
            raise BadSetting(f"no column {name!r}: the columns are {', '.join(self.column_names)}")
        for table, state in zip(self._tables, self._states, strict=True):
            state.check(os.fsencode(table))
        cells = read_tables(self._tables).columns[full_name]
        return np.array([cells[row] for row in self._rows.tolist()])

    @property
    def nbytes(self) -> int:
        """Bytes of the base, of the arrays and of row numbers."""
        return super().nbytes + self._rows.nbytes

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is a folder that a ``metadata.csv`` or ``metadata.jsonl`` describes, as Hugging Face's image folders are."""
        path = _metadata(data)
        if path is None:
            return False
        if path.lower().endswith(JSON_LINES):
            columns: Columns = read_tables([path], TRIED).columns
        else:
            columns = {name: [] for name in delimiter_of(path)[1]}
        if first_named(columns, PATHS) is not None:
            return True
        if first_named(columns, PERHAPS_PATHS) is None:
            return False
        try:
            return path_column(read_tables([path], TRIED).columns, path, [data]) is not None
        except NotFound:  # values that only look like paths
            return False

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open the files named by one or several tables; paths are relative to the folder of each table.

        A table without a column of paths is one of numbers.
        """
        tables = [path] if (path := _metadata(data)) else list(data)
        head = read_tables(tables, TRIED)
        for cells in head.columns.values():
            configure(cells, options)
        path = path_column(head.columns, tables[0], [paths.dirname(tables[0])])
        if path is None:
            return _numbers(tables, head, options)
        return labeled(lambda options: cls._of_paths(tables, path, options), options)

    @classmethod
    def _of_paths(cls, tables: Sequence[str], path: str, options: OpenOptions) -> Source:
        """Open the files that a column names."""
        table = read_tables(tables)
        columns = table.columns
        chosen = choose_columns(table, path, options, tables[0]).needed(options)
        rows = _rows_of_split(columns, options.split, tables[0])
        configure(columns[path], options)
        if not all(map(is_url, columns[path])):
            for name in tables:
                paths.know_beside(paths.dirname(name))
        folders = [
            folder for name, count in zip(tables, table.counts, strict=True) for folder in [paths.dirname(name)] * count
        ]
        if len(tables) == 1:
            existing = find_files([columns[path][row] for row in rows], folders[:1], tables[0])
        else:
            existing = find_files([paths.join(folders[row], columns[path][row]) for row in rows], [""], tables[0])
        kind = _kind_of(existing.names, tables[0])
        choices = [*table.choices, *chosen.choices, *existing.choices]
        if plain(path) not in PATHS:
            choices.append(Choice(f"paths: the column {path!r}", ""))
        arrays, classes = {}, {}
        for name, column in chosen.columns.items():
            is_label = name == chosen.label
            arrays[name], own = column_values(columns, column, rows, is_label, options, tables[0], choices)
            if name == chosen.weight:
                arrays[name] = check_weights(arrays[name], column, tables[0])
            if own is not None:
                classes[name] = own
        if chosen.targets:
            arrays[chosen.label], own = target_values(columns, chosen.targets, rows, tables[0], choices)
            if own is not None:
                classes[chosen.label] = own
        files = RowFiles(existing.names, None, None, chosen.left_out)
        source = kind.of_files(files, replace(options, labels=None, fields=None))
        if chosen.files != "x":
            source = Zipped([({chosen.files: "x"}, source)])
        label = classes.pop(chosen.label, None)
        made = cls(source, arrays, label, chosen.label, tables=tables, names=[*columns], rows=rows)
        made.classes_of = classes
        numbers = chosen.targets or [column for name, column in chosen.columns.items() if name == chosen.label]
        made.target_names = tuple(numbers) if numbers and label is None else None
        made.weight_name = chosen.weight
        made.choices = (*made.choices, *choices)
        check_repeated(existing.names, made)
        return made

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
        return cls.opened([str(folder / "table.csv")], OpenOptions(mode="RGB"))


class LabeledFiles(NamedTuple):
    """Files of a folder, and their labels.

    Attributes
    ----------
    names : Names
        The files.
    labels : list of str or ndarray
        Names of classes, or targets, or a 0 or 1 for each tag.
    choices : tuple of Choice
        Decisions made for ambiguous tables.
    classes : tuple of str or None
        Names of the tags, where labels are such.
    column : str
        Name of the column of labels.
    """

    names: Names
    labels: list[str] | NDArray[Any]
    choices: tuple[Choice, ...]
    classes: tuple[str, ...] | None
    column: str


def labeled_files(table: str | os.PathLike[str], root: str, options: OpenOptions) -> LabeledFiles:
    """Read a table of paths and labels; paths are relative to ``root`` or to the table's folder.

    Raises
    ------
    NotFound
        If the table or a file of it does not exist.
    BadFile
        If it is not a table, or has no such columns.
    """
    name = os.fspath(table)
    if not paths.isfile(name):
        raise NotFound(f"{name} does not exist")
    read = read_tables([name])
    columns, roots = read.columns, [root, paths.dirname(name)]
    path = path_column(columns, name, roots)
    if path is None:
        raise BadFile(
            f"{name} needs a column of paths (path, file_name or image) of files below {root}, but has {', '.join(columns)}"
        )
    configure(columns[path], options)
    options, choices = OpenOptions(tag_delimiter=options.tag_delimiter), [*read.choices]
    chosen = choose_columns(read, path, options, name)
    if chosen.label not in chosen.columns:
        raise BadFile(f"{name} needs a column of labels (label or class), but has {', '.join(columns)}")
    files = find_files(columns[path], roots, name)
    values, classes = column_values(
        columns, chosen.columns[chosen.label], range(len(columns[path])), True, options, name, choices
    )
    every_choice = [*chosen.choices, *files.choices, *choices]
    label_choices = tuple(dict.fromkeys(choice for choice in every_choice if "sample weights" not in choice.chosen))
    if classes is not None and values.ndim == 1:
        names = [classes[number] for number in values.tolist()]
        return LabeledFiles(files.names, names, label_choices, None, chosen.columns[chosen.label])
    return LabeledFiles(files.names, values, label_choices, classes, chosen.columns[chosen.label])


def _metadata(data: Any) -> str | None:
    """Return the table that describes a folder, or None."""
    if not isinstance(data, str):
        return None
    return next((path for name in METADATA if paths.isfile(path := paths.join(data, name))), None)


def _numbers(tables: list[str], head: TextTable, options: OpenOptions) -> Source:
    """Open tables of numbers."""
    names = list(head.columns)
    has_labels = first_named(names, LABELS) is not None or options.labels is not None
    if len(tables) > 1 and not has_labels and options.split is None:
        refuse_recordings(tables, names)

    return labeled(lambda options: select_split(read_numbers(tables, options), options, tables[0]), options)


def _rows_of_split(columns: Columns, split: str | None, table: str) -> Sequence[int]:
    """Return the rows of a split, if a column names the split of each row, or all rows."""
    column = first_named(columns, COLUMNS)
    if column is None:
        if split is not None:
            raise BadSetting(f"split={split!r}: {table} has no split column (one of {', '.join(COLUMNS)})")
        return range(len(next(iter(columns.values()))))
    parts, numbers = np.unique(columns[column], return_inverse=True)
    taken = rows_of_split(parts.tolist(), numbers, split, table)
    return range(len(numbers)) if taken is None else np.flatnonzero(taken).tolist()


def _kind_of(names: Names, table: str) -> type[Source]:
    kinds = {by_suffix(os.fsdecode(names.relative(i))) for i in range(len(names))}
    kind = next(iter(kinds))
    if kind is not None and not kind.file_is_row and kind.one_row_kind is not None:
        kind = kind.one_row_kind
    if len(kinds) > 1 or kind is None or not kind.file_is_row:
        raise BadSetting(f"the files of {table} must be of one kind, images or .npy files: {names.show(0)} ...")
    need(kind)
    return kind
