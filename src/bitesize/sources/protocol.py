"""Types with which rows are read: buffers of the caller, locations on disk, chunks; and the error of failed rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows


class EncodedInto(Protocol):
    """Destination of the bytes of encoded images."""

    def put(self, i: int, nbytes: int) -> memoryview:
        """Charge ``nbytes`` for row ``i`` of the call and return a writable buffer of exactly that size."""
        ...


Into = Mapping[str, Any]  # NDArray for a Field, EncodedInto for an Encoded


class Located(NamedTuple):
    """Where rows lie on disk exactly unchanged, in native byte order and one after another; see `Source.locate`.

    Attributes
    ----------
    paths : list of bytes
        Files.
    which, offsets : ndarray of int64, shape (rows,)
        The file of each row, by its number in ``paths``, and where in it the row begins, in bytes.
    header : bytes
        If not empty, each file is one row after exactly these bytes.
    joined : tuple of two ndarray or None
        ``paths`` as returned by `files.pread.joined`, if they never change.
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
    """Groups of rows that are cheap to read together; see `Source.chunks`.

    Attributes
    ----------
    starts : ndarray of int64, shape (chunks + 1,)
        First row of each chunk, ascending from 0; and the number of rows.
    nbytes : ndarray of int64, shape (chunks,), or None
        Maximum bytes of the encoded fields of each chunk, if there are encoded fields.
    """

    starts: NDArray[np.int64]
    nbytes: NDArray[np.int64] | None = None


def raise_bad(failed: Mapping[int, Exception]) -> None:
    """Raise `BadRows` if any row failed."""
    if failed:
        raise BadRows(failed)
