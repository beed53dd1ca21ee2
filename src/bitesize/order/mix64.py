"""Vectorized hashing of 64-bit integers, for the shuffle and the random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"),
# with the constants of Stafford's variant 13.
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


def mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble each value: a bijection of 64-bit integers in which every bit depends on every bit."""
    x = x ^ (x >> _S30)
    x *= _M1
    x ^= x >> _S27
    x *= _M2
    x ^= x >> _S31
    return x


def keys(parts: Sequence[int], count: int) -> list[int]:
    """Derive ``count`` independent 64-bit keys from integers, such as (seed, epoch).

    NumPy's SeedSequence does the mixing, so neighboring seeds and epochs share nothing, and (1, 2) differs from
    (2, 1): adding seed and epoch would make seed 0 epoch 1 equal to seed 1 epoch 0.
    """
    words = [part & 0xFFFFFFFFFFFFFFFF for part in parts]
    return [int(key) for key in np.random.SeedSequence(words).generate_state(count, np.uint64)]
