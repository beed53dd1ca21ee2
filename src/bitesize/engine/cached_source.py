"""A source of which an order with a window has chunks in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching
from bitesize.engine.prefetch_schedule import resident_rows
from bitesize.errors import BadSetting
from bitesize.memory.mapping import aligned
from bitesize.sources.base import Source
from bitesize.sources.rows import ChunkStarts, Into, Located
from bitesize.sources.wrapper import SourceWrapper
from bitesize.spec import Encoded, Field

if TYPE_CHECKING:
    from bitesize.engine.window_cache import ChunkCache

_PAGE = 4096
# Chunks that are looked at together, so that looking takes no memory.
_MANY = 65_536


class CachedSource(SourceWrapper):
    """Rows are copied from chunks that are held in memory, and read from the source only where they are not.

    Parameters
    ----------
    base
        Where rows come from.
    chunks
        Which rows it reads at once.
    """

    holds_chunks = True

    def __init__(self, base: Source, chunks: ChunkStarts) -> None:
        super().__init__(base)
        self.reads_files, self.mixture = True, None
        self.runs_held = chunks
        self._thread = threading.local()
        if chunks.nbytes is None and any(isinstance(what, Encoded) for what in self.spec.values()):
            raise BadSetting(f"{base!r} does not tell the bytes of its chunks, so no memory can be set aside for a window")
        self._largest, self._whole, self._densest = 0, 0, 0.0
        for start in range(0, len(chunks.starts) - 1, _MANY):
            rows = np.diff(chunks.starts[start : start + _MANY + 1])
            nbytes = self._nbytes(rows, 0 if chunks.nbytes is None else chunks.nbytes[start : start + _MANY])
            self._largest = max(self._largest, int(rows.max()))
            self._whole += int(nbytes.sum())
            self._densest = max(self._densest, float((nbytes / rows).max()))

    def using(self, held: ChunkCache | None) -> None:
        """Let this thread read from what is held for the batch that it works on."""
        self._thread.held = held

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy rows of chunks that are in memory; read others."""
        held = self._held
        if held is None:
            self.base.read(rows, into)
        else:
            held.read(rows, into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Tell where rows are in memory, if all of them are."""
        held = self._held
        return None if held is None else held.locate(rows)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy all fields but ``x`` of rows that are in memory."""
        self.read(rows, into)

    @property
    def _held(self) -> ChunkCache | None:
        return getattr(self._thread, "held", None)

    def scratch(self, rows: int) -> int:
        """Tell what reading a chunk takes, which is more than a few rows do."""
        return self.base.scratch(max(rows, self._largest))

    @property
    def nbytes(self) -> int:
        """Bytes of the base, and of what its chunks need."""
        return self.base.nbytes + (0 if self.runs_held.nbytes is None else self.runs_held.nbytes.nbytes)

    def chunk_nbytes(self, number: int) -> int:
        """Tell the bytes that a chunk takes in memory."""
        starts, nbytes = self.runs_held
        encoded = 0 if nbytes is None else int(nbytes[number])
        return int(self._nbytes(starts[number + 1 : number + 2] - starts[number], encoded)[0])

    def _nbytes(self, rows: NDArray[np.int64], encoded: NDArray[np.int64] | int) -> NDArray[np.int64]:
        total = np.full(len(rows), aligned(1), np.int64) + encoded
        for what in self.spec.values():
            if isinstance(what, Field):
                total += -(-rows * what.nbytes // 64) * 64
        return -(-total // _PAGE) * _PAGE

    def window_nbytes(self, steps: Batching, *, all_streams: bool = False) -> int:
        """Bound the bytes of all chunks that are in memory at a time."""
        return min(int(resident_rows(steps, all_streams) * self._densest) + 1, self._whole)
