"""Base class of sources of Arrow tables, from files or frames: columns as fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.sources.arrow_columns import ArrowColumn, is_text
from bitesize.sources.arrow_roles import TableColumns, choose_roles
from bitesize.sources.arrow_stacked import StackedColumns
from bitesize.sources.arrow_table import AT_ONCE, BESIDE, KEPT, ArrowTable, TableChunk
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.column_names import first_named, match, plain
from bitesize.sources.label_columns import without_list
from bitesize.sources.labels import as_class_numbers, check_weights
from bitesize.sources.protocol import ChunkStarts, Into, raise_bad
from bitesize.sources.splits import COLUMNS, rows_of_split
from bitesize.sources.text_labels import Labels, Texts, check_room, number_texts, split_tags, tags, text_labels
from bitesize.spec import Encoded, Field

_BETWEEN = "\x1f"  # separator of the joined texts of a list


class ArrowSource(ArrowTable):
    """Rows of Arrow tables.

    Parameters
    ----------
    parts
        Parts that are read one at a time, in order.
    options
        Options that select the fields.
    where
        Name of the data, for messages.
    folder
        Folder of relative paths in columns.
    files
        Names and numbers of rows of the files, if there are several.
    """

    reads_files = True
    spec: dict[str, Field | Encoded]
    # Name of the field of labels; empty for the name of their column.
    label_field: ClassVar[str] = ""
    # Whether text may represent numbers, as in a CSV file.
    text_may_be_numbers: ClassVar[bool] = False

    def __init__(
        self,
        parts: Sequence[TableChunk],
        options: OpenOptions,
        where: str,
        folder: str | None,
        files: Sequence[tuple[str, int]] = (),
    ) -> None:
        super().__init__(parts, where, files)
        schema = self._schema()
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise BadFile(f"{where} has several columns named {twice[0]!r}")
        self._names: tuple[str, ...] = tuple(schema.names)
        by_name = {
            name: ArrowColumn(name, schema.field(name).type, partial(self._first, name), options, folder)
            for name in self._names
        }
        seen = TableColumns(by_name, where, self._class_columns(), self.label_field, self._repeats, self._all_different)
        options = without_list(options, self._names)
        roles = choose_roles(seen, options)
        self._label = roles.label
        self._columns: dict[str, ArrowColumn] = {name: by_name[column] for name, column in roles.fields.items()}
        self.first_images = {name: column.start for name, column in self._columns.items() if column.start}
        self._stacked: dict[str, StackedColumns] = {}
        self._known: dict[str, NDArray[Any]] = {}  # fields in memory: class numbers, tags, weights
        self.spec, self.left_out, self.choices = {}, roles.left_out, tuple(roles.choices)
        self.classes_of = {}
        if roles.features:
            self._stack("x", roles.features, by_name)
            self.feature_names = tuple(roles.features)
        for name, column in self._columns.items():
            if column.folder is not None:
                self.choices = (
                    *self.choices,
                    Choice(f"{name}: images in {folder}, named by the column {column.name!r}", "fields="),
                )
            self._learn(name, column, options, name == self._label)
        if roles.targets:
            self._learn_targets(roles.targets, by_name)
        if roles.weight is not None:
            self._learn_weights(roles.weight)
        self._held = frozenset(self._known)
        if not self.spec:
            raise BadFile(f"{where} has no column of numbers or images; its columns are {_listed(schema)}")

    def _columns_read(self) -> list[str]:
        """Return the columns that rows are read from."""
        own = {column.name for name, column in self._columns.items() if name not in self._held}
        read = own | {name for each in self._stacked.values() for name in each.names}
        return sorted(read) or [next(iter(self._columns.values())).name]

    def _class_columns(self) -> tuple[str, ...]:
        """Return columns whose type declares class numbers."""
        return ()

    def _learn(self, name: str, column: ArrowColumn, options: OpenOptions, is_label: bool) -> None:
        """Add a column as a field; text is numbered."""
        if column.is_text_list and is_label:
            cells = Texts.of(cell for part in self._values(column.name) for cell in _joined(part, self._where, column.name))
            labels = tags(
                [split_tags(cell, _BETWEEN) for cell in cells.values], cells.numbers, f"{column.name!r} of {self._where}"
            )
        elif column.is_text:
            texts = self._texts(column.name)
            if is_label:
                labels = text_labels(
                    texts, column.name, self._where, options.tag_delimiter, may_be_numbers=self.text_may_be_numbers
                )
            else:
                labels = Labels(*number_texts(texts), ())
        else:
            assert column.field is not None
            if is_label and options.tag_delimiter:
                raise BadSetting(
                    f"tag_delimiter={options.tag_delimiter!r}: the labels {column.name!r} of {self._where} are not text"
                )
            self.spec[name] = column.field
            if is_label:
                self._name_target(column.name, column.field)
            return
        self._known[name] = labels.values
        self.spec[name] = Field(labels.values.shape[1:], labels.values.dtype)
        self.choices = (*self.choices, *labels.choices)
        if is_label:
            self.classes = labels.classes
            self._name_target(column.name, self.spec[name])
        elif labels.classes is not None:
            self.classes_of = {**self.classes_of, name: labels.classes}

    def _name_target(self, column: str, field: Field | Encoded) -> None:
        """Name labels of one number after their column."""
        if self.classes is None and isinstance(field, Field) and not field.shape:
            self.target_names = (column,)

    def _stack(self, field: str, names: Sequence[str], by_name: Mapping[str, ArrowColumn]) -> None:
        """Add several columns of numbers as one field."""
        missing = self._missing(names)
        dtypes = [of.dtype for name in names if isinstance(of := by_name[name].field, Field)]
        stacked = StackedColumns(names, dtypes, missing)
        self._stacked[field], self.spec[field] = stacked, stacked.field
        if missing:
            counts = ", ".join(f"{name} {count:,}" for name, count in missing.items())
            self.choices = (*self.choices, Choice(f"{field}: missing values are NaN ({counts})", "fields="))
        inexact = [name for name in stacked.inexact if not self._fits_float(name)]
        if inexact:
            names = ", ".join(inexact)
            chosen = f"{field}: whole numbers of {names} become {stacked.field.dtype}, exact up to 2**53"
            self.choices = (*self.choices, Choice(chosen, "fields="))

    def _fits_float(self, name: str) -> bool:
        """Return whether float64 holds all whole numbers of a column exactly, if that is known without reading it."""
        return False

    def _learn_targets(self, names: Sequence[str], by_name: Mapping[str, ArrowColumn]) -> None:
        """Use several columns as labels: 0 or 1 for each class, or numbers."""
        assert self._label is not None
        missing = self._missing(names)
        if missing:
            raise BadFile(
                f"labels={list(names)}: {next(iter(missing))!r} of {self._where} has {sum(missing.values()):,} missing values"
            )
        columns = [self._numbers(name) for name in names]
        binary = all(np.isin(column, (0, 1)).all() for column in columns)
        # Floats keep their dtype, as those of one column do.
        least = np.float16 if all(column.dtype.kind == "f" for column in columns) else np.float32
        dtype = np.dtype(np.float32) if binary else np.result_type(least, *columns)
        self._known[self._label] = np.stack(columns, axis=1).astype(dtype)
        self.spec[self._label] = Field((len(names),), dtype)
        if binary:
            self.classes = tuple(names)
        else:
            self.target_names = tuple(names)
        form = "a 0 or 1 for each" if binary else "numbers"
        self.choices = (*self.choices, Choice(f"labels: {form} of {', '.join(names)}", "labels="))

    def _learn_weights(self, name: str) -> None:
        """Use a column as sample weights, in memory as floats.

        Raises
        ------
        BadSetting
            If a weight is negative, missing or not a number.
        """
        column, field = self._columns[name].name, self._columns[name].field
        if not isinstance(field, Field) or field.shape or field.dtype.kind not in "biuf":
            raise BadSetting(
                f"the weights {column!r} of {self._where} must be one number per row, but are {field or 'text'}"
            )
        values = check_weights(self._numbers(column), column, self._where)
        self.weight_name, self._known[name] = name, values
        self.spec[name] = Field((), values.dtype)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the rows of each part."""
        for name in self._held:
            if name in into:
                into[name][...] = self._known[name][rows]
        failed: dict[int, Exception] = {}
        numbers = np.searchsorted(self._ends, rows, side="right")
        for part in np.unique(numbers).tolist():
            of = np.flatnonzero(numbers == part)
            inside = rows[of] - (self._ends[part] - self._parts[part].rows)
            turn = self._turns.get()  # two threads at a time, until they are done with a part, which is in memory until then
            try:
                self._put(self._table(part), inside, of.tolist(), into, failed)
            except BitesizeError as error:
                failed |= dict.fromkeys(of.tolist(), error)
            finally:
                self._turns.put(turn)
        raise_bad({i: self._named(error, int(rows[i])) for i, error in failed.items()})

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except `primary`; fields in memory are read without the parts of the table."""
        others = {name: buffer for name, buffer in into.items() if name != self.primary}
        if not self._held.issuperset(others):
            self.read(rows, others)
            return
        for name, buffer in others.items():
            buffer[...] = self._known[name][rows]

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """Return the versions of the files of rows; None for tables in memory, and for images whose paths are a column."""
        if not self._states or any(column.folder is not None for column in self._columns.values()):
            return None
        versions = np.array([state.version for state in self._states.values()], np.uint64)
        return versions[np.searchsorted(self._file_ends, rows, side="right")]

    def _put(self, table: Any, inside: NDArray[np.int64], of: list[int], into: Into, failed: dict[int, Exception]) -> None:
        columns = {
            name: column
            for name, column in self._columns.items()
            if name in into and name not in self._held and column.field is not None
        }
        stacked = {name: column for name, column in self._stacked.items() if name in into}
        needed = [column.name for column in columns.values()] + [name for each in stacked.values() for name in each.names]
        if not needed:
            return
        values = table.select(list(dict.fromkeys(needed)))
        together = (np.diff(inside) == 1).all()
        values = values.slice(int(inside[0]), len(inside)) if together else values.take(inside)
        for name, column in columns.items():
            own = values.column(column.name)
            column.put(own.combine_chunks() if own.num_chunks != 1 else own.chunk(0), of, into[name], failed)
        for name, several in stacked.items():
            several.put(values, of, into[name], failed)

    def chunks(self) -> ChunkStarts | None:
        """Return the parts as chunks."""
        starts = np.append(0, self._ends)
        encoded = [column for column in self._columns.values() if isinstance(column.field, Encoded)]
        if any(column.folder is not None for column in encoded):
            return None  # the bytes of files that are not opened are unknown
        nbytes = np.array([part.nbytes for part in self._parts], np.int64) if encoded else None
        keep = np.array([part.rows > 0 for part in self._parts])
        return ChunkStarts(np.append(starts[:-1][keep], len(self)), None if nbytes is None else nbytes[keep])

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether parts are read whole."""
        return self.chunks() is not None

    @property
    def nbytes(self) -> int:
        """Bytes of cached parts, of parts being read, and of labels."""
        largest = max(part.nbytes for part in self._parts)
        known = sum(numbers.nbytes for numbers in self._known.values())
        passing = max(part.passing for part in self._parts)
        return (KEPT + AT_ONCE) * largest + AT_ONCE * passing + (BESIDE if largest else 0) + known

    def scratch(self, rows: int) -> int:
        """Return the bytes of values gathered before they are copied to their positions."""
        fields = [column.field for column in self._columns.values() if isinstance(column.field, Field)]
        stacked = sum(each.field.nbytes for each in self._stacked.values())
        return 2 * rows * (max((field.nbytes for field in fields), default=0) + stacked)

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return self._label if self._label in self.spec else None

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, read on first access."""
        field = self.spec.get(self._label or "")
        if self._label is None or not isinstance(field, Field) or field.shape or field.dtype.kind not in "iub":
            return None
        if self._label not in self._known:
            numbers = as_class_numbers(self._numbers(self._columns[self._label].name))
            self._known = self._known | {self._label: numbers}
        return self._known[self._label]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, and of renamed fields of one column."""
        return tuple(dict.fromkeys((*self._names, *self._columns)))

    def column(self, name: str) -> NDArray[Any]:
        """Read a column of one value per row, also one that is not a field.

        Raises
        ------
        BadSetting
            If the column does not exist, or has more than one value per row.
        BadFile
            If a row has no value.
        DoesNotFit
            If the column needs more than a quarter of the available memory.
        """
        if name == self._label and self.classes is not None and (labels := self.labels) is not None and labels.min() >= 0:
            return np.asarray(self.classes)[labels]
        if name in self._held:
            names = self.classes_of.get(name)
            return super().column(name) if names is None else np.asarray(names)[self._known[name]]
        full_name = self._columns[name].name if name in self._columns else match(name, self._names)
        if full_name is None:
            raise BadSetting(f"no column {name!r}: the columns are {', '.join(self.column_names)}")
        kind = next(self._values(full_name)).type
        if is_text(kind):
            texts = self._texts(full_name)
            width = max(map(len, texts.values))
            check_room(4 * width * len(self), f"the column {full_name!r} of {self._where}")
            return np.array(texts.values)[texts.numbers]
        check_room(8 * len(self), f"the column {full_name!r} of {self._where}")
        values = self._numbers(full_name)
        if values.ndim != 1 or values.dtype.kind not in "biufmM":
            raise BadSetting(f"the column {full_name!r} has more than one number or text per row: {kind}")
        return values

    def _identity(self) -> bytes:
        parts = repr([part.rows for part in self._parts]).encode()
        texts = [name for name, column in self._columns.items() if column.is_text or column.is_text_list]
        targets = [self._label] if self._label in self._known and self._label not in self._columns else []
        stacked = repr({name: each.names for name, each in self._stacked.items()}).encode() if self._stacked else b""
        return parts + stacked + b"".join(self._known[name].tobytes() for name in (*texts, *targets) if name is not None)


def select_split(source: ArrowSource, options: OpenOptions, where: str) -> Source:
    """Return the rows of a split of a table, if a column names the split of each row; otherwise all rows.

    Raises
    ------
    BadSetting
        If a split is requested and no column has splits, or there are splits and none is requested.
    NotFound
        If the split does not exist.
    BadFile
        If a column of splits has rows without a value.
    """
    column = first_named(source.column_names, COLUMNS)
    parts = None
    if column is not None:
        try:
            parts = source.column(column).astype(str)
        except BadSetting:  # the column has another purpose
            if options.split is not None:
                raise
        except BadFile:  # rows without a value
            if options.split is not None or plain(column) == COLUMNS[0]:
                raise
    if parts is None:
        if options.split is not None:
            raise BadSetting(f"split={options.split!r}: {where} has no split column (one of {', '.join(COLUMNS)})")
        return source
    names, numbers = np.unique(parts, return_inverse=True)
    rows = rows_of_split(names.tolist(), numbers, options.split, where)
    return source if rows is None else source.subset(rows)


def _joined(part: Any, where: str, name: str) -> Iterator[str]:
    """Yield the texts of each row, joined."""
    for cell in part.to_pylist():
        if cell is None or None in cell:
            raise BadFile(f"the column {name!r} of {where} has rows without a value")
        yield _BETWEEN.join(map(str, cell))


def _listed(schema: Any) -> str:
    """Return names and types of columns for a message."""
    return ", ".join(f"{field.name} ({field.type})" for field in schema)
