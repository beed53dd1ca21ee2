"""Scratch of one thread: memory it works in, charged, reused from row to row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BitesizeError
from bitesize.memory.budget import Pool
from bitesize.memory.mapping import allocate

# Encoded files of one bite are read together into this much; larger files are read alone, out of the pool.
READ_BUFFER = 1 << 20


class NoRoom(BitesizeError):
    """A file does not fit what is left of the read buffer: it is read again, alone."""

    def __init__(self, nbytes: int) -> None:
        super().__init__(f"{nbytes} bytes do not fit the read buffer")
        self.nbytes = nbytes


class Reader:
    """Where a source puts encoded files; see `sources.base.EncodedInto`."""

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        self._view = memoryview(buffer)  # type: ignore[arg-type]
        self._used = 0
        self.files: dict[int, memoryview] = {}

    def put(self, i: int, nbytes: int) -> memoryview:
        """Give the next ``nbytes`` of the buffer to row ``i``."""
        if nbytes > len(self._view) - self._used:
            raise NoRoom(nbytes)
        view = self._view[self._used : self._used + nbytes]
        self._used += nbytes
        self.files[i] = view
        return view


class Transient:
    """What one row's decoding needs, taken from the pool in one request and kept while nobody waits for it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._charged = 0
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)

    def ensure(self, charge: int, size: int, what: str) -> NDArray[np.uint8]:
        """Give a buffer of at least ``size`` bytes, with ``charge`` >= ``size`` bytes charged.

        Raises
        ------
        DoesNotFit
            If the whole pool is smaller.
        """
        if charge > self._charged or size > len(self._buffer):
            self.release()  # nothing is held while waiting
            self._pool.request(charge, what)
            self._charged = charge
            self._buffer = allocate(size)
        return self._buffer

    def grow(self, charge: int) -> bool:
        """Charge more without waiting; False if that is not free now."""
        if charge <= self._charged:
            return True
        if self._pool.try_request(charge - self._charged):
            self._charged = charge
            return True
        return False

    def yield_if_wanted(self) -> None:
        """Give everything back if another thread waits for it."""
        if self._charged and self._pool.wanted:
            self.release()

    def release(self) -> None:
        """Give everything back."""
        if self._charged:
            self._buffer = np.empty(0, np.uint8)
            self._pool.give_back(self._charged)
            self._charged = 0


class Scratch:
    """All scratch of one thread.

    Parameters
    ----------
    fields
        Bytes for rows of fields that are cast on their way into the batch, by name.
    reads
        Whether files are decoded.
    kernel_values
        float32 values that the kernel needs for rows of fixed size.
    pool
        Where transient needs are served from.
    """

    def __init__(self, fields: dict[str, int], reads: bool, kernel_values: int, pool: Pool | None) -> None:
        self._fields = {name: allocate(nbytes) for name, nbytes in fields.items()}
        self._read = allocate(READ_BUFFER) if reads else None
        self.kernel = allocate(4 * kernel_values).view(np.float32) if kernel_values else np.empty(0, np.float32)
        self.transient = Transient(pool) if pool is not None else None

    def field(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Give an array of that shape and dtype, with whatever it held before."""
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return self._fields[name][:nbytes].view(dtype).reshape(shape)

    def reader(self) -> Reader:
        """Give the read buffer, emptied."""
        assert self._read is not None
        return Reader(self._read)

    def rest(self) -> None:
        """Give back what is transient, before a wait that may be long."""
        if self.transient is not None:
            self.transient.release()
