"""Rows of files that are kept in memory after they were first read, if the budget has room for all of them.

A small row takes longer to request from the system than to copy, so reading it from memory is several times as fast. Rows are read
when a batch first needs one of a block of neighbors, from the second batch on, so that the first one is not delayed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.memory_plan import KEPT, MemoryNeeds
from bitesize.errors import BitesizeError
from bitesize.files.pread import read_rows
from bitesize.memory.budget import Budget
from bitesize.memory.charge import Charge
from bitesize.memory.mapping import allocate
from bitesize.memory.request import MemoryRequest
from bitesize.memory.sizes import counted
from bitesize.sources.base import Source
from bitesize.sources.protocol import Into, Located
from bitesize.spec import Field

# Larger rows are copied from the system's page cache almost as fast, and filling the memory would slow down the first epoch.
_MOST_ROW_NBYTES = 4 << 10
# Bytes that are read at once. A request for less takes almost as long, from the system's page cache or from a disk.
_BLOCK_NBYTES = 64 << 10
# Rows that are located at once, so that their numbers take little memory.
_MOST_AT_ONCE = 8192
# Number of rows whose location shows whether the rows of a source can be kept.
_SAMPLE, _MOST_OF_THEM = 64, 0.7


def request_of(source: Source) -> MemoryRequest:
    """Return the request for keeping all rows of a source: 0 bytes if they are not small rows in files that are checked for changes."""
    field, count = source.spec[source.primary], len(source)
    nbytes = 0
    if isinstance(field, Field) and 0 < field.nbytes <= _MOST_ROW_NBYTES and source.checks_files:
        located = source.locate(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
        if located is not None and not located.in_memory and not located.header:
            nbytes = count * (field.nbytes + 1)  # a flag for each row
    return MemoryRequest(KEPT, nbytes, "loader", f"all {counted(count, 'row')}, kept once they were read")


def _has_neighbors(source: Source, nbytes: int) -> bool:
    """Return whether most rows are stored directly before the next one."""
    rows = np.linspace(0, max(0, len(source) - 2), _SAMPLE).astype(np.int64)
    here, beside = source.locate(rows), source.locate(np.minimum(rows + 1, len(source) - 1))
    return here is not None and beside is not None and bool(np.mean(beside.offsets - here.offsets == nbytes) > _MOST_OF_THEM)


def fits_beside(request: MemoryRequest, needs: MemoryNeeds, rows: int, budget: Budget) -> bool:
    """Return whether rows fit half of the free part of a budget, beside all other parts of a loader with ``rows`` rows per batch."""
    free = min(budget.unused, needs.limit.room)
    return 0 < request.nbytes <= min(free // 2, free - needs.total(rows))


class _Memory:
    """Base of the array of kept rows. The charge is released with the last array that refers to it."""

    __slots__ = ("__array_interface__", "_charge", "_memory")

    def __init__(self, memory: NDArray[np.uint8], charge: Charge) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory, self._charge = memory, charge


class _Store:
    """Memory for all rows, and which of them have been read."""

    __slots__ = ("flat", "known", "rows")

    def __init__(self, memory: NDArray[np.uint8], count: int, field: Field) -> None:
        self.rows = memory[: count * field.nbytes].reshape(count, field.nbytes)
        self.known = memory[count * field.nbytes :].view(np.bool_)
        self.flat = self.rows.view(field.dtype)
        self.flat.flags.writeable = False


class KeptRows:
    """Reader of a source that keeps every row in memory once it was read. See `Source` for the methods of a reader.

    Parameters
    ----------
    source
        Source of the rows.
    request
        Result of `request_of`.
    budget
        Charged for the memory.
    first
        Number of rows that are read before rows are kept: those of a batch, which is then not delayed.
    """

    def __init__(self, source: Source, request: MemoryRequest, budget: Budget, first: int) -> None:
        field = source.spec[source.primary]
        assert isinstance(field, Field)
        self._source, self._name, self._field = source, source.primary, field
        self._request, self._budget = request, budget
        self._left = first
        # A row is read together with its neighbors, unless these are elsewhere in the files, as in a shuffled subset.
        block = max(1, min(_BLOCK_NBYTES // field.nbytes, _MOST_AT_ONCE))
        self._block = block if _has_neighbors(source, field.nbytes) else 1
        self._store: _Store | None = None

    @property
    def keeps(self) -> bool:
        """Return whether there is memory for the rows."""
        return self._store is not None

    def keep(self) -> bool:
        """Charge and map the memory, if the budget has room for it; return whether it has."""
        charge = self._budget.charge_optional(self._request.nbytes, KEPT, self)
        if charge is None:
            return False
        try:
            memory = allocate(self._request.nbytes, large_pages=True)
        except OSError:  # a limit on address space
            return False
        self._store = _Store(np.asarray(_Memory(memory, charge)), len(self._source), self._field)
        return True

    def keep_again(self) -> None:
        """Start to keep rows again after they were given up, if they fit half of what the budget has free."""
        if not self.keeps and self._request.nbytes <= self._budget.unused // 2:
            self.keep()

    def give_up(self) -> None:
        """Return the memory, when the last thread that reads from it has finished its bite. Rows are read from disk from now on."""
        self._store = None

    def found(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are in memory."""
        store = self._store
        return np.zeros(len(rows), np.bool_) if store is None else store.known[rows]

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy rows from memory, and read rows that are not there yet."""
        store = self._store
        if store is None or self._name not in into or not self._has(store, rows):
            self._source.read(rows, into)
            return
        self._source.read_other_fields(rows, {name: array for name, array in into.items() if name != self._name})
        out = into[self._name].reshape(-1).view(np.uint8).reshape(len(rows), -1)
        np.take(store.rows, rows, axis=0, out=out, mode="clip")  # any other mode would go through a buffer

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return where rows are in memory, or in files if they cannot be read into memory."""
        store = self._store
        if store is None or not self._has(store, rows):
            return self._source.locate(rows)
        return Located([], rows, rows, in_memory=True, array=store.flat)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except the primary one."""
        self._source.read_other_fields(rows, into)

    def _has(self, store: _Store, rows: NDArray[np.int64]) -> bool:
        """Read rows that are not in memory yet; return whether all of them are there now.

        Two threads may read the same row at the same time, which writes the same bytes twice.
        """
        if self._left > 0:
            self._left -= len(rows)
            return False
        known = store.known[rows]
        if known.all():
            return True
        blocks = np.unique(rows[~known] // self._block)
        at_once = max(1, _MOST_AT_ONCE // self._block)
        return all(self._fill_blocks(store, blocks[start : start + at_once]) for start in range(0, len(blocks), at_once))

    def _fill_blocks(self, store: _Store, blocks: NDArray[np.int64]) -> bool:
        """Read the rows of blocks that are not in memory yet; return whether that was possible."""
        rows = (blocks[:, None] * self._block + np.arange(self._block)).reshape(-1)
        rows = rows[rows < len(store.known)]
        rows = rows[~store.known[rows]]
        located = self._source.locate(rows)
        if located is None or located.in_memory or located.header:
            return False
        try:
            read_rows(located.paths, located.which, located.offsets, store.rows, rows)
        except BitesizeError:  # raised again when the rows are read one by one
            return False
        store.known[rows] = True
        return True
