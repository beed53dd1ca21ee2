"""Kernels for pairs of rows: blend them, or exchange a part, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.jit import jit


@jit
def blend(first: Any, second: Any, share: float, rounds: bool) -> None:
    """Replace ``first`` by the mean of both rows with weights ``share`` and ``1 - share``, and ``second`` with swapped weights.

    Parameters
    ----------
    first, second
        One-dimensional, of one number type.
    share
        Weight from 0 to 1.
    rounds
        Whether to round (for integers).
    """
    own, other = np.float32(share), np.float32(1.0 - share)
    half = np.float32(0.5 if rounds else 0.0)
    for i in range(first.shape[0]):
        a, b = np.float32(first[i]), np.float32(second[i])
        mixed, mirrored = own * a + other * b + half, own * b + other * a + half
        first[i] = np.floor(mixed) if rounds else mixed
        second[i] = np.floor(mirrored) if rounds else mirrored


def blend_reference(first: NDArray[Any], second: NDArray[Any], share: float, rounds: bool) -> None:
    """Reference of `blend` in NumPy, in float64."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    mixed, mirrored = share * a + (1 - share) * b, share * b + (1 - share) * a
    first[...] = np.floor(mixed + 0.5) if rounds else mixed
    second[...] = np.floor(mirrored + 0.5) if rounds else mirrored


@jit
def exchange(first: Any, second: Any) -> None:
    """Swap the values of two arrays of shape (height, width, channels), any strides."""
    for y in range(first.shape[0]):
        for x in range(first.shape[1]):
            for c in range(first.shape[2]):
                kept = first[y, x, c]
                first[y, x, c] = second[y, x, c]
                second[y, x, c] = kept


def exchange_reference(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Reference of `exchange` in NumPy."""
    kept = first.copy()
    first[...] = second
    second[...] = kept
