"""Reading of stored rows in one thread: fixed fields into arrays, encoded fields into one buffer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, without_frames
from bitesize.memory.budget import Budget
from bitesize.memory.mapping import aligned, allocate
from bitesize.scan.rows import BiteMemory, bite_nbytes, fixed_fields
from bitesize.sources.base import Source
from bitesize.sources.sinks import Arena, ArenaFull, EncodedSink
from bitesize.spec import Encoded


class Stored(NamedTuple):
    """Rows as they are stored.

    Attributes
    ----------
    arrays : dict
        Values of each fixed field, shape (rows, *shape).
    files : dict
        Bytes of each row of each encoded field, by index.
    failed : dict
        The error of each row that could not be read, by index; `ArenaFull` for a row that needs more memory.
    """

    arrays: dict[str, NDArray[Any]]
    files: dict[str, dict[int, memoryview]]
    failed: dict[int, Exception]


class RowReader:
    """Reads stored rows, up to ``rows`` at once. Used by one thread.

    Parameters
    ----------
    source
        Source of the rows.
    rows
        Largest number of rows at once.
    arena_nbytes
        Bytes for all encoded fields of these rows.
    """

    def __init__(self, source: Source, rows: int, arena_nbytes: int) -> None:
        self._source, self.rows = source, rows
        self._fixed = BiteMemory(fixed_fields(source.spec), rows)
        self._encoded = [name for name, field in source.spec.items() if isinstance(field, Encoded)]
        self._arena = allocate(arena_nbytes) if self._encoded else np.empty(0, np.uint8)

    def read(self, rows: NDArray[np.int64], memory: NDArray[np.uint8] | None = None) -> Stored:
        """Read rows. ``memory`` takes the place of the buffer for encoded fields."""
        arena = Arena(self._arena if memory is None else memory)
        arrays = self._fixed.arrays(len(rows))
        sinks = {name: EncodedSink(arena.take) for name in self._encoded}
        failed: dict[int, Exception] = {}
        try:
            self._source.read(rows, {**arrays, **sinks})
        except BadRows as error:
            failed = {i: without_frames(cause) for i, cause in error.causes.items()}
        return Stored(arrays, {name: sink.files for name, sink in sinks.items()}, failed)

    def close(self) -> None:
        """Free the memory."""
        self._fixed.close()
        self._arena = np.empty(0, np.uint8)


def reader_nbytes(source: Source, rows: int, arena_nbytes: int) -> int:
    """Return the bytes of a `RowReader`, with those that the source needs."""
    encoded = any(isinstance(field, Encoded) for field in source.spec.values())
    return bite_nbytes(fixed_fields(source.spec), rows) + arena_nbytes * encoded + source.scratch(rows)


class LargeRows:
    """Memory for rows that need more than a thread has: one row at a time, charged while it is in use."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._turn = budget, threading.RLock()

    @contextmanager
    def memory(self, nbytes: int, purpose: str, beside: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Charge and yield ``nbytes`` of memory, with ``beside`` more charged for a decoder. Wait for other large rows first.

        Raises
        ------
        DoesNotFit
            If the budget is too small.
        """
        with self._turn:
            charge = self._budget.charge(nbytes + beside, purpose)
            try:
                yield allocate(nbytes)
            finally:
                charge.release()

    @contextmanager
    def row(self, reader: RowReader, source: Source, row: int) -> Iterator[Stored]:
        """Read a row whose encoded fields do not fit the buffer of its thread."""
        number, nbytes, known = np.array([row], np.int64), 0, aligned(1)
        while True:
            with self.memory(known, source.describe(row)) as memory:
                stored = reader.read(number, memory)
                error = stored.failed.get(0)
                if not isinstance(error, ArenaFull):
                    yield stored
                    return
                nbytes += error.nbytes
            known = aligned(nbytes)
