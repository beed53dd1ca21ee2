"""Columns: arrays whose first axis is the rows, read in parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting
from bitesize.sources.rows import Located

# Why arrays of Python objects are refused.
OBJECTS = "an array of Python objects (a pickle), which could run code when read: refused; save it as text, {}.astype(str), or as numbers"


class Column(ABC):
    """An array whose first axis is the rows, read in parts.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        As it is stored, in any byte order; ``object`` or text where it holds that.
    unbounded : str
        Why reading it may take more memory than `scratch` says, where another library decodes it; empty where it cannot.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    unbounded = ""

    @abstractmethod
    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighboring rows into ``out``, C-contiguous and in native byte order."""

    def texts(self) -> Sequence[str]:
        """Read all rows as text."""
        raise BadSetting("it holds no text")

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Tell where rows lie on disk; see `Source.locate`."""
        return None

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if it is not what it was when it was opened; see `Source.check_unchanged`."""

    @property
    def chunk_rows(self) -> int | None:
        """Rows of a chunk, or None where single rows are as cheap as neighbors."""
        return None

    def scratch(self, rows: int) -> int:
        """Bytes that reading so many neighboring rows takes, besides ``out``."""
        return 0

    @property
    def nbytes(self) -> int:
        """Bytes that the column holds in memory."""
        return 0

    def close(self) -> None:
        """Let go of what is kept; it can be read again."""


class UnsupportedColumn(Column):
    """An array that is not to be read; why."""

    def __init__(self, why: str) -> None:
        self.why = why
        self.shape, self.dtype = (), np.dtype(np.void)

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Never read."""
        raise BadFile(f"it is {self.why}")


class Squeezed(Column):
    """A column of shape (n, 1), as one of shape (n,)."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self.shape, self.dtype, self.unbounded = column.shape[:1], column.dtype, column.unbounded

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighboring rows."""
        self._column.read(start, stop, out.reshape(-1, 1))

    def texts(self) -> Sequence[str]:
        """Read all rows as text."""
        return self._column.texts()

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return where rows lie on disk."""
        return self._column.locate(rows)

    def check_unchanged(self) -> None:
        """Look at the column."""
        self._column.check_unchanged()

    @property
    def chunk_rows(self) -> int | None:
        """Rows of a chunk."""
        return self._column.chunk_rows

    def scratch(self, rows: int) -> int:
        """Bytes that the column needs."""
        return self._column.scratch(rows)

    @property
    def nbytes(self) -> int:
        """Bytes that the column holds."""
        return self._column.nbytes

    def close(self) -> None:
        """Let go of what the column keeps."""
        self._column.close()
