"""Random numbers for augmentation, keyed by (seed, epoch, position, transform).

Nothing depends on threads, batch size or rank, and a row that is drawn twice in an epoch is augmented differently.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.order.mix64 import keys, mix64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: neighbouring counters start far apart (SplitMix64)


def draw(seed: int, epoch: int, positions: NDArray[np.int64], transform: int, count: int) -> NDArray[np.float64]:
    """Draw ``count`` numbers for each position.

    Parameters
    ----------
    seed, epoch
        The run and the epoch.
    positions
        Positions in the global order, shape (rows,).
    transform
        Number of the transform in its pipeline.
    count
        Numbers a row.

    Returns
    -------
    ndarray of float64, shape (rows, count)
        Uniform in [0, 1), with 53 random bits.
    """
    row_key, value_key = keys((seed, epoch, transform, 0xC4A2CE), 2)
    rows = mix64(positions.astype(np.uint64) * _GOLDEN + np.uint64(row_key))
    columns = mix64(np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN + np.uint64(value_key))
    bits = mix64(rows[:, None] ^ columns) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53
