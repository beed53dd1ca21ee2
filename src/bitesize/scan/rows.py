"""Bites of rows, and the memory that one thread needs for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.mapping import aligned, allocate
from bitesize.spec import Field, Spec


def bites(length: int, rows: int) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers from 0 to ``length``, up to ``rows`` at a time."""
    for start in range(0, length, rows):
        yield np.arange(start, min(start + rows, length), dtype=np.int64)


def chunk_bites(starts: NDArray[np.int64], rows: int) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in bites of whole chunks, up to ``rows`` rows at a time. A larger chunk is cut.

    Parameters
    ----------
    starts
        First row of each chunk, and the number of rows, shape (chunks + 1,).
    rows
        Largest number of rows of a bite.
    """
    start, length = 0, int(starts[-1])
    while start < length:
        chunk = int(np.searchsorted(starts, start, side="right")) - 1
        last = int(np.searchsorted(starts, start + rows, side="right")) - 1  # its start ends the bite
        if last <= chunk or starts[chunk] != start:  # part of a large chunk
            stop = min(start + rows, int(starts[chunk + 1]))
        else:
            stop = int(starts[last])
        yield np.arange(start, stop, dtype=np.int64)
        start = stop


class BiteMemory:
    """Memory of one thread for a bite of rows of fixed size.

    Parameters
    ----------
    fields
        Fields of a row.
    rows
        Largest number of rows.
    """

    def __init__(self, fields: Mapping[str, Field], rows: int) -> None:
        self._fields, self._memory = fields, allocate(bite_nbytes(fields, rows))

    def arrays(self, rows: int) -> dict[str, NDArray[Any]]:
        """Return an uninitialized array of shape (rows, *shape) for each field."""
        arrays, at = {}, 0
        for name, field in self._fields.items():
            nbytes = field.nbytes * rows
            arrays[name] = self._memory[at : at + nbytes].view(field.dtype).reshape(rows, *field.shape)
            at += aligned(nbytes)
        return arrays

    def close(self) -> None:
        """Free the memory."""
        self._memory = np.empty(0, np.uint8)


def bite_nbytes(fields: Mapping[str, Field], rows: int) -> int:
    """Return the bytes of `BiteMemory`."""
    return sum(aligned(field.nbytes * rows) for field in fields.values())


def fixed_fields(spec: Spec) -> dict[str, Field]:
    """Return the fields of fixed size."""
    return {name: field for name, field in spec.items() if isinstance(field, Field)}
