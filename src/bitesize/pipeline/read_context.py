"""The reader of rows, and the working memory of the thread that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.pipeline.scratch import Scratch
from bitesize.sources.protocol import Into, Located


class RowReader(Protocol):
    """Reads rows by number: a `Source`, or a cache of its chunks in memory. See `Source` for the methods."""

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields of rows."""

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the location of the primary field of rows, or None if only `read` can read it."""

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except the primary one, for rows that were located."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """Reader of the rows of a bite, and working memory of the thread that reads them.

    Attributes
    ----------
    reader : RowReader
        The source itself; for an order with a window, the cache of the chunks that the batches need.
    scratch : Scratch
        Working memory of the thread.
    """

    reader: RowReader
    scratch: Scratch
