"""A source whose chunks are cached in memory, for orders with a window: the bytes that this takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching
from bitesize.engine.window.schedule import resident_rows
from bitesize.errors import BadSetting
from bitesize.memory.mapping import aligned
from bitesize.order.coordinates import ChunkNumber
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import ChunkStarts
from bitesize.spec import Encoded, Field

_PAGE = 4096
# Number of chunks that are processed together, small enough to need little memory.
_MANY = 65_536


class CachedSource(SourceWrapper):
    """A source from which a `ChunkCache` loads chunks, and the bytes that chunks and windows take in memory.

    Parameters
    ----------
    base
        Source of the rows.
    chunks
        Starts of the chunks of ``base``.
    """

    holds_chunks = True

    def __init__(self, base: Source, chunks: ChunkStarts) -> None:
        super().__init__(base)
        self.reads_files, self.mixture = True, None
        self.chunk_starts = chunks
        if chunks.nbytes is None and any(isinstance(field, Encoded) for field in self.spec.values()):
            raise BadSetting(f"{base!r} does not report the bytes of its chunks, so no memory can be reserved for a window")
        self._largest, self._whole, self._densest = 0, 0, 0.0
        for start in range(0, len(chunks.starts) - 1, _MANY):
            rows = np.diff(chunks.starts[start : start + _MANY + 1])
            nbytes = self._nbytes(rows, 0 if chunks.nbytes is None else chunks.nbytes[start : start + _MANY])
            self._largest = max(self._largest, int(rows.max()))
            self._whole += int(nbytes.sum())
            self._densest = max(self._densest, float((nbytes / rows).max()))

    def locate(self, rows: NDArray[np.int64]) -> None:
        """Return None: only rows in memory are located, by a `ChunkCache`."""

    def scratch(self, rows: int) -> int:
        """Return the bytes that reading a chunk takes, which are more than those for a few rows."""
        return self.base.scratch(max(rows, self._largest))

    @property
    def nbytes(self) -> int:
        """Bytes of the base and of the sizes of its chunks."""
        return self.base.nbytes + (0 if self.chunk_starts.nbytes is None else self.chunk_starts.nbytes.nbytes)

    def chunk_nbytes(self, number: ChunkNumber) -> int:
        """Return the bytes of a chunk in memory."""
        starts, nbytes = self.chunk_starts.starts, self.chunk_starts.nbytes
        encoded = 0 if nbytes is None else int(nbytes[number])
        return int(self._nbytes(starts[number + 1 : number + 2] - starts[number], encoded)[0])

    def _nbytes(self, rows: NDArray[np.int64], encoded: NDArray[np.int64] | int) -> NDArray[np.int64]:
        total = np.full(len(rows), aligned(1), np.int64) + encoded
        for field in self.spec.values():
            if isinstance(field, Field):
                total += -(-rows * field.nbytes // 64) * 64
        return -(-total // _PAGE) * _PAGE

    def window_nbytes(self, batching: Batching, *, all_streams: bool = False) -> int:
        """Return an upper bound for the bytes of all chunks that are in memory at one time."""
        return min(int(resident_rows(batching, all_streams) * self._densest) + 1, self._whole)
