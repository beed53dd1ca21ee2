"""Checking axes and other whole numbers in arguments, as NumPy does."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

Axis = int | Sequence[int] | None


def integer(value: Any) -> int:
    """Return a whole number; booleans are refused.

    Raises
    ------
    TypeError
        If the value is not an integer, as in NumPy.

    Examples
    --------
    >>> integer(3)
    3
    """
    if isinstance(value, bool | np.bool_):
        raise TypeError("an integer is required")
    return operator.index(value)


def one_axis(axis: Any, ndim: int) -> int:
    """Return an axis as a nonnegative number."""
    return normalize_axis_index(integer(axis), ndim)


def many_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """Return one or several unique axes as nonnegative numbers; None means all."""
    if axes is None:
        return tuple(range(ndim))
    if not ndim and not isinstance(axes, Sequence) and integer(axes) in (0, -1):
        return ()  # NumPy accepts these for arrays without axes
    listed = axes if isinstance(axes, Sequence) else (axes,)
    return tuple(normalize_axis_tuple([integer(axis) for axis in listed], ndim))
