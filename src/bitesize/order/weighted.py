"""Weighted sampling with replacement: rows come as often as their weights say."""

from __future__ import annotations

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from bitesize.array_like import refuse_endless
from bitesize.errors import BadSetting
from bitesize.order.keyed_random import draw

# Stands in the place of a transform's number, which is never negative: sampling has random numbers of its own.
_SAMPLING = -1


class Weights:
    """What each row weighs, summed up: 8 bytes a row.

    Parameters
    ----------
    weights
        A number for each row, shape (n,), finite and at least 0, not all 0.
    n
        Number of rows.
    """

    def __init__(self, weights: ArrayLike, n: int) -> None:
        refuse_endless(weights, "weights")
        each = np.asarray(weights, np.float64)
        if each.shape != (n,):
            raise BadSetting(f"weights must be one number a row, of shape ({n},), not {each.shape}")
        with np.errstate(over="ignore"):
            self._sums = np.cumsum(each)
        if not np.isfinite(self._sums[-1]) or each.min() < 0 or self._sums[-1] <= 0:
            raise BadSetting("weights must be finite numbers of at least 0, of which one is above 0")
        self._last = int(np.flatnonzero(each)[-1])
        self.digest = xxhash.xxh3_128_hexdigest(np.ascontiguousarray(each).data)

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self._sums.nbytes

    def rows(self, seed: int, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw a row for each position, by inversion of the cumulative distribution."""
        return self.at(draw(seed, epoch, positions, _SAMPLING, 1)[:, 0])

    def at(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """Tell the rows at which so much of the whole weight, 0 to 1, lies behind."""
        # Rounding may carry a share to the very end; rows of weight 0 must not come even then.
        found = np.searchsorted(self._sums, shares * self._sums[-1], side="right")
        rows: NDArray[np.int64] = np.minimum(found, self._last).astype(np.int64)
        return rows


def balanced(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh rows so that each class is drawn as often as any other."""
    _, where, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = (1.0 / counts)[where]
    return weights
