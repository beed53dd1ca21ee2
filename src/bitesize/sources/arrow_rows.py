"""What sources of Arrow tables have in common: columns as fields, whatever file or frame they come from."""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.sources.arrow_columns import ArrowColumn
from bitesize.sources.base import Asked, Source
from bitesize.sources.chained import chain
from bitesize.sources.columns import LABELS, wanted_fields
from bitesize.sources.labels import as_class_numbers, class_numbers
from bitesize.sources.rows import Into, Runs, raise_bad
from bitesize.sources.splits import COLUMNS, rows_of_part
from bitesize.spec import Encoded, Field

# Parts of a table that are kept: the one that rows are read from, and the next.
_KEPT = 2
# Parts that are read at the same time: more would each take memory.
_AT_ONCE = 2
# What Arrow holds beside the values of files: its own structures, and what its allocator does not give back at once (measured).
_BESIDE = 8 << 20


_CHOOSING = threading.Lock()


def pool() -> Any:
    """Give the allocator for what is read: Arrow's own keeps tens of MiB for itself where several threads read."""
    import pyarrow as pa

    return pa.system_memory_pool()


@contextmanager
def chosen_pool() -> Iterator[None]:
    """Have readers that are made meanwhile take from `pool`, where Arrow has no argument for that."""
    import pyarrow as pa

    with _CHOOSING:
        before = pa.default_memory_pool()
        pa.set_memory_pool(pool())
        try:
            yield
        finally:
            pa.set_memory_pool(before)


class Part(NamedTuple):
    """Rows of a table that are read together.

    Attributes
    ----------
    rows : int
        How many.
    nbytes : int
        Bytes in memory, and of what they are made of.
    passing : int
        Bytes besides that are needed while they are read.
    """

    rows: int
    nbytes: int
    passing: int = 0


class ArrowSource(Source):
    """Rows of Arrow tables.

    Parameters
    ----------
    parts
        Rows that are read together, one behind the other.
    asked
        Which columns are fields.
    where
        Name of the data, for messages.
    folder
        Where paths in columns lead from.
    """

    reads_files = True

    def __init__(self, parts: Sequence[Part], asked: Asked, where: str, folder: str | None) -> None:
        self._where, self._parts = where, list(parts)
        self._ends = np.cumsum([part.rows for part in parts], dtype=np.int64)
        if not len(self._ends) or not self._ends[-1]:
            raise BadFile(f"{where} has no rows")
        self._begin()
        first = self._table(next(i for i, part in enumerate(parts) if part.rows))
        twice = sorted({name for name in first.column_names if first.column_names.count(name) > 1})
        if twice:
            raise BadFile(f"{where} has several columns named {twice[0]!r}")
        wanted = wanted_fields(asked, first.column_names)
        label = asked.labels if isinstance(asked.labels, str) else next((name for name in LABELS if name in wanted), None)
        if label is not None:
            wanted.setdefault(label, label)
        self._columns: dict[str, ArrowColumn] = {}
        self.spec, left_out = {}, {}
        self._column_names: tuple[str, ...] = tuple(first.column_names)
        self._known: dict[str, NDArray[np.int64]] = {}  # class numbers of columns of text
        self._label = label
        for name, there in wanted.items():
            if there not in first.column_names:
                raise BadSetting(f"{where} has no column {there!r}: it has {', '.join(first.column_names)}")
            column = ArrowColumn(there, first.column(there).slice(0, 1).combine_chunks(), asked, folder)
            may_be_text = name == label or asked.fields is not None
            if column.what is None and not (column.is_text and may_be_text):
                if asked.fields is not None:
                    raise BadSetting(f"the column {there!r} of {where} cannot be a field: it is {column.why}")
                left_out[f"{there}: {column.why}"] = 1
                continue
            self._columns[name] = column
            self.spec[name] = column.what or Field((), np.dtype(np.int64))
        self.left_out = left_out
        if not self.spec:
            raise BadFile(f"{where} has no column of numbers or images: it has {', '.join(map(str, first.schema))}")
        classes = {}
        for name in [name for name, column in self._columns.items() if column.is_text]:
            self._known[name], classes[name] = class_numbers(self._all(name), len(self))
        self.classes = classes.pop(label, None) if label is not None else None
        self.classes_of = {name: found for name, found in classes.items() if found is not None}

    def _begin(self) -> None:
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[int, threading.Lock] = {}
        self._turns: queue.SimpleQueue[int] = queue.SimpleQueue()
        for turn in range(_AT_ONCE):
            self._turns.put(turn)

    def __getstate__(self) -> dict[str, Any]:
        own = ("_kept", "_lock", "_reading", "_turns")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @abstractmethod
    def _read_part(self, number: int) -> Any:
        """Read a part as an Arrow table."""

    def _table(self, number: int) -> Any:
        """Give a part: one of the last that were read, or read it; each part by one thread."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
            own = self._reading.setdefault(number, threading.Lock())
        with own:
            with self._lock:
                if number in self._kept:  # read by another thread meanwhile
                    return self._kept[number]
            try:
                table = self._read_part(number)
            finally:
                with self._lock:
                    self._reading.pop(number, None)
            with self._lock:
                if len(self._kept) >= _KEPT:
                    self._kept.popitem(last=False)
                    pool().release_unused()
                self._kept[number] = table
                return table

    def _all(self, name: str) -> list[Any]:
        column = self._columns[name].name
        values: list[Any] = []
        for i, part in enumerate(self._parts):
            if part.rows:
                try:
                    values += self._table(i).column(column).to_pylist()
                except BitesizeError:
                    raise
                except ValueError as error:  # text that is none
                    raise BadFile(f"the column {column!r} of {self._where} cannot be read: {error}") from error
        if None in values:
            raise BadFile(f"the column {column!r} of {self._where} has no value in row {values.index(None)}")
        return values

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the rows of each part."""
        for name, numbers in self._known.items():
            if name in into:
                into[name][...] = numbers[rows]
        failed: dict[int, Exception] = {}
        numbers = np.searchsorted(self._ends, rows, side="right")
        for part in np.unique(numbers).tolist():
            of = np.flatnonzero(numbers == part)
            inside = rows[of] - (self._ends[part] - self._parts[part].rows)
            turn = (
                self._turns.get()
            )  # two threads at a time, to the end of what they do with a part: it is in memory until then
            try:
                self._put(self._table(part), inside, of.tolist(), into, failed)
            except BitesizeError as error:
                failed |= dict.fromkeys(of.tolist(), error)
            finally:
                self._turns.put(turn)
        named = {i: BadFile(f"{self._where}: {error}") if type(error) is BadFile and self._where not in str(error) else error
                 for i, error in failed.items()}  # fmt: skip
        raise_bad(named)

    def _put(self, table: Any, inside: NDArray[np.int64], of: list[int], into: Into, failed: dict[int, Exception]) -> None:
        together = (np.diff(inside) == 1).all()
        for name, column in self._columns.items():
            if name not in into or column.what is None:
                continue
            values = table.column(column.name)
            values = values.slice(int(inside[0]), len(inside)) if together else values.take(inside)
            column.put(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0), of, into[name], failed)

    def runs(self) -> Runs | None:
        """Give the parts."""
        starts = np.append(0, self._ends)
        encoded = [column for column in self._columns.values() if isinstance(column.what, Encoded)]
        if any(column.folder is not None for column in encoded):
            return None  # nobody knows the bytes of files that are not opened
        nbytes = np.array([part.nbytes for part in self._parts], np.int64) if encoded else None
        keep = np.array([part.rows > 0 for part in self._parts])
        return Runs(np.append(starts[:-1][keep], len(self)), None if nbytes is None else nbytes[keep])

    @property
    def in_runs(self) -> bool:
        """Whether parts are read whole."""
        return self.runs() is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the parts that are kept and of those that are read, and of labels."""
        largest = max(part.nbytes for part in self._parts)
        known = sum(numbers.nbytes for numbers in self._known.values())
        passing = max(part.passing for part in self._parts)
        return (_KEPT + _AT_ONCE) * largest + _AT_ONCE * passing + (_BESIDE if largest else 0) + known

    def scratch(self, rows: int) -> int:
        """Values that are gathered before they are put in their places."""
        fields = [column.what for column in self._columns.values() if isinstance(column.what, Field)]
        return 2 * rows * max((field.nbytes for field in fields), default=0)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns."""
        return self._column_names

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return self._label if self._label in self.spec else None

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, read when they are first asked for."""
        what = self.spec.get(self._label or "")
        if self._label is None or not isinstance(what, Field) or what.shape or what.dtype.kind not in "iub":
            return None
        if self._label not in self._known:
            self._known = self._known | {self._label: as_class_numbers(np.array(self._all(self._label), object))}
        return self._known[self._label]

    def describe(self, row: int) -> str:
        """Name the data and the row."""
        return f"{self._where}, row {row}"

    def _identity(self) -> bytes:
        parts = repr([part.rows for part in self._parts]).encode()
        texts = [name for name, column in self._columns.items() if column.is_text]
        return parts + b"".join(self._known[name].tobytes() for name in texts)

    def close(self) -> None:
        """Let go of what is kept."""
        with self._lock:
            self._kept.clear()


def in_part(makes: Sequence[Callable[[Asked], ArrowSource]], asked: Asked, where: str) -> Source:
    """Open tables, one behind the other, and take the rows of a part where a column tells the part of each.

    Raises
    ------
    BadSetting
        If a part is asked for and no column tells parts, or there are parts and none is asked for.
    NotFound
        If there is no such part.
    BadFile
        If a column of parts has rows without one.
    """
    sources = [make(asked) for make in makes]
    source: Source = sources[0] if len(sources) == 1 else chain(sources)
    column = next((name for name in COLUMNS if all(name in each.column_names for each in sources)), None)
    told = [_parts_in(make, column, asked.split) for make in makes] if column is not None else []
    parts = [each for each in told if each is not None]
    if not parts or len(parts) < len(makes):
        if asked.split is not None:
            raise BadSetting(f"split={asked.split!r}: {where} has no column that tells parts, called {', '.join(COLUMNS)}")
        return source
    names, numbers = np.unique(np.concatenate(parts), return_inverse=True)
    rows = rows_of_part(names.tolist(), numbers, asked.split, where)
    return source if rows is None else source.subset(rows)


def _parts_in(make: Callable[[Asked], ArrowSource], column: str, split: str | None) -> NDArray[np.str_] | None:
    """Read the column of parts; None where it is for something else."""
    try:
        told = make(Asked(labels=column, fields=[column]))
    except BadSetting:
        if split is not None:
            raise
        return None
    except BadFile:  # rows without a value
        if split is not None or column == COLUMNS[0]:
            raise
        return None
    labels = told.labels
    if labels is None:
        return None
    return labels.astype(str) if told.classes is None else np.array(told.classes)[labels]
