"""Kernel of the shuffle: passes numbers through a Feistel network, many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.kernels.jit import jit

# Numbers that pass through a round together, so that the compiler uses vectors.
_LANES = 64
# Numbers that are encrypted again together while they are in the processor's cache.
_BLOCK = 2048


@jit
def _mix(x: Any) -> Any:
    """Scramble a 64-bit number like `order.mix64.mix64`."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def encrypt(which: Any, right: Any, left_mask: Any, right_mask: Any, keys: Any, out: Any) -> None:
    """Pass numbers of ``out`` through all rounds, in place.

    Parameters
    ----------
    which
        (k,) uint64: indices in ``out``.
    right
        uint64: bits of the right half.
    left_mask, right_mask
        uint64: masks of as many bits as the halves have.
    keys
        (rounds,) uint64, an even number.
    out
        (n,) uint64.
    """
    left, low = np.empty(_LANES, np.uint64), np.empty(_LANES, np.uint64)
    for start in range(0, which.shape[0], _LANES):
        count = min(_LANES, which.shape[0] - start)
        for i in range(count):
            x = out[which[start + i]]
            left[i], low[i] = x >> right, x & right_mask
        for k in range(0, keys.shape[0], 2):
            first, second = keys[k], keys[k + 1]
            for i in range(count):
                half = left[i] ^ (_mix(low[i] ^ first) & left_mask)
                left[i] = half
                low[i] ^= _mix(half ^ second) & right_mask
        for i in range(count):
            out[which[start + i]] = (left[i] << right) | low[i]


@jit
def permute(ceiling: Any, right: Any, left_mask: Any, right_mask: Any, keys: Any, out: Any) -> None:
    """Encrypt every number of ``out`` until it is below ``ceiling``; see `order.permutation.permute_reference`.

    For all other parameters see `encrypt`.
    """
    which = np.empty(_BLOCK, np.uint64)
    for start in range(0, out.shape[0], _BLOCK):
        block = out[start : start + _BLOCK]
        count = block.shape[0]
        for i in range(count):
            which[i] = i
        while count:
            encrypt(which[:count], right, left_mask, right_mask, keys, block)
            outside = 0
            for i in range(count):
                number = which[i]
                which[outside] = number
                outside += int(block[number] >= ceiling)  # without a branch, which no processor could predict
            count = outside
