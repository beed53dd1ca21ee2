"""Rows that are packed unchanged: encoded files byte for byte, arrays and labels unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.packing.pieces import Failure, Piece, good_stretches, spans
from bitesize.packing.reading import LargeRows, RowReader, Stored
from bitesize.sources.base import Source
from bitesize.sources.sinks import ArenaFull


class Copying:
    """Copies rows.

    Parameters
    ----------
    source
        Source of the rows.
    reader
        Reader of the thread.
    large
        Memory for large rows.
    chunks
        Starts of rows that are stored together, or None.
    """

    def __init__(self, source: Source, reader: RowReader, large: LargeRows, chunks: NDArray[np.int64] | None) -> None:
        self._source, self._reader, self._large, self._chunks = source, reader, large, chunks

    def pieces(self, start: int, stop: int) -> Iterator[Piece | Failure]:
        """Yield the rows from ``start`` to ``stop``, in order."""
        rows = np.empty(0, np.int64)
        for span in spans(start, stop, self._reader.rows, self._chunks):
            rows = span
            while len(rows):
                stored = self._reader.read(rows)
                # Rows that no longer fit the buffer are read again, after those before them were written.
                full = min((i for i, error in stored.failed.items() if isinstance(error, ArenaFull)), default=len(rows))
                yield from self._upto(full, rows, stored)
                rows = rows[full:]
                if full == 0:
                    yield from self._alone(int(rows[0]))
                    rows = rows[1:]

    def _upto(self, count: int, rows: NDArray[np.int64], stored: Stored) -> Iterator[Piece | Failure]:
        bad = {i: error for i, error in stored.failed.items() if i < count}
        for part in good_stretches(count, bad):
            if isinstance(part, int):
                yield Failure(int(rows[part]), bad[part])
                continue
            files: dict[str, Any] = {
                name: [of[i] for i in range(part.start, part.stop)] for name, of in stored.files.items()
            }
            yield Piece(part.stop - part.start, files | {name: array[part] for name, array in stored.arrays.items()})

    def _alone(self, row: int) -> Iterator[Piece | Failure]:
        with self._large.row(self._reader, self._source, row) as stored:
            yield from self._upto(1, np.array([row], np.int64), stored)

    def close(self) -> None:
        """Free the memory."""
        self._reader.close()
