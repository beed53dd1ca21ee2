"""Rows that are packed after transforms: rendered as a loader renders them, all of one shape."""

from __future__ import annotations

from collections.abc import Iterator

from bitesize.memory.pool import Pool
from bitesize.order.keyed_random import Key
from bitesize.packing.pieces import Failure, Piece, good_stretches, spans
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.scratch import Scratch, scratch_nbytes
from bitesize.scan.rows import BiteMemory, bite_nbytes


class Rendering:
    """Renders rows.

    Parameters
    ----------
    pipeline
        Reads and renders rows.
    pool
        Memory for decoding, or None for rows of fixed size.
    """

    def __init__(self, pipeline: Pipeline, pool: Pool | None) -> None:
        self._pipeline = pipeline
        scratch = Scratch(pipeline.scratch_fields(pipeline.bite), pipeline.decodes, pipeline.kernel_values, pool)
        self._context = ReadContext(pipeline.source, scratch)
        self._memory = BiteMemory(pipeline.slot_fields, pipeline.bite)

    def pieces(self, start: int, stop: int) -> Iterator[Piece | Failure]:
        """Yield the rows from ``start`` to ``stop``, in order."""
        chunks = self._pipeline.source.chunks() if self._pipeline.source.reads_by_chunk else None
        for rows in spans(start, stop, self._pipeline.bite, None if chunks is None else chunks.starts):
            arrays = self._memory.arrays(len(rows))
            failed = self._pipeline.fill(rows, [()] * len(rows), Key(0, 0, 0), arrays, self._context)
            for part in good_stretches(len(rows), failed):
                if isinstance(part, int):
                    yield Failure(int(rows[part]), failed[part])
                else:
                    yield Piece(part.stop - part.start, {name: arrays[name][part] for name in self._pipeline.out})
        self._context.scratch.rest()

    def close(self) -> None:
        """Free the memory."""
        self._context.scratch.rest()
        self._memory.close()


def rendering_nbytes(pipeline: Pipeline) -> int:
    """Return the bytes of a `Rendering`, without decoding."""
    fields = pipeline.scratch_fields(pipeline.bite)
    nbytes = scratch_nbytes(fields, pipeline.decodes, pipeline.kernel_values) + bite_nbytes(
        pipeline.slot_fields, pipeline.bite
    )
    return nbytes + pipeline.source.scratch(pipeline.bite)
