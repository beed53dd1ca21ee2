"""Temporary memory for decoding one row, from one request, kept until another thread waits for it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.mapping import allocate
from bitesize.memory.pool import Pool


class Described(Protocol):
    """An object that can name its rows."""

    def describe(self, row: int) -> str:
        """Return a name of a row."""
        ...


class DecodeBuffer:
    """Memory for decoding one row. It is taken from the pool in one request, and kept until another thread waits for it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._charged = 0
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)

    @property
    def most(self) -> int:
        """Largest number of bytes that one row can get."""
        return self._pool.most

    @property
    def held(self) -> NDArray[np.uint8]:
        """The current buffer."""
        return self._buffer

    def has(self, charge: int, size: int) -> bool:
        """Return whether the current buffer has ``size`` bytes, with ``charge`` bytes charged."""
        return charge <= self._charged and size <= len(self._buffer)

    def ensure(self, charge: int, size: int, source: Described, row: int) -> NDArray[np.uint8]:
        """Return a buffer of at least ``size`` bytes, with ``charge`` >= ``size`` bytes charged for a row of ``source``.

        Raises
        ------
        DoesNotFit
            If ``charge`` is larger than the whole pool.
        """
        if not self.has(charge, size):
            self.release()  # a waiting thread must hold no bytes of the pool
            self._pool.request(charge, source.describe(row))
            self._charged = charge
            self._buffer = allocate(size)
        return self._buffer

    def yield_if_wanted(self) -> None:
        """Return all memory to the pool if another thread waits for it."""
        if self._charged and self._pool.wanted:
            self.release()

    def release(self) -> None:
        """Return all memory to the pool."""
        if self._charged:
            self._buffer = np.empty(0, np.uint8)
            self._pool.give_back(self._charged)
            self._charged = 0
