"""Columns: arrays whose first axis is the rows, read in parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting
from bitesize.sources.protocol import Located

# Reason for refusing arrays of Python objects.
OBJECTS = "an array of Python objects (a pickle), which could run code when read: refused; save it as text, {}.astype(str), or as numbers"


# Neighboring rows: position in a call, first row, and end.
Stretch = tuple[int, int, int]


class Column(ABC):
    """An array whose first axis is the rows, read in parts.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        Dtype as stored, in any byte order; ``object`` or text for objects or text.
    unbounded : str
        Reason why reading may need more memory than `scratch`, if another library decodes it; empty otherwise.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    unbounded = ""
    checks_files = False  # see `Source.checks_files`

    @abstractmethod
    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighboring rows into ``out``, C-contiguous and in native byte order."""

    def ahead(self, stretches: Sequence[Stretch]) -> Iterator[Sequence[Stretch]]:
        """Yield the same rows in parts. While a part is used, its bytes are in memory if they come from objects, read at the same time."""
        yield stretches

    def texts(self) -> Sequence[str]:
        """Read all rows as text."""
        raise BadSetting("it does not hold text")

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the locations of rows on disk; see `Source.locate`."""
        return None

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if the data has changed since it was opened; see `Source.check_unchanged`."""

    @property
    def chunk_rows(self) -> int | None:
        """Number of rows of a chunk, or None if single rows are as cheap as neighbors."""
        return None

    def scratch(self, rows: int) -> int:
        """Return the bytes for reading ``rows`` neighboring rows, in addition to ``out``."""
        return 0

    @property
    def nbytes(self) -> int:
        """Bytes that the column holds in memory."""
        return 0

    def close(self) -> None:
        """Free cached data; the column can be read again."""


class UnsupportedColumn(Column):
    """An array that cannot be read, with the reason."""

    def __init__(self, why: str) -> None:
        self.why = why
        self.shape, self.dtype = (), np.dtype(np.void)

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Raise `BadFile`."""
        raise BadFile(f"it is {self.why}")


class Squeezed(Column):
    """A column of shape (n, 1), viewed as shape (n,)."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self.shape, self.dtype, self.unbounded = column.shape[:1], column.dtype, column.unbounded
        self.checks_files = column.checks_files

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighboring rows."""
        self._column.read(start, stop, out.reshape(-1, 1))

    def ahead(self, stretches: Sequence[Stretch]) -> Iterator[Sequence[Stretch]]:
        """Yield the same rows in parts, which are in memory."""
        yield from self._column.ahead(stretches)

    def texts(self) -> Sequence[str]:
        """Read all rows as text."""
        return self._column.texts()

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the locations of rows on disk."""
        return self._column.locate(rows)

    def check_unchanged(self) -> None:
        """Check the column."""
        self._column.check_unchanged()

    @property
    def chunk_rows(self) -> int | None:
        """Number of rows of a chunk."""
        return self._column.chunk_rows

    def scratch(self, rows: int) -> int:
        """Return the bytes that the column needs."""
        return self._column.scratch(rows)

    @property
    def nbytes(self) -> int:
        """Bytes that the column holds."""
        return self._column.nbytes

    def close(self) -> None:
        """Free cached data of the column."""
        self._column.close()
