"""Rows stored as groups, files or folders of named arrays: each array is a field, of one shape in all rows."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.files.scan import natural_key
from bitesize.lazy.parts import MEMBER
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.chunks import Chunked
from bitesize.sources.column import Column, UnsupportedColumn
from bitesize.sources.columns import label_of, wanted_fields
from bitesize.sources.combine.chained import chain
from bitesize.sources.labels import as_class_numbers, class_numbers, label_field
from bitesize.sources.protocol import Into, raise_bad
from bitesize.sources.splits import split_in
from bitesize.spec import Field

_LOADING = threading.Lock()
# Maximum number of groups that are checked before groups are treated as rows.
_LOOKED_AT = 200
# Maximum number of groups with names without numbers that are treated as fields, such as ``left`` and ``right``.
_FEW = 3
Shapes = Mapping[str, tuple[Any, Any]]


class Layout(NamedTuple):
    """The fields of a row that is a group or a folder of named arrays.

    Attributes
    ----------
    fields : dict of str to str
        Names of fields to names of their arrays.
    spec : dict of str to Field
    left_out : dict of str to int
        Arrays that are not fields, by reason.
    scratch : int
        Bytes for reading one row.
    texts : frozenset of str
        Text fields that become class numbers.
    choices : tuple of Choice
        Notes on fields, such as fields that another library decodes.
    """

    fields: dict[str, str]
    spec: dict[str, Field]
    left_out: dict[str, int]
    scratch: int
    texts: frozenset[str]
    choices: tuple[Choice, ...]


def layout_of(columns: Mapping[str, Column], options: OpenOptions, where: str, cache: int = 0) -> Layout:
    """Return the layout of a row of named arrays.

    Parameters
    ----------
    columns
        The arrays, by name.
    options
        Options that select the fields and the label.
    where
        Name of the row, for messages.
    cache
        Bytes that the library caches for an open array of chunks.

    Raises
    ------
    BadSetting
        If a requested field does not exist or cannot be a field.
    BadFile
        If there are no arrays of numbers.
    """
    wanted = wanted_fields(options, columns)
    label = label_of(wanted, options)
    if label is not None:
        wanted.setdefault(label, label)
    fields, spec, left_out, texts = dict[str, str](), dict[str, Field](), dict[str, int](), set[str]()
    choices: list[Choice] = []
    for name, stored_name in wanted.items():
        if stored_name not in columns:
            raise BadSetting(f"{where} has no {stored_name!r}: it has {', '.join(columns) or 'nothing'}")
        column = columns[stored_name]
        text = column.dtype.kind in "OST" and not column.shape
        why = _unfit(column, name == label and text)
        if why is not None and (options.fields is not None or name == options.labels):
            raise BadSetting(f"{stored_name!r} of {where} cannot be a field: it is {why}")
        if why is not None:
            left_out[f"{stored_name}: {why}"] = 1
            continue
        fields[name] = stored_name
        spec[name] = Field((), np.dtype(np.int64)) if text else Field(column.shape, column.dtype.newbyteorder("="))
        if text:
            texts.add(name)
        elif name == label and column.shape == (1,) and len(wanted) > 1:
            spec[name] = Field((), column.dtype.newbyteorder("="))
            choices.append(
                Choice(f"labels: {stored_name!r}, stored as {column.shape}, is read as a single value", "labels=")
            )
    if not fields:
        seen = ", ".join(f"{name} {column.shape} {column.dtype}" for name, column in columns.items())
        raise BadFile(f"{where} contains no arrays of numbers: it has {seen or 'nothing'}")
    chosen = {name: columns[stored_name] for name, stored_name in fields.items()}
    scratch = sum(
        column.nbytes
        + column.scratch(column.shape[0] if column.shape else 1)
        + (0 if isinstance(column, Chunked) or column.chunk_rows is None else cache)
        for column in chosen.values()
    )
    choices += [Choice(f"{name}: {column.unbounded}", "") for name, column in chosen.items() if column.unbounded]
    return Layout(fields, spec, left_out, scratch, frozenset(texts), tuple(choices))


def _unfit(column: Column, is_label: bool) -> str | None:
    if isinstance(column, UnsupportedColumn):
        return column.why
    if column.dtype.kind in "OUST":
        return None if is_label else "text or objects that are not a label of one value"
    return None if column.dtype.kind in "biufcmM" else f"of type {column.dtype}"


class Member(NamedTuple):
    """An array of a row, located but not read.

    Attributes
    ----------
    shape : tuple of int or None
    dtype : numpy.dtype
    value : callable
        Return all of it, for arrays of one value.
    read : callable
        Read all of it into memory of its shape.
    """

    shape: tuple[int, ...] | None
    dtype: np.dtype[Any]
    value: Callable[[], Any]
    read: Callable[[NDArray[Any]], None]


Members = Callable[[str], Member | None]


class MemberRows(Source):
    """Rows of named arrays, of one layout."""

    reads_files = True
    _layout: Layout
    _first: int

    def _take(self, layout: Layout, options: OpenOptions) -> None:
        """Set the fields from the layout of the row ``_first``."""
        self._layout = layout
        self.spec = dict(layout.spec)
        self.left_out = {**self.left_out, **layout.left_out}
        self.choices = (*self.choices, *layout.choices)
        self._label = label_of(layout.fields, options)
        self._own: NDArray[Any] | None = None
        if self._label is None:
            return
        label = layout.spec[self._label]
        others = [field for name, field in layout.spec.items() if name != self._label]
        if others:
            widest = max(others, key=lambda field: field.nbytes)
            self.spec = {**layout.spec, self._label: label_field(np.empty((0, *label.shape), label.dtype), widest)}
        if self._label in layout.texts:
            self._own, self.classes = class_numbers([str(value) for value in self._values(self._label)], len(self))

    @abstractmethod
    def _row(self, row: int) -> AbstractContextManager[Members]:
        """Return a context manager that opens a row and yields a function to find its arrays by name."""

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Open each row, and read its arrays."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        failed: dict[int, Exception] = {}
        numbers = rows.tolist()
        for some in self._held(numbers):
            for i in some:
                try:
                    self._read_one(numbers[i], i, into)
                except BitesizeError as error:
                    failed[i] = error
        raise_bad(failed)

    def _held(self, rows: Sequence[int]) -> Iterator[range]:
        """Yield the positions of rows in ranges; while a range is used, its small objects are in memory."""
        yield range(len(rows))

    def _read_one(self, row: int, i: int, into: Into) -> None:
        with self._row(row) as members:
            for name in self._layout.fields:
                if name not in into:
                    continue
                if name in self._layout.texts and self._own is not None:
                    into[name][i] = self._own[row]
                    continue
                member = self._member(members, name, row)
                if self._layout.spec[name].shape:
                    member.read(into[name][i])
                else:
                    into[name][i] = np.ravel(member.value())[0]

    def _member(self, members: Members, name: str, row: int) -> Member:
        """Return an array of a row, which must match the array of the first row."""
        stored_name, field = self._layout.fields[name], self._layout.spec[name]
        member = members(stored_name)
        if member is None:
            raise BadFile(f"{self.describe(row)} has no {stored_name!r}, but {self.describe(self._first)} has it")
        text = name in self._layout.texts
        shape = () if member.shape == (1,) and not field.shape else member.shape
        alike = shape == field.shape and (text == (member.dtype.kind in "OUST"))
        if not alike or (not text and member.dtype.newbyteorder("=") != field.dtype):
            raise BadFile(
                f"{self.describe(row)}: {stored_name!r} is {member.shape} {member.dtype}, but of {self.describe(self._first)} {'text' if text else field}: "
                "rows must have one shape and dtype"
            )
        return member

    def _values(self, name: str) -> list[Any]:
        """Return a field of one value per row, for all rows."""
        values = []
        for row in (row for rows in self._held(range(len(self))) for row in rows):
            with self._row(row) as members:
                value = np.ravel(self._member(members, name, row).value())[0]
                values.append(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)
        return values

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, read on first access."""
        if self._labels is not None:
            return super().labels
        label = self.spec.get(self._label or "")
        if not isinstance(label, Field) or label.shape or label.dtype.kind not in "iub":
            return None
        with _LOADING:
            if self._own is None:
                self._own = as_class_numbers(np.array(self._values(str(self._label)), label.dtype))
            return self._own

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return "y" if self._labels is not None else self._label

    def scratch(self, rows: int) -> int:
        """Return the bytes for reading one row: caches of the library, and intermediate chunks."""
        return self._layout.scratch

    @property
    def nbytes(self) -> int:
        """Bytes of labels."""
        label = self.spec.get(self._label or "")
        own = len(self) * label.nbytes if isinstance(label, Field) and not label.shape else 0
        return super().nbytes + own


def refuse_two_labels(layout: Layout, options: OpenOptions, labeled: bool, where: str) -> None:
    """Raise `BadSetting` if both rows and their folders provide labels."""
    own = label_of(layout.fields, options) or ("y" if "y" in layout.spec else None)
    if labeled and own is not None:
        raise BadSetting(
            f"{where} has an array {own!r}, and each file also has a label: if each file holds many rows, pass file_is_row=False; else select "
            "other arrays with fields="
        )


def rows_among(
    names: Sequence[str], shapes_of: Callable[[str], Shapes | None], options: OpenOptions, where: str
) -> list[str] | None:
    """Return the names of groups in natural order if each is one row: with the same arrays, and numbered or numerous.

    Parameters
    ----------
    names
        Names of the groups and arrays on one level.
    shapes_of
        Return shape and dtype of the arrays in a group, by name; None for what is not a group.
    options
        Options: if requested fields are missing in groups, these are not rows.
    where
        Name of the data, for messages.

    Raises
    ------
    BadFile
        If groups have the same arrays with different shapes.
    """
    names = sorted(names, key=lambda name: natural_key(name.encode()))
    numbered = all(any(letter.isdigit() for letter in name) for name in names)
    if len(names) < 2 or (len(names) <= _FEW and not numbered) or all(split_in(name) for name in names):
        return None
    chosen = (
        names if len(names) <= _LOOKED_AT else [names[i] for i in np.linspace(0, len(names) - 1, _LOOKED_AT).astype(int)]
    )
    first: Shapes | None = None
    for name in chosen:
        shapes = shapes_of(name)
        first = shapes if first is None else first
        if not shapes or first is None or {*shapes} != {*first} or _many_rows(shapes):
            return None
        if options.fields is not None and not {*wanted_fields(options, first).values()} <= {*first}:
            return None
        if shapes != first and options.fields is None:
            stored_name = next(stored_name for stored_name in shapes if shapes[stored_name] != first[stored_name])
            raise BadFile(
                f"{where}: the groups {names[0]} and {name} have the same arrays of different shapes ({stored_name}: {first[stored_name][0]} and "
                f'{shapes[stored_name][0]}): open one, bs.open("{where}{MEMBER}{name}"), join several with bs.chain, or save them in one shape'
            )
    return names


def _many_rows(shapes: Shapes) -> bool:
    """Return whether there are labels of several rows for the other arrays."""
    label = label_of(shapes, OpenOptions())
    if label is None or len(shapes[label][0] or ()) != 1:
        return False
    rows = shapes[label][0][0]
    return rows > 1 and any(shape and shape[0] == rows for name, (shape, _) in shapes.items() if name != label)


def chain_files(sources: Sequence[Source], options: OpenOptions, kind_name: str) -> Source:
    """Return the concatenated rows of several files, with a note if each file could also be one row."""
    chained = chain(sources)
    if options.file_is_row is None:
        said = Choice(f"each of the {len(sources)} {kind_name} holds many rows", "file_is_row=True")
        chained.choices = (*chained.choices, said)
    return chained
