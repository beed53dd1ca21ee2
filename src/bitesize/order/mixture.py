"""Rows of several sources in exact shares.

A mixture is one endless stream: a repeated pattern of sources, in which each source has exactly its share. Each turn of a
source yields its next row. Each pass over the rows of a source has a separate shuffle. An epoch is a section of the stream,
so every row of a source occurs once before any of its rows occurs again, for all shares.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.order.coordinates import PassNumber, PassPosition
from bitesize.order.mix64 import keys
from bitesize.order.permutation import permute, rounds
from bitesize.order.variant import block_nbytes, rows_by_block

# Least length of the pattern, so that neighbors in it are practically random; a multiple of the length that the shares need.
_PATTERN = 1000
# Shares are converted to fractions up to this denominator: 0.333 is 333 of 1,000, and 1 / 3 is one third.
_FINEST = 10_000


@dataclass(frozen=True)
class Mixture:
    """Numbers of rows and shares of several sources.

    Parameters
    ----------
    rows
        Rows of each source. The joined source has them one source after another.
    shares
        Share of each source in every epoch, above 0. Shares are divided by their sum.
    """

    rows: tuple[int, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rows or len(self.rows) != len(self.shares):
            raise BadSetting(f"{len(self.rows)} sources need {len(self.rows)} shares, not {len(self.shares)}")
        if not all(0 < share < math.inf for share in self.shares):
            raise BadSetting(f"shares must be numbers above 0, not {list(self.shares)}")
        if min(self.quotas) < 1:
            raise BadSetting(f"shares must be within 1 to {_FINEST:,} of each other, not {list(self.shares)}")

    @functools.cached_property
    def quotas(self) -> tuple[int, ...]:
        """Number of places of each source in the pattern."""
        whole = sum(Fraction(share) for share in self.shares)
        exact = [(Fraction(share) / whole).limit_denominator(_FINEST) for share in self.shares]
        length = math.lcm(*(share.denominator for share in exact))
        if length > _FINEST * 10 or sum(exact) != 1:  # odd numbers: the nearest of 10,000, the remainder to the largest
            counts = [round(Fraction(share) / whole * _FINEST) for share in self.shares]
            counts[counts.index(max(counts))] += _FINEST - sum(counts)
            return tuple(counts)
        times = -(-_PATTERN // length)
        return tuple(int(share * length * times) for share in exact)

    @property
    def nbytes(self) -> int:
        """Bytes of the pattern."""
        return 24 * sum(self.quotas)

    def stream(self, seed: int, shuffle: bool, start: int, stop: int) -> NDArray[np.int64]:
        """Return row numbers in the joined source at places ``start`` to ``stop - 1`` of the endless stream."""
        length = sum(self.quotas)
        which, turns = _pattern(self.quotas, seed, shuffle)
        places = np.arange(start, stop, dtype=np.int64)
        cycles, at = np.divmod(places, length)
        source = which[at]
        turn = cycles * np.array(self.quotas)[source] + turns[at]
        out = np.empty(len(places), np.int64)
        begin = 0
        for i, n in enumerate(self.rows):
            mine = source == i
            out[mine] = begin + _rows(n, seed, i, shuffle, turn[mine])
            begin += n
        return out

    def part(self, row: int) -> tuple[int, int]:
        """Return the range [start, stop) of the joined source that belongs to the same source as a row."""
        ends = np.cumsum(self.rows)
        i = int(np.searchsorted(ends, row, side="right"))
        return int(ends[i]) - self.rows[i], int(ends[i])


@dataclass(frozen=True)
class Mixed:
    """Rows of several sources in exact shares; a pass is a section of the endless stream."""

    mixture: Mixture
    seed: int
    shuffle: bool
    pass_length: int
    digest = None

    def rows(self, number: PassNumber, start: PassPosition, stop: PassPosition) -> list[NDArray[np.int64]]:
        """Return the rows at some positions of a pass."""
        return rows_by_block(self, number, start, stop)

    def map_block(self, number: PassNumber, start: int, stop: int) -> NDArray[np.int64]:
        """Compute the rows at some positions of a pass."""
        begin = number * self.pass_length
        return self.mixture.stream(self.seed, self.shuffle, begin + start, begin + stop)

    def replacement(self, number: PassNumber, position: PassPosition, bits: int) -> int:
        """Return any row of the source that the position takes its row from."""
        start, stop = self.mixture.part(int(self.rows(number, position, PassPosition(position + 1))[0][0]))
        return start + bits % (stop - start)

    @property
    def nbytes(self) -> int:
        """Bytes of a block and of the pattern."""
        return block_nbytes(self.pass_length) + self.mixture.nbytes

    @property
    def detail(self) -> str:
        """Description of `nbytes`."""
        return "one block of the shuffle" if self.shuffle else ""

    def settings(self) -> dict[str, Any]:
        """Return the rows of the sources, and their places in the pattern."""
        return {"mixture": [list(self.mixture.rows), list(self.mixture.quotas)]}


def _rows(n: int, seed: int, part: int, shuffle: bool, turns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of a source at each of its turns. Each pass over the source has a separate shuffle."""
    passes, positions = np.divmod(turns, n)
    if not shuffle:
        return positions
    out = np.empty(len(turns), np.int64)
    for number in np.unique(passes).tolist():
        chosen = passes == number
        out[chosen] = permute(n, keys((seed, number, part, 0x313C), rounds(n)), positions[chosen])
    return out


@functools.lru_cache(maxsize=4)
def _pattern(quotas: Sequence[int], seed: int, shuffle: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the source at each place of the pattern, and the number of that source's turn."""
    which = np.repeat(np.arange(len(quotas)), quotas)
    if shuffle:
        which = which[permute(len(which), keys((seed, 0x9A77E), rounds(len(which))), np.arange(len(which)))]
    else:  # spread evenly
        middles = np.concatenate([(np.arange(count) + 0.5) / count for count in quotas])
        which = which[np.argsort(middles, kind="stable")]
    turns = np.empty(len(which), np.int64)
    for i, count in enumerate(quotas):
        turns[which == i] = np.arange(count)
    for array in (which, turns):
        array.flags.writeable = False
    return which, turns
