"""Bites of rows, and the memory that one thread needs for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.mapping import aligned, allocate
from bitesize.spec import Field, Spec


def bites(span: range, rows: int) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of a span, up to ``rows`` at a time."""
    for start in range(span.start, span.stop, rows):
        yield np.arange(start, min(start + rows, span.stop), dtype=np.int64)


def chunk_bites(starts: NDArray[np.int64], span: range, rows: int) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of a span in bites of whole chunks, up to ``rows`` rows at a time. A larger chunk is cut.

    Parameters
    ----------
    starts
        First row of each chunk, and the number of rows, shape (chunks + 1,).
    span
        Rows.
    rows
        Largest number of rows of a bite.
    """
    start = span.start
    while start < span.stop:
        chunk = int(np.searchsorted(starts, start, side="right")) - 1
        last = int(np.searchsorted(starts, start + rows, side="right")) - 1  # its start ends the bite
        if last <= chunk or starts[chunk] != start:  # part of a large chunk
            stop = min(start + rows, int(starts[chunk + 1]))
        else:
            stop = int(starts[last])
        stop = min(stop, span.stop)
        yield np.arange(start, stop, dtype=np.int64)
        start = stop


def spans(rows: int, most: int, multiple: int = 1, starts: NDArray[np.int64] | None = None) -> list[range]:
    """Cut all rows into spans, the pieces of work of several processes.

    Parameters
    ----------
    rows
        Number of rows.
    most
        Number of rows of a span, about.
    multiple
        Each span starts at a multiple of this number.
    starts
        First row of each chunk, and the number of rows. Spans start as near to them as ``multiple`` allows, so that few chunks are
        read twice.

    Returns
    -------
    list of range
        Consecutive rows, none empty.

    Examples
    --------
    >>> spans(10, 4), spans(10, 3, 5)
    ([range(0, 4), range(4, 8), range(8, 10)], [range(0, 5), range(5, 10)])
    """
    edges = np.arange(0, rows, max(1, most), dtype=np.int64)
    if starts is not None:
        edges = starts[np.searchsorted(starts, edges)]
    edges = -(-edges // multiple) * multiple
    edges = np.unique(np.append(edges[edges < rows], rows))
    return [range(start, stop) for start, stop in pairwise(edges.tolist())]


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
