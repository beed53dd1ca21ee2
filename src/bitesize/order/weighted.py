"""Orders that sample rows at random, with replacement, in proportion to their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from bitesize.array_like import refuse_endless
from bitesize.errors import BadSetting
from bitesize.order.coordinates import PassNumber, PassPosition
from bitesize.order.keyed_random import uniform
from bitesize.order.variant import block_nbytes

# Used as the transform number, which is never negative for a transform, so that sampling has separate random numbers.
_SAMPLING = -1


class Weights:
    """Cumulative weights of rows, 8 bytes per row.

    Parameters
    ----------
    weights
        One number per row, shape (n,), finite and at least 0, not all 0.
    n
        Number of rows.
    """

    def __init__(self, weights: ArrayLike, n: int) -> None:
        refuse_endless(weights, "weights")
        numbers = np.asarray(weights, np.float64)
        if numbers.shape != (n,):
            raise BadSetting(f"weights must have one number per row, shape ({n},), not {numbers.shape}")
        with np.errstate(over="ignore"):
            self._sums = np.cumsum(numbers)
        if not np.isfinite(self._sums[-1]) or numbers.min() < 0 or self._sums[-1] <= 0:
            raise BadSetting("weights must be finite numbers of at least 0, and at least one must be above 0")
        self._last = int(np.flatnonzero(numbers)[-1])
        self.digest = xxhash.xxh3_128_hexdigest(np.ascontiguousarray(numbers).data)

    @property
    def nbytes(self) -> int:
        """Bytes of the cumulative weights."""
        return self._sums.nbytes

    def rows(self, seed: int, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a random row for each position, by inversion of the cumulative distribution."""
        return self.at(uniform(seed, epoch, positions, _SAMPLING, 1)[:, 0])

    def at(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rows at which the cumulative weight reaches the given shares (0 to 1) of the total weight."""
        # Rounding may move a share to the end; even then, rows of weight 0 must not be returned.
        reached = np.searchsorted(self._sums, shares * self._sums[-1], side="right")
        rows: NDArray[np.int64] = np.minimum(reached, self._last).astype(np.int64)
        return rows


@dataclass(frozen=True)
class Weighted:
    """Rows at random, with replacement, in proportion to their weights."""

    weights: Weights
    seed: int
    pass_length: int
    detail = "weights of all rows"

    def rows(self, number: PassNumber, start: PassPosition, stop: PassPosition) -> list[NDArray[np.int64]]:
        """Return the rows at some positions of a pass. Samples are independent: blocks would not help."""
        return [self.weights.rows(self.seed, number, np.arange(start, stop, dtype=np.int64))]

    def replacement(self, number: PassNumber, position: PassPosition, bits: int) -> int:
        """Return a row, sampled by weight."""
        return int(self.weights.at(np.array([bits * 2.0**-64]))[0])

    @property
    def nbytes(self) -> int:
        """Bytes of the weights, and of sampling as many rows as a block has."""
        return block_nbytes(self.pass_length) + self.weights.nbytes

    @property
    def digest(self) -> str:
        """Hash of the weights."""
        return self.weights.digest

    def settings(self) -> dict[str, Any]:
        """Return the hash of the weights."""
        return {"weights": self.digest}


def balanced(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights with which all classes are sampled equally often."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = (1.0 / counts)[classes]
    return weights
