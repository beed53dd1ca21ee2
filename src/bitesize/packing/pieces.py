"""What one thread makes of rows: pieces that are appended to a shard, and rows that could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Piece(NamedTuple):
    """Some rows of a shard: their number, and the values of each field as `ShardWriter.append` takes them."""

    rows: int
    values: Mapping[str, Any]


class Failure(NamedTuple):
    """A row that could not be read: its number in the source, and the error."""

    row: int
    error: Exception


class Producer(Protocol):
    """Makes the rows of shards, in one thread."""

    def pieces(self, start: int, stop: int) -> Iterator[Piece | Failure]:
        """Yield the rows from ``start`` to ``stop``, in order. A piece is valid until the next one is requested."""
        ...

    def close(self) -> None:
        """Free the memory."""
        ...


def good_stretches(count: int, bad: Mapping[int, Any]) -> Iterator[slice | int]:
    """Yield slices of rows that are not in ``bad``, and the numbers that are, in order.

    Examples
    --------
    >>> list(good_stretches(5, {2: "damaged"}))
    [slice(0, 2, None), 2, slice(3, 5, None)]
    """
    start = 0
    for i in sorted(bad):
        if start < i:
            yield slice(start, i)
        yield i
        start = i + 1
    if start < count:
        yield slice(start, count)


def spans(start: int, stop: int, rows: int, chunks: NDArray[np.int64] | None) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers from ``start`` to ``stop``, up to ``rows`` at a time, but never across the starts of ``chunks``."""
    while start < stop:
        end = min(start + rows, stop)
        if chunks is not None:
            end = min(end, int(chunks[np.searchsorted(chunks, start, side="right")]))
        yield np.arange(start, end, dtype=np.int64)
        start = end
