"""Scratch of one thread: its charged working memory, which is reused from row to row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.info import ImageInfo
from bitesize.memory.decode_buffer import DecodeBuffer
from bitesize.memory.mapping import allocate
from bitesize.memory.pool import Pool
from bitesize.pipeline.clock import Clock
from bitesize.sources.sinks import Arena
from bitesize.spec import Field

# Gets row, header, decoding scale in eighths, pixels (height, width, channels) and the encoded files of all fields.
Keep = Callable[[int, ImageInfo, int, NDArray[Any], Mapping[str, memoryview]], None]
# Size of the buffer into which the encoded files of one bite are read together. Larger files are read alone, into the pool.
READ_BUFFER = 1 << 20


class Scratch:
    """All scratch of one thread.

    Parameters
    ----------
    fields
        Bytes for rows of fields that are cast before they are stored in the batch, by name.
    reads
        Whether files are decoded.
    kernel_values
        Number of float32 values that the kernel needs for rows of fixed size.
    pool
        Pool for temporary memory.
    """

    def __init__(self, fields: Mapping[str, int], reads: bool, kernel_values: int, pool: Pool | None) -> None:
        self._fields = {name: allocate(nbytes) for name, nbytes in fields.items()}
        self._read = allocate(READ_BUFFER) if reads else None
        self.kernel = allocate(4 * kernel_values).view(np.float32) if kernel_values else np.empty(0, np.float32)
        self.decode_buffer = DecodeBuffer(pool) if pool is not None else None
        self.clock = Clock()
        self.doing: tuple[str, int | None] = ("starting", None)  # for messages: a stage, and a row
        self.keep: Keep | None = None  # gets the pixels of each image that is decoded at the right scale
        self.shrunk: set[int] = set()  # rows that were decoded at a smaller scale, because the pool is too small

    def field(self, name: str, field: Field, rows: int) -> NDArray[Any]:
        """Return an uninitialized array for ``rows`` rows of a field."""
        return self._fields[name][: rows * field.nbytes].view(field.dtype).reshape(rows, *field.shape)

    def arena(self) -> Arena:
        """Return the read buffer, empty."""
        assert self._read is not None
        return Arena(self._read)

    def rest(self) -> None:
        """Return temporary memory to the pool, before a wait that may be long."""
        if self.decode_buffer is not None:
            self.decode_buffer.release()


def scratch_nbytes(fields: Mapping[str, int], reads: bool, kernel_values: int) -> int:
    """Return the bytes of one `Scratch`, without temporary memory."""
    return sum(fields.values()) + 4 * kernel_values + (READ_BUFFER if reads else 0)
