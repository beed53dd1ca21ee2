"""Stored pixels of encoded images, without transforms, one image at a time, decoded into memory of a pool."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import decode, decode_nbytes, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.decode.info import check_pixels
from bitesize.decode.reduced import log_losses
from bitesize.errors import BadFile, BadRows
from bitesize.memory.decode_buffer import DecodeBuffer
from bitesize.memory.mapping import aligned
from bitesize.memory.pool import Pool
from bitesize.sources.row_source import RowSource
from bitesize.spec import Encoded, Field


class StoredPixels:
    """Reads and decodes images of a source without transforms. Used by one thread.

    Parameters
    ----------
    source
        A source whose primary field is an encoded image.
    pool
        Memory for files and pixels.
    """

    def __init__(self, source: RowSource, pool: Pool) -> None:
        encoded = source.spec[source.primary]
        assert isinstance(encoded, Encoded)
        self._source, self._encoded, self._buffer = source, encoded, DecodeBuffer(pool)

    def read(self, row: int) -> NDArray[Any]:
        """Return the pixels of one row, shape (pixels, channels); valid until the next call.

        Raises
        ------
        BitesizeError
            If the row cannot be read or decoded, or needs more memory than the pool can have.
        """
        data = self._read_file(row)
        mode = self._encoded.mode
        try:
            info = read_info(data)
            check_pixels(info, mode, self._encoded.pixels)
            log_losses(self._source, row, info, mode)
            before = aligned(len(data))
            charge = before + decode_nbytes(info, mode, 8, len(data))
            size = before + pixels_nbytes(info, mode, 8)
            held = self._buffer.held
            buffer = self._buffer.ensure(charge, size, self._source, row)
            if buffer is not held:  # it has grown: the file went with the smaller one
                data = self._read_file(row)
            return decode(data, info, mode, 8, buffer[before:]).reshape(-1, self._encoded.channels)
        except BadFile as error:
            raise type(error)(f"{self._source.describe(row)}: {error}") from error

    def yield_if_wanted(self) -> None:
        """Return the memory to the pool if another thread waits for it."""
        self._buffer.yield_if_wanted()

    def close(self) -> None:
        """Return the memory to the pool. The next `read` takes it again."""
        self._buffer.release()

    def _read_file(self, row: int) -> memoryview:
        file = _File(self._source, row, self._buffer)
        into: dict[str, Any] = {
            name: np.empty((1, *field.shape), field.dtype) if isinstance(field, Field) else _Unused()
            for name, field in self._source.spec.items()
            if name != self._source.primary
        }
        try:
            self._source.read(np.array([row], np.int64), into | {self._source.primary: file})
        except BadRows as error:
            raise next(iter(error.causes.values())) from None
        return file.data


class _File:
    """Receives one file in the buffer of the thread."""

    def __init__(self, source: RowSource, row: int, buffer: DecodeBuffer) -> None:
        self._source, self._row, self._buffer = source, row, buffer
        self.data = memoryview(b"")

    def put(self, i: int, nbytes: int) -> memoryview:
        """Return the buffer of the thread."""
        self.data = memoryview(self._buffer.ensure(nbytes, nbytes, self._source, self._row)[:nbytes])  # type: ignore[arg-type]
        return self.data


class _Unused:
    """Receives the bytes of a second image, whose pixels are not used."""

    def put(self, i: int, nbytes: int) -> memoryview:
        """Return a buffer."""
        return memoryview(bytearray(nbytes))
