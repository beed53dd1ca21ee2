"""Positions and counts of a lazy array in one pass, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.errors import BadSetting
from bitesize.lazy.axes import Axis, one_axis
from bitesize.lazy.nodes import Node, Reshaped
from bitesize.lazy.reduce import Blocks, Fresh


def position(node: Node, axis: int | None, keepdims: bool, least: bool, fresh: Fresh) -> Any:
    """Return where the least or the maximum is, the first of equal ones; NaN counts as NumPy counts it.

    Parameters
    ----------
    node
        The array.
    axis
        Axis to search along; None counts all values in C order.
    keepdims
        Whether the result keeps reduced axes with length 1.
    least
        The least, or the largest.
    fresh
        Function that allocates the result.
    """
    ndim = len(node.shape)
    if not ndim:  # NumPy treats the one value as an axis
        one_axis(0 if axis is None else axis, 1)
        index = position(Reshaped(node, (1,)), 0, False, least, fresh)
        return np.asarray(index) if keepdims else index
    if axis is None:
        size = int(np.prod(node.shape, dtype=object))
        index = position(Reshaped(node, (size,)), 0, False, least, fresh)
        return np.full((1,) * ndim, index) if keepdims else index
    axis = one_axis(axis, ndim)
    blocks = Blocks(node, axis, keepdims)
    search = np.argmin if least else np.argmax
    search(np.zeros(1, node.dtype))  # raises the errors of NumPy
    if not node.shape[axis]:
        raise BadSetting(f"attempt to get {search.__name__} of an empty sequence")
    best, places = fresh(blocks.shape, node.dtype), fresh(blocks.shape, np.dtype(np.intp))
    seen = np.zeros(blocks.shape, np.bool_)
    best[...] = np.zeros((), node.dtype)
    for where, tile, block in blocks.placed():
        own = search(block, axis=axis, keepdims=True)
        values = np.take_along_axis(block, own, axis)
        # NumPy compares the two; of equal values, the earlier one wins.
        better = search(np.stack([best[where], values]), axis=0).astype(np.bool_) | ~seen[where]
        places[where] = np.where(better, own + tile[axis].start, places[where])
        best[where] = np.where(better, values, best[where])
        seen[where] = True
    return blocks.finish(places, np.intp)


def count_nonzero(node: Node, axis: Axis, keepdims: bool, fresh: Fresh) -> Any:
    """Return the number of values that are true or nonempty text."""
    blocks = Blocks(node, axis, keepdims)
    counts = fresh(blocks.shape, np.dtype(np.intp))
    counts[...] = 0
    for where, block in blocks:
        counts[where] += np.count_nonzero(block, axis=blocks.axes, keepdims=True)
    return blocks.finish(counts, np.intp)
