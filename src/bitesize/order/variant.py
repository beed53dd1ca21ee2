"""What the variants of an order share: one Protocol, and the blocks of positions that most of them map at once."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.order.coordinates import PassNumber, PassPosition

# Positions that are mapped at once and cached: large enough that NumPy's cost per call is negligible (6 M rows/s here
# against 0.04 M in blocks of 64), and small enough (512 KiB) that the memory is negligible.
BLOCK = 65_536


class Variant(Protocol):
    """The order of rows in passes: a pure function of the number of a pass and positions within the pass."""

    def rows(self, number: PassNumber, start: PassPosition, stop: PassPosition) -> Sequence[NDArray[np.int64]]:
        """Return the rows at positions ``start`` to ``stop - 1`` of pass ``number``, in pieces that follow one another."""

    def replacement(self, number: PassNumber, position: PassPosition, bits: int) -> int:
        """Return another row for a position of a pass, from 64 random bits. It is sampled as the order samples."""

    @property
    def nbytes(self) -> int:
        """Bytes that mapping positions takes."""

    @property
    def detail(self) -> str:
        """Description of `nbytes`; "" if there is nothing to describe."""

    @property
    def digest(self) -> str | None:
        """Hash of the arrays that define the variant; None if it has none."""

    def settings(self) -> dict[str, Any]:
        """Return the settings that only this variant has, as JSON values."""


class Blockwise(Hashable, Protocol):
    """A variant that maps blocks of positions. Equal variants share their cached blocks."""

    @property
    def pass_length(self) -> int:
        """Number of rows in a pass."""

    def map_block(self, number: PassNumber, start: int, stop: int) -> NDArray[np.int64]:
        """Compute the rows at positions ``start`` to ``stop - 1`` of a pass."""


def rows_by_block(
    variant: Blockwise, number: PassNumber, start: PassPosition, stop: PassPosition
) -> list[NDArray[np.int64]]:
    """Return the rows at positions ``start`` to ``stop - 1`` of a pass, a piece for each block. The last few blocks are cached."""
    return [
        _block(variant, number, block)[max(0, start - block * BLOCK) : stop - block * BLOCK]
        for block in range(start // BLOCK, -(-stop // BLOCK))
    ]


def block_nbytes(pass_length: int) -> int:
    """Return the bytes of a block and of the temporary arrays for computing it."""
    return min(pass_length, BLOCK) * 8 * 8


@functools.lru_cache(maxsize=4)
def _block(variant: Blockwise, number: PassNumber, block: int) -> NDArray[np.int64]:
    rows = variant.map_block(number, block * BLOCK, min(variant.pass_length, (block + 1) * BLOCK))
    rows.flags.writeable = False
    return rows
