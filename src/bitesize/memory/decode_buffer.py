"""Memory that one row needs for a moment: asked for in one request, kept while nobody waits for it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.budget import Pool
from bitesize.memory.mapping import allocate


class Described(Protocol):
    """Whatever can name its rows."""

    def describe(self, row: int) -> str:
        """Name a row."""
        ...


class DecodeBuffer:
    """What one row's decoding needs, taken from the pool in one request and kept while nobody waits for it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._charged = 0
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)

    @property
    def most(self) -> int:
        """The most that one row can be given, in bytes."""
        return self._pool.most

    @property
    def held(self) -> NDArray[np.uint8]:
        """The buffer that is held now."""
        return self._buffer

    def ensure(self, charge: int, size: int, source: Described, row: int) -> NDArray[np.uint8]:
        """Give a buffer of at least ``size`` bytes, with ``charge`` >= ``size`` bytes charged for a row of ``source``.

        Raises
        ------
        DoesNotFit
            If the whole pool is smaller.
        """
        if charge > self._charged or size > len(self._buffer):
            self.release()  # nothing is held while waiting
            self._pool.request(charge, source.describe(row))
            self._charged = charge
            self._buffer = allocate(size)
        return self._buffer

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
