"""How rows are asked of a source, and told: memory to read into, where they lie, which are cheap together, which failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows


class EncodedInto(Protocol):
    """Where a source puts the bytes of encoded images."""

    def put(self, i: int, nbytes: int) -> memoryview:
        """Charge ``nbytes`` for row ``i`` of the call and return a writable buffer of exactly that size."""
        ...


Into = Mapping[str, Any]  # NDArray for a Field, EncodedInto for an Encoded


class Located(NamedTuple):
    """Where rows lie on disk exactly as they are, in native byte order and one behind the other; see `Source.locate`.

    Attributes
    ----------
    paths : list of bytes
        Files.
    which, offsets : ndarray of int64, shape (rows,)
        The file of each row, by its number in ``paths``, and where in it the row begins, in bytes.
    header : bytes
        Where not empty, each file is one row behind exactly these bytes.
    joined : tuple of two ndarray or None
        ``paths`` as `files.pread.joined` gives them, where they are the same every time.
    in_memory : bool
        Whether ``offsets`` are addresses in memory, and there are no files.
    """

    paths: list[bytes]
    which: NDArray[np.int64]
    offsets: NDArray[np.int64]
    header: bytes = b""
    joined: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None
    in_memory: bool = False


class ChunkStarts(NamedTuple):
    """Rows that are cheap together; see `Source.chunks`.

    Attributes
    ----------
    starts : ndarray of int64, shape (runs + 1,)
        The row with which each run begins, from 0 on, ascending; and the number of rows.
    nbytes : ndarray of int64, shape (runs,), or None
        The most bytes that the encoded fields of each run take, where there are such.
    """

    starts: NDArray[np.int64]
    nbytes: NDArray[np.int64] | None = None


class _Behind:
    """Places of encoded rows from some row of the call on."""

    def __init__(self, into: EncodedInto, start: int) -> None:
        self._into, self._start = into, start

    def put(self, i: int, nbytes: int) -> memoryview:
        """Give the buffer of a row."""
        return self._into.put(self._start + i, nbytes)


def portion(into: Into, start: int, rows: int) -> dict[str, Any]:
    """Give the places of some neighboring rows of a call to `Source.read`."""
    return {
        name: there[start : start + rows] if isinstance(there, np.ndarray) else _Behind(there, start)
        for name, there in into.items()
    }


def raise_bad(failed: Mapping[int, Exception]) -> None:
    """Raise `BadRows` if any row failed."""
    if failed:
        raise BadRows(failed)
