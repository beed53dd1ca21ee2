"""Arrow tables that are read in parts: cached parts, and whole columns of one value per row."""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.state import FileState
from bitesize.sources.base import Source
from bitesize.sources.text_labels import Texts, most_guessed, repeats

# Number of cached parts of a table: the one that rows are read from, and the next.
KEPT = 2
# Maximum number of parts that are read at the same time: each needs memory.
AT_ONCE = 2
# Memory of Arrow in addition to values: its structures, and what its allocator does not return at once (measured).
BESIDE = 8 << 20


_CHOOSING = threading.Lock()


def pool() -> Any:
    """Return the allocator for reading: Arrow's default keeps tens of MiB if several threads read."""
    import pyarrow as pa

    return pa.system_memory_pool()


@contextmanager
def chosen_pool() -> Iterator[None]:
    """Make readers created in the block allocate from `pool`, since Arrow has no argument for it."""
    import pyarrow as pa

    with _CHOOSING:
        before = pa.default_memory_pool()
        pa.set_memory_pool(pool())
        try:
            yield
        finally:
            pa.set_memory_pool(before)


class MissingValue(BadFile):
    """A row without a value."""


class TableChunk(NamedTuple):
    """Rows of a table that are read together.

    Attributes
    ----------
    rows : int
        Number of rows.
    nbytes : int
        Bytes in memory, including temporary data.
    passing : int
        Additional bytes that are needed during reading.
    """

    rows: int
    nbytes: int
    passing: int = 0


class ArrowTable(Source):
    """Rows of Arrow tables that are read in parts.

    Parameters
    ----------
    parts
        Parts that are read one at a time, in order.
    where
        Name of the data, for messages.
    files
        Names and numbers of rows of the files, if there are several.
    """

    _states: Mapping[str, FileState] = {}  # of the files, in the order of their rows; empty for tables in memory

    def __init__(self, parts: Sequence[TableChunk], where: str, files: Sequence[tuple[str, int]] = ()) -> None:
        self._where, self._parts = where, list(parts)
        self._ends = np.cumsum([part.rows for part in parts], dtype=np.int64)
        if not len(self._ends) or not self._ends[-1]:
            raise BadFile(f"{where} has no rows")
        self._files = [name for name, _ in files] or [where]
        self._file_ends = np.cumsum([rows for _, rows in files] or [int(self._ends[-1])], dtype=np.int64)
        self._begin()

    def _begin(self) -> None:
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[int, threading.Lock] = {}
        self._turns: queue.SimpleQueue[int] = queue.SimpleQueue()
        for turn in range(AT_ONCE):
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
        """Return a part, cached or read; each part is read by one thread."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
            own = self._reading.setdefault(number, threading.Lock())
        with own:
            with self._lock:
                if number in self._kept:  # read by another thread in the meantime
                    return self._kept[number]
            try:
                table = self._read_part(number)
            finally:
                with self._lock:
                    self._reading.pop(number, None)
            with self._lock:
                if len(self._kept) >= KEPT:
                    self._kept.popitem(last=False)
                    pool().release_unused()
                self._kept[number] = table
                return table

    def _schema(self) -> Any:
        """Return names and types of the columns."""
        return self._table(self._first_part()).schema

    def _first(self, name: str) -> Any:
        """Return the first row of a column, as an Arrow array of one value."""
        return self._table(self._first_part()).column(name).slice(0, 1).combine_chunks()

    def _first_part(self) -> int:
        """Return the number of the first part that has rows."""
        return next(i for i, part in enumerate(self._parts) if part.rows)

    def _values(self, name: str) -> Iterator[Any]:
        """Yield a column as Arrow arrays, part by part."""
        for i, part in enumerate(self._parts):
            if part.rows:
                yield from self._table(i).column(name).chunks

    def _texts(self, name: str, most: int | None = None) -> Texts:
        """Return a column of text; only its beginning if it has more than ``most`` different values.

        Raises
        ------
        BadFile
            If a row has no value, or one that is not text.
        """
        number_of: dict[str, int] = {}
        numbers, row = [], 0
        for part in self._values(name):
            self._refuse_missing(name, part, row)
            row += len(part)
            try:
                coded = part if hasattr(part, "dictionary") else part.dictionary_encode()
                own = [number_of.setdefault(str(value), len(number_of)) for value in coded.dictionary.to_pylist()]
            except ValueError as error:  # invalid text
                raise BadFile(f"the column {name!r} of {self._where} cannot be read: {error}") from error
            numbers.append(np.array(own, np.int64)[coded.indices.to_numpy(zero_copy_only=False)])
            if most is not None and len(number_of) > most:
                break
        codes = np.concatenate(numbers)
        used = np.unique(codes)
        if len(used) < len(number_of):  # a dictionary may have unused entries
            names = list(number_of)
            return Texts([names[i] for i in used], np.searchsorted(used, codes))
        return Texts(list(number_of), codes)

    def _numbers(self, name: str) -> NDArray[Any]:
        """Return a column of one number per row."""
        parts, row = [], 0
        for part in self._values(name):
            self._refuse_missing(name, part, row)
            row += len(part)
            parts.append(part.to_numpy(zero_copy_only=False))
        return np.concatenate(parts)

    def _refuse_missing(self, name: str, part: Any, start: int) -> None:
        if part.null_count:
            row = start + int(np.flatnonzero(part.is_null().to_numpy(zero_copy_only=False))[0])
            raise MissingValue(f"the column {name!r} of {self._file_of(row)} has no value in row {self._row_in_file(row)}")

    def _missing(self, names: Sequence[str]) -> dict[str, int]:
        """Return the number of missing values of each of some columns that has any."""
        counts = {name: sum(part.null_count for part in self._values(name)) for name in names}
        return {name: count for name, count in counts.items() if count}

    def _repeats(self, name: str) -> bool:
        """Return whether text has few enough different values for classes."""
        try:
            texts = self._texts(name, most_guessed(len(self)))
        except MissingValue:
            return False
        return repeats(len(texts.values), len(self))

    def _all_different(self, name: str) -> bool:
        """Return whether all numbers of a column differ."""
        try:
            values = self._numbers(name)
        except MissingValue:
            return False
        return len(np.unique(values)) == len(values)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _file_of(self, row: int) -> str:
        """Return the name of the file of a row."""
        return self._files[int(np.searchsorted(self._file_ends, row, side="right"))]

    def _row_in_file(self, row: int) -> int:
        """Return the number of a row in its file."""
        file = int(np.searchsorted(self._file_ends, row, side="right"))
        return row - (int(self._file_ends[file - 1]) if file else 0)

    def describe(self, row: int) -> str:
        """Return the file and the row in it."""
        return f"{self._file_of(row)}, row {self._row_in_file(row)}"

    def _named(self, error: Exception, row: int) -> Exception:
        """Return an error with the name of the file of the row."""
        file = self._file_of(row)
        return BadFile(f"{file}: {error}") if type(error) is BadFile and file not in str(error) else error

    def close(self) -> None:
        """Free cached parts."""
        with self._lock:
            self._kept.clear()
