"""A keyed bijection of 0..n-1: a shuffle of any length that takes no memory.

An unbalanced Feistel network permutes 0..2^b-1, where 2^b is the smallest power of two that is at least n. A value of n or
more is encrypted again until it is below n (cycle walking; Black and Rogaway 2002, "Ciphers with arbitrary finite
domains"). Since 2^b < 2n, less than one further step is needed on average.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.warm import Job, is_warm
from bitesize.order.mix64 import mix64

# Name of the compiled code; and the length from which a shuffle is worth loading the compiler, if nothing else needs it.
FEISTEL, _WORTH_COMPILING = "feistel", 1 << 16


def rounds(n: int) -> int:
    """Return the number of rounds that a shuffle of n values needs.

    Four rounds make a pseudorandom permutation of a large domain (Luby and Rackoff 1988); 8 leave a margin. Small domains mix
    more slowly, since a round then has few random bits. With 16 rounds, 4,000 seeds show no uneven position for n from
    3 to 64.
    """
    return 8 if n > 1 << 16 else 16


def permute(n: int, round_keys: Sequence[int], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map positions of a shuffled sequence to row numbers.

    Parameters
    ----------
    n
        Length of the sequence, 1 to 2**63.
    round_keys
        64-bit integers that define the shuffle; `rounds` returns their number.
    positions
        Positions, each in 0..n-1, any shape.

    Returns
    -------
    ndarray of int64
        Row numbers in 0..n-1. Over all positions, each row number occurs exactly once.
    """
    compiled = permute_compiled if is_warm(FEISTEL) else permute_reference
    return compiled(n, round_keys, positions)


def permute_jobs(n: int) -> list[Job]:
    """Return the job that loads compiled code for a shuffle of ``n`` rows, if there are enough of them."""
    return [(FEISTEL, warm_up)] if n >= _WORTH_COMPILING else []


def warm_up() -> None:
    """Load the compiled code."""
    permute_compiled(2, [0] * 8, np.zeros(0, np.int64))


def permute_compiled(n: int, round_keys: Sequence[int], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute `permute` with compiled code, ten times as fast as NumPy."""
    from bitesize.kernels import feistel  # loads the compiler

    out = positions.astype(np.uint64)
    flat = out.reshape(-1)
    shift, left_mask, right_mask = _halves(n)
    feistel.permute(np.uint64(n), shift, left_mask, right_mask, np.array(round_keys, np.uint64), flat)
    return out.view(np.int64)


def permute_reference(n: int, round_keys: Sequence[int], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute `permute` in NumPy."""
    ceiling = np.uint64(n)
    shift, left_mask, right_mask = _halves(n)
    keys = [np.uint64(key) for key in round_keys]

    def encrypt(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Pass numbers through the rounds."""
        left, low = x >> shift, x & right_mask
        for i in range(0, len(keys), 2):
            left = left ^ (mix64(low ^ keys[i]) & left_mask)
            low = low ^ (mix64(left ^ keys[i + 1]) & right_mask)
        return (left << shift) | low

    out = encrypt(positions.astype(np.uint64))
    outside = np.flatnonzero(out >= ceiling)
    while outside.size:
        walked = encrypt(out[outside])
        out[outside] = walked
        outside = outside[walked >= ceiling]
    return out.astype(np.int64)


def _halves(n: int) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Return the bits of the right half of the network, and masks of the left and right halves."""
    bits = max(1, (n - 1).bit_length())
    right = bits // 2
    return np.uint64(right), np.uint64((1 << (bits - right)) - 1), np.uint64((1 << right) - 1)
