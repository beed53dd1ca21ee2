"""Kernel for mean, deviation and extremes of channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.jit import jit

# Moments of each channel, in this order.
COUNT, MEAN, SQUARES, LEAST, GREATEST, NOT_FINITE = range(6)


@jit
def moments(values: Any, out: Any) -> None:
    """Compute the moments of channels. Values that are not finite are counted, and left out of all other moments.

    Parameters
    ----------
    values
        (pixels, channels), any number type.
    out
        (channels, 6) float64, filled: count, mean, sum of squared distances from the mean, least, greatest, and number
        of values that are not finite. Computed in two passes, so that a small deviation around a large mean keeps its digits.
    """
    pixels, channels = values.shape
    for c in range(channels):
        count, total, least, greatest = 0, 0.0, np.inf, -np.inf
        origin = 0.0  # the first value: sums of distances from it keep the digits that sums of large values lose
        for i in range(pixels):
            x = np.float64(values[i, c])
            if np.isfinite(x):
                if not count:
                    origin = x
                count += 1
                total += x - origin
                least, greatest = min(least, x), max(greatest, x)
        mean, squares = origin + total / max(count, 1), 0.0
        for i in range(pixels):
            x = np.float64(values[i, c])
            if np.isfinite(x):
                squares += (x - mean) * (x - mean)
        out[c, COUNT], out[c, MEAN], out[c, SQUARES] = count, mean, squares
        out[c, LEAST], out[c, GREATEST], out[c, NOT_FINITE] = least, greatest, pixels - count


def moments_reference(values: NDArray[Any], out: NDArray[np.float64]) -> None:
    """Reference of `moments` in NumPy."""
    for c in range(values.shape[1]):
        x = values[:, c].astype(np.float64)
        good = x[np.isfinite(x)]
        mean = good.mean() if good.size else 0.0
        least, greatest = good.min(initial=np.inf), good.max(initial=-np.inf)
        out[c] = good.size, mean, np.square(good - mean).sum(), least, greatest, x.size - good.size


def none(channels: int) -> NDArray[np.float64]:
    """Return the moments of no values, into which `merge` adds others."""
    total = np.zeros((channels, 6))
    total[:, LEAST], total[:, GREATEST] = np.inf, -np.inf
    return total


def merge(total: NDArray[np.float64], more: NDArray[np.float64]) -> None:
    """Add the moments of other values to ``total`` (Chan, Golub and LeVeque 1979)."""
    count, added = total[:, COUNT], more[:, COUNT]
    both = np.maximum(count + added, 1)
    apart = more[:, MEAN] - total[:, MEAN]
    total[:, SQUARES] += more[:, SQUARES] + apart**2 * (count * added / both)
    total[:, MEAN] += np.where(added > 0, apart * (added / both), 0.0)
    total[:, COUNT] += added
    total[:, LEAST] = np.minimum(total[:, LEAST], more[:, LEAST])
    total[:, GREATEST] = np.maximum(total[:, GREATEST], more[:, GREATEST])
    total[:, NOT_FINITE] += more[:, NOT_FINITE]
