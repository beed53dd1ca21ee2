"""Base class of sources of several named arrays: each array is a field, its first axis the rows."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError, DoesNotFit, RequestFailed
from bitesize.files.pread import read_pieces
from bitesize.lazy.parts import MEMBER
from bitesize.memory.limits import available
from bitesize.memory.sizes import format_size
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice, unread_labels
from bitesize.sources.column import Column, Squeezed, UnsupportedColumn
from bitesize.sources.labels import as_class_numbers, class_numbers, label_field
from bitesize.sources.named_splits import arrays_of_split
from bitesize.sources.protocol import ChunkStarts, Into, Located, raise_bad
from bitesize.spec import Field
from bitesize.storage.url import is_url

# Names of fields that are used as labels by default.
LABEL_FIELDS = ("y", "label", "labels", "target")
# Rows per read when a whole column is read.
_AT_ONCE = 65_536
# Maximum size of columns that are loaded into memory if their chunks do not match those of the widest column.
_SMALL = 64 << 20
# Overhead of a Python string in bytes.
_TEXT_NBYTES = 120
# Maximum number of names in a message.
_NAMED = 10
_LOADING = threading.Lock()


class ColumnSource(Source):
    """Several named arrays with the same number of rows.

    Parameters
    ----------
    columns
        All arrays of the data.
    options
        Options that select fields and labels.
    where
        Name of the data, for messages.

    Raises
    ------
    BadSetting
        If a requested field does not exist.
    BadFile
        If the fields differ in their number of rows, or none contains numbers.
    """

    reads_files = True
    has_splits = True

    def __init__(self, columns: Mapping[str, Column], options: OpenOptions, where: str) -> None:
        self._where, self._is_remote = where, is_url(where)
        rows_of = {name: column.shape[0] if column.shape else None for name, column in columns.items()}
        columns, options, in_none = arrays_of_split(columns, rows_of, options, where)
        columns = self._with_plain_labels(columns, options)
        chosen, left_out = _choose(columns, options, where)
        unread = None if options.labels_needed else label_of(chosen, options)
        if unread in chosen and len(chosen) > 1:
            del chosen[unread]
            self.choices = (*self.choices, unread_labels([unread]))
        self.left_out = {**left_out, **in_none}
        lengths = {name: column.shape[0] for name, column in chosen.items()}
        if len(set(lengths.values())) > 1:
            raise BadFile(_different_lengths(chosen, where))
        self._rows = next(iter(lengths.values()))
        if not self._rows:
            raise BadFile(f"{where} has no rows")
        self._label = label_of(chosen, options) if unread is None else None
        lost = label_of([name for name in columns if name not in chosen], options)
        if self._label is None and unread is None and lost is not None and options.fields is None:
            why = next((reason for reason in self.left_out if reason.startswith(f"{lost}: ")), lost)
            self.choices = (*self.choices, Choice(f"no labels (left out: {why})", "labels="))
        self._columns = chosen
        if options.fields is None:
            self.choices = (*self.choices, *_side_by_side(chosen, where))
        unbounded = [Choice(f"{name}: {column.unbounded}", "") for name, column in chosen.items() if column.unbounded]
        self.choices = (*self.choices, *unbounded)
        self._loaded: dict[str, NDArray[Any]] = {}  # columns in memory
        self.spec, classes_of = {}, dict[str, tuple[str, ...]]()
        for name, column in chosen.items():
            if column.dtype.kind in "OUST":
                _check_text(name, column, where)
                self._loaded[name], classes = class_numbers(list(column.texts()), self._rows)
                if name == self._label:
                    self.classes = classes
                elif classes is not None:
                    classes_of[name] = classes
                self.spec[name] = Field((), np.dtype(np.int64))
            else:
                self.spec[name] = Field(tuple(column.shape[1:]), column.dtype.newbyteorder("="))
        self.classes_of = classes_of
        label = self.spec.get(self._label or "")
        if isinstance(label, Field) and self._label != self.primary:
            self.spec[str(self._label)] = label_field(np.empty((0, *label.shape), label.dtype), self.spec[self.primary])
        self.checks_files = chosen[self.primary].checks_files
        self._run_rows, self._small = _runs_of(chosen, self._loaded)

    def _with_plain_labels(self, columns: Mapping[str, Column], options: OpenOptions) -> dict[str, Column]:
        """Return columns with labels of shape (n, 1), as saved by many programs, viewed as (n,)."""
        wanted = wanted_fields(options, columns)
        label = label_of(wanted, options)
        stored_name = wanted.get(label or "", label or "")
        column = columns.get(stored_name)
        if column is None or column.shape[1:] != (1,) or len(wanted) < 2:
            return dict(columns)
        self.choices = (
            *self.choices,
            Choice(f"labels: {stored_name!r}, stored as {column.shape}, is read as ({column.shape[0]},)", "labels="),
        )
        return {**columns, stored_name: Squeezed(column)}

    def __len__(self) -> int:
        return self._rows

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read each range of neighboring rows of each field."""
        self._read(rows, into, self._columns)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except `primary`."""
        self._read(rows, into, [name for name in self._columns if name != self.primary])

    def _read(self, rows: NDArray[np.int64], into: Into, names: Sequence[str] | Mapping[str, Column]) -> None:
        failed: dict[int, Exception] = {}
        located: list[tuple[Located, NDArray[Any]]] = []  # of objects: all fields are read at the same time
        for name in names:
            if name not in into:
                continue
            try:
                known = self._whole(name) if name in self._small else self._loaded.get(name)
            except BitesizeError as error:  # each row needs it
                raise_bad(dict.fromkeys(range(len(rows)), error))
                raise
            if known is not None:
                into[name][...] = known[rows]
                continue
            column, out = self._columns[name], into[name]
            if self._is_remote:
                places = column.locate(rows)
                if places is not None:
                    column.check_unchanged()
                    located.append((places, out))
                    continue
                for some in column.ahead(list(stretches(rows))):
                    for i, start, stop in some:
                        _read_apart(column, start, stop, out[i : i + stop - start], i, failed)
                continue
            for i, start, stop in stretches(rows):
                _read_apart(column, start, stop, out[i : i + stop - start], i, failed)
        if located and len(rows):
            _read_located(located, failed)
        raise_bad(failed)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the location of the field `primary` on disk."""
        return self._columns[self.primary].locate(rows)

    def chunks(self) -> ChunkStarts | None:
        """Return the chunks of the widest field; other fields are read with them."""
        if self._run_rows is None:
            return None
        return ChunkStarts(np.append(np.arange(0, self._rows, self._run_rows, dtype=np.int64), self._rows))

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether chunks contain several rows and are read whole."""
        return self._run_rows is not None and self._run_rows > 1

    def scratch(self, rows: int) -> int:
        """Return the bytes for all fields: a thread keeps its buffers for each."""
        return sum(column.scratch(rows) for column in self._columns.values())

    @property
    def nbytes(self) -> int:
        """Bytes of columns and labels in memory."""
        whole = {*self._loaded, *self._small} | ({self._label} if self._has_classes else set())
        fields = [self.spec[name] for name in whole if name is not None]
        return sum(self._rows * field.nbytes for field in fields if isinstance(field, Field)) + sum(
            column.nbytes for column in self._columns.values()
        )

    @property
    def _has_classes(self) -> bool:
        field = self.spec.get(self._label) if self._label else None
        return isinstance(field, Field) and field.dtype.kind in "iub" and not field.shape

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return self._label if self._label in self.spec else None

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, read on first access."""
        return as_class_numbers(self._whole(str(self._label))) if self._has_classes else None

    def _whole(self, name: str) -> NDArray[Any]:
        """Return a column, which is loaded into memory once."""
        with _LOADING:
            if name not in self._loaded:
                column = self._columns[name]
                out = np.empty((self._rows, *column.shape[1:]), column.dtype.newbyteorder("="))
                for start in range(0, self._rows, _AT_ONCE):
                    stop = min(start + _AT_ONCE, self._rows)
                    column.read(start, stop, out[start:stop])
                self._loaded[name] = out
            return self._loaded[name]

    def check_unchanged(self) -> None:
        """Check all columns."""
        for column in self._columns.values():
            column.check_unchanged()

    def close(self) -> None:
        """Free cached data of columns."""
        for column in self._columns.values():
            column.close()

    def describe(self, row: int) -> str:
        """Return the name of the data and the row."""
        return f"{self._where}, row {row}"

    def _identity(self) -> bytes:
        named = {*self.classes_of} | ({str(self._label)} if self.classes is not None else set())
        texts = [self._loaded[name].tobytes() for name in sorted(named & {*self._loaded})]
        return repr((self._rows, sorted(self._columns))).encode() + b"".join(texts)


def _side_by_side(names: Iterable[str], where: str) -> tuple[Choice, ...]:
    """Return a choice if groups have the same datasets: their fields form one row."""
    inside: dict[str, set[str]] = {}
    for name in names:
        group, _, rest = name.partition("/")
        inside.setdefault(group, set()).add(rest)
    groups = [*inside]
    if len(groups) < 2 or "" in inside[groups[0]] or any(inside[group] != inside[groups[0]] for group in groups):
        return ()
    said = f"the groups {', '.join(groups)} are read together, and their datasets are fields of one row"
    return (Choice(said, f'bs.open("{where}{MEMBER}{groups[0]}")'),)


def _different_lengths(columns: Mapping[str, Column], where: str) -> str:
    """Return the message for arrays of different lengths, with the arrays that match each other."""
    seen = [f"{name}: {column.shape}" for name, column in columns.items()]
    shown = ", ".join(seen[:_NAMED]) + (f", and {len(seen) - _NAMED} more" if len(seen) > _NAMED else "")
    together: dict[int, list[str]] = {}
    for name, column in columns.items():
        together.setdefault(column.shape[0], []).append(name)
    most = max(together.values(), key=len)
    return (
        f"{where} holds arrays of different lengths ({shown}): select arrays of the same length with fields=, such as "
        f"fields={most[:_NAMED]}"
    )


def _check_text(name: str, column: Column, where: str) -> None:
    """Raise `DoesNotFit` if text to be numbered would need more than a quarter of the available memory."""
    need = column.shape[0] * (_TEXT_NBYTES + column.dtype.itemsize)
    limit = available()
    if need > limit.room // 4:
        raise DoesNotFit(
            f"the labels {name!r} of {where} are text in {column.shape[0]:,} rows, which needs about {format_size(need)} while it is "
            f"numbered, but a quarter of the available memory is {format_size(limit.room // 4)}: store the labels as whole numbers"
        )


def _runs_of(columns: Mapping[str, Column], loaded: Mapping[str, Any]) -> tuple[int | None, frozenset[str]]:
    """Return the number of rows of a chunk of the widest column, and the columns to load into memory.

    Labels often are one chunk: reading it with each chunk of images would be slower than reading the images.
    """
    chunked = {name: column for name, column in columns.items() if name not in loaded and column.chunk_rows is not None}
    if not chunked:
        return None, frozenset()
    row_nbytes = {name: math.prod(column.shape[1:]) * column.dtype.itemsize for name, column in chunked.items()}
    widest = max(chunked, key=lambda name: row_nbytes[name])
    rows = chunked[widest].chunk_rows
    assert rows is not None
    small = {
        name
        for name, column in chunked.items()
        if name != widest and (column.chunk_rows or 0) > rows and column.shape[0] * row_nbytes[name] <= _SMALL
    }
    return rows, frozenset(small)


def stretches(rows: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield ranges of neighboring rows: position in the call, first row, and end."""
    cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    for a, b in pairwise(cuts):
        if a < b:
            yield a, int(rows[a]), int(rows[b - 1]) + 1


def _read_located(fields: Sequence[tuple[Located, NDArray[Any]]], failed: dict[int, Exception]) -> None:
    """Read several fields of the same rows of objects at the same time."""
    count = len(fields[0][0].which)
    starts = np.cumsum([0, *(len(places.paths) for places, _ in fields)])
    errors = read_pieces(
        [path for places, _ in fields for path in places.paths],
        np.concatenate([places.which + start for (places, _), start in zip(fields, starts, strict=False)]),
        np.concatenate([places.offsets for places, _ in fields]),
        [row for _, out in fields for row in out.reshape(-1).view(np.uint8).reshape(count, -1)],
    )
    for k, error in errors.items():
        failed.setdefault(k % count, error)


def _read_apart(column: Column, start: int, stop: int, out: NDArray[Any], i: int, failed: dict[int, Exception]) -> None:
    """Read neighboring rows; if that fails, one by one, so that a bad row does not affect others."""
    try:
        column.read(start, stop, out)
    except BitesizeError as error:
        if stop - start == 1 or isinstance(error, RequestFailed):  # which was tried until its deadline
            failed.update({i + k: error for k in range(stop - start) if i + k not in failed})
            return
        for k in range(stop - start):
            _read_apart(column, start + k, start + k + 1, out[k : k + 1], i + k, failed)


def _choose(columns: Mapping[str, Column], options: OpenOptions, where: str) -> tuple[dict[str, Column], dict[str, int]]:
    """Return the columns that are fields, by field name, and the columns left out."""
    wanted = wanted_fields(options, columns)
    label = label_of(wanted, options)
    if label is not None:
        wanted.setdefault(label, label)
    chosen: dict[str, Column] = {}
    left_out: dict[str, int] = {}
    for name, stored_name in wanted.items():
        if stored_name not in columns:
            raise BadSetting(f"{where} has no {stored_name!r}: it has {', '.join(columns) or 'nothing'}")
        why = _unfit(columns[stored_name], name == label or options.fields is not None)
        if why is None:
            chosen[name] = columns[stored_name]
        elif options.fields is not None or name == options.labels:
            raise BadSetting(f"{stored_name!r} of {where} cannot be a field: it is {why}")
        else:
            left_out[f"{stored_name}: {why}"] = 1
    if not chosen:
        refused = ", ".join(
            f"{name}, {column.why}" if isinstance(column, UnsupportedColumn) else f"{name} {column.shape} {column.dtype}"
            for name, column in columns.items()
        )
        raise BadFile(f"{where} contains no arrays of numbers{f': it has {refused}' if refused else ''}")
    return chosen, left_out


def wanted_fields(options: OpenOptions, available: Iterable[str]) -> dict[str, str]:
    """Return the requested fields: field names to names in the data."""
    if options.fields is None:
        return {name: name for name in available}
    names = list(options.fields) if isinstance(options.fields, list | tuple | Mapping) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise BadSetting(f'fields must be a list of names, or {{"x": "image"}}, not {options.fields!r}')
    return dict(options.fields) if isinstance(options.fields, Mapping) else {name: name for name in options.fields}


def label_of(names: Iterable[str], options: OpenOptions) -> str | None:
    """Return the name of the field with the labels: the requested one, or one with a usual name."""
    if isinstance(options.labels, str):
        return options.labels
    names = list(names)
    return next((name for name in LABEL_FIELDS if name in names), None)


def _unfit(column: Column, may_be_text: bool) -> str | None:
    """Return the reason why a column cannot be a field, or None."""
    if isinstance(column, UnsupportedColumn):
        return column.why
    if not column.shape:
        return "a single value"
    if column.dtype.kind in "OUST":
        return None if may_be_text and len(column.shape) == 1 else "text or objects that are not labels"
    return None if column.dtype.kind in "biufcmM" or column.dtype.name == "bfloat16" else f"of type {column.dtype}"
