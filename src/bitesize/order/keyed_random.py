"""Random numbers for augmentation, keyed by (seed, epoch, position, transform).

The numbers do not depend on threads, batch size or rank. A row that occurs twice in an epoch is augmented differently each time.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.order.mix64 import keys, mix64

# Shares are computed for a block of pairs and cached: a generator for each pair would cost more than the mixing.
_BLOCK = 4096
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: neighboring counters start far apart (SplitMix64)


class Key(NamedTuple):
    """Key of the random numbers of some rows: seed, epoch, and position of the first row."""

    seed: int
    epoch: int
    position: int


def uniform(seed: int, epoch: int, positions: NDArray[np.int64], transform: int, count: int) -> NDArray[np.float64]:
    """Return ``count`` uniform random numbers for each position.

    Parameters
    ----------
    seed, epoch
        Seed of the run, and epoch.
    positions
        Positions in the global order, shape (rows,).
    transform
        Number of the transform in its pipeline.
    count
        Number of values per row.

    Returns
    -------
    ndarray of float64, shape (rows, count)
        Uniform in [0, 1), with 53 random bits.
    """
    row_key, columns = _keys_of_values(seed, epoch, transform, count)
    rows = mix64(positions.astype(np.uint64) * _GOLDEN + row_key)
    bits = mix64(rows[:, None] ^ columns) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


@functools.lru_cache(maxsize=64)
def _keys_of_values(seed: int, epoch: int, transform: int, count: int) -> tuple[np.uint64, NDArray[np.uint64]]:
    """Compute the keys that all rows of an epoch share."""
    row_key, value_key = keys((seed, epoch, transform, 0xC4A2CE), 2)
    return np.uint64(row_key), mix64(np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN + np.uint64(value_key))


def generator(seed: int, epoch: int, position: int, transform: int) -> np.random.Generator:
    """Return a separate random generator for one row and one transform."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([*map(_word, (seed, epoch, position, transform)), 0x6E4]))
    )


def beta(seed: int, epoch: int, pairs: NDArray[np.int64], transform: int, alpha: float) -> NDArray[np.float64]:
    """Return a random number from the Beta(``alpha``, ``alpha``) distribution for each pair.

    Parameters
    ----------
    seed, epoch, transform
        As in `uniform`.
    pairs
        Numbers of the pairs in the epoch, shape (n,).
    alpha
        Above 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        Within 0 to 1.
    """
    blocks = pairs // _BLOCK
    shares = np.empty(len(pairs))
    for block in np.unique(blocks).tolist():
        chosen = blocks == block
        shares[chosen] = _beta_block(seed, epoch, transform, alpha, block)[pairs[chosen] % _BLOCK]
    return shares


@functools.lru_cache(maxsize=8)
def _beta_block(seed: int, epoch: int, transform: int, alpha: float, block: int) -> NDArray[np.float64]:
    words = [*map(_word, (seed, epoch, block, transform)), 0xBE7A]
    return np.random.default_rng(np.random.SeedSequence(words)).beta(alpha, alpha, _BLOCK)


def _word(value: int) -> int:
    return value & 0xFFFFFFFFFFFFFFFF
