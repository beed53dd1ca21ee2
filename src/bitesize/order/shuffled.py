"""Orders in which every row comes once in a pass: the natural order, and a shuffle of all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.order.coordinates import PassNumber, PassPosition
from bitesize.order.mix64 import keys
from bitesize.order.permutation import permute, rounds
from bitesize.order.variant import block_nbytes, rows_by_block


@dataclass(frozen=True)
class Sequential:
    """Rows in their natural order."""

    n: int
    nbytes = 0
    detail = ""
    digest = None

    def rows(self, number: PassNumber, start: PassPosition, stop: PassPosition) -> list[NDArray[np.int64]]:
        """Return the positions themselves."""
        return [np.arange(start, stop, dtype=np.int64)]

    def replacement(self, number: PassNumber, position: PassPosition, bits: int) -> int:
        """Return any row."""
        return bits % self.n

    def settings(self) -> dict[str, Any]:
        """Return no settings: the order has none."""
        return {}


@dataclass(frozen=True)
class Shuffled:
    """All rows in a random order, different in each pass. A pass may end before the last row."""

    n: int
    seed: int
    pass_length: int
    detail = "one block of the shuffle"
    digest = None

    def rows(self, number: PassNumber, start: PassPosition, stop: PassPosition) -> list[NDArray[np.int64]]:
        """Return the rows at some positions of a pass."""
        return rows_by_block(self, number, start, stop)

    def map_block(self, number: PassNumber, start: int, stop: int) -> NDArray[np.int64]:
        """Compute the rows at some positions of a pass."""
        return permute(self.n, keys((self.seed, number), rounds(self.n)), np.arange(start, stop, dtype=np.int64))

    def replacement(self, number: PassNumber, position: PassPosition, bits: int) -> int:
        """Return any row."""
        return bits % self.n

    @property
    def nbytes(self) -> int:
        """Bytes of a block."""
        return block_nbytes(self.pass_length)

    def settings(self) -> dict[str, Any]:
        """Return no settings: seed and number of rows are those of every order."""
        return {}
