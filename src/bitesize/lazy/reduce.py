"""Sums, means and extremes of a lazy array in one pass, block by block."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import DTypeLike, NDArray

from bitesize.errors import BadSetting
from bitesize.lazy.nodes import Node
from bitesize.lazy.select import part_of, tiles, whole

# Bytes of one block in float64: what the cache of a core holds, or, where the result is large, so much that merging it is
# worth it. A few such arrays are held at a time.
BLOCK, LARGE_BLOCK = 1 << 20, 16 << 20

Axis = int | Sequence[int] | None
Fresh = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]


class _Blocks:
    """The blocks of an array, and where the reduction of each belongs."""

    def __init__(self, node: Node, axis: Axis, keepdims: bool) -> None:
        self.node, self._keepdims = node, keepdims
        self.axes = tuple(range(len(node.shape))) if axis is None else tuple(normalize_axis_tuple(axis, len(node.shape)))
        self.shape = tuple(1 if i in self.axes else n for i, n in enumerate(node.shape))  # of the result, axes kept
        self.count = math.prod(node.shape[i] for i in self.axes)  # values that each result is made of

    def __iter__(self) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
        """Give (where the block's result belongs, the block)."""
        everything = whole(self.node.shape)
        nbytes = min(max(BLOCK, 16 * 8 * math.prod(self.shape)), LARGE_BLOCK)
        for tile in tiles(self.node.shape, max(8, self.node.dtype.itemsize), nbytes) if self.node.shape else [()]:
            block = np.empty(tuple(cut.stop - cut.start for cut in tile), self.node.dtype)
            self.node.read(part_of(everything, tile), block)
            yield tuple(slice(0, 1) if i in self.axes else cut for i, cut in enumerate(tile)), block

    def finish(self, result: NDArray[Any], dtype: DTypeLike) -> Any:
        """Drop the axes, cast, and give a scalar where none is left, as NumPy does."""
        result = result.astype(dtype, copy=False)
        return result if self._keepdims else result.reshape([n for i, n in enumerate(self.shape) if i not in self.axes])[()]


def total(node: Node, axis: Axis, dtype: DTypeLike | None, keepdims: bool, fresh: Fresh) -> Any:
    """Sum; floats are summed in float64 at least."""
    blocks = _Blocks(node, axis, keepdims)
    wanted = np.sum(np.empty(0, node.dtype), dtype=dtype).dtype
    within = np.result_type(wanted, np.float64) if wanted.kind in "fc" else wanted
    sums = fresh(blocks.shape, within)
    sums[...] = 0
    for where, block in blocks:
        sums[where] += block.sum(axis=blocks.axes, keepdims=True, dtype=within)
    return blocks.finish(sums, wanted)


def extreme(node: Node, axis: Axis, keepdims: bool, least: bool, fresh: Fresh) -> Any:
    """Find the least or the greatest value; NaN if there is one, as NumPy does."""
    blocks = _Blocks(node, axis, keepdims)
    if not blocks.count:
        raise BadSetting(f"there is no {'least' if least else 'greatest'} value of an axis without entries")
    choose = np.minimum if least else np.maximum
    found, seen = fresh(blocks.shape, node.dtype), np.zeros(blocks.shape, np.bool_)
    for where, block in blocks:
        best = choose.reduce(block, axis=blocks.axes, keepdims=True)
        found[where] = np.where(seen[where], choose(found[where], best), best)
        seen[where] = True
    return blocks.finish(found, node.dtype)


def decide(node: Node, axis: Axis, keepdims: bool, every: bool, fresh: Fresh) -> Any:
    """Tell whether any value is true, or every one."""
    blocks = _Blocks(node, axis, keepdims)
    answers = fresh(blocks.shape, np.dtype(np.bool_))
    answers[...] = every
    reduce = np.logical_and if every else np.logical_or
    for where, block in blocks:
        answers[where] = reduce(answers[where], reduce.reduce(block, axis=blocks.axes, keepdims=True, dtype=np.bool_))
    return blocks.finish(answers, np.bool_)


def mean(node: Node, axis: Axis, dtype: DTypeLike | None, keepdims: bool, fresh: Fresh) -> Any:
    """Average, in float64."""
    blocks, means, _ = _moments(node, axis, keepdims, False, fresh)
    return blocks.finish(means, np.mean(np.ones(1, node.dtype), dtype=dtype).dtype)


def variance(
    node: Node, axis: Axis, dtype: DTypeLike | None, ddof: float, keepdims: bool, root: bool, fresh: Fresh
) -> Any:  # fmt: skip
    """Average squared distance from the mean, or its root, in float64."""
    blocks, _, squares = _moments(node, axis, keepdims, True, fresh)
    if blocks.count <= ddof:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)  # as NumPy does
    with np.errstate(divide="ignore", invalid="ignore"):
        result = squares / max(blocks.count - ddof, 0)
    wanted = np.var(np.ones(1, node.dtype), dtype=dtype).dtype
    return blocks.finish(np.sqrt(result) if root else result, wanted)


def _moments(
    node: Node, axis: Axis, keepdims: bool, squared: bool, fresh: Fresh
) -> tuple[_Blocks, NDArray[Any], NDArray[np.float64]]:  # fmt: skip
    """Mean, and sum of squared distances from it.

    Blocks are merged by the pairwise update of Chan, Golub and LeVeque (1979), which loses no digits where the mean is
    large and the spread small.
    """
    if node.dtype.kind not in "biufc":
        raise BadSetting(f"there is no mean of {node.dtype}")
    blocks = _Blocks(node, axis, keepdims)
    within = np.result_type(node.dtype, np.float64)
    means, totals, squares = (
        fresh(blocks.shape, within),
        fresh(blocks.shape, within),
        fresh(blocks.shape if squared else (0,), np.dtype(np.float64)),
    )
    counts = np.zeros(blocks.shape, np.float64)
    means[...] = totals[...] = 0 if blocks.count else np.nan
    squares[...] = 0 if blocks.count else np.nan
    for where, block in blocks:
        size = math.prod(block.shape[i] for i in blocks.axes)
        own = block.mean(axis=blocks.axes, keepdims=True, dtype=within)
        before = counts[where].copy()
        counts[where] = before + size
        totals[where] += own * size
        with np.errstate(invalid="ignore"):  # infinite: see below
            shift = own - means[where]
            means[where] += shift * (size / counts[where])
        if squared:
            values = np.subtract(block, own, dtype=within)
            values = values.real**2 + values.imag**2 if within.kind == "c" else np.square(values, out=values)
            apart = values.sum(axis=blocks.axes, keepdims=True)
            squares[where] += apart + np.abs(shift) ** 2 * (before * size / counts[where])
    odd = ~np.isfinite(means)  # infinities, which differences do not survive
    means[odd] = totals[odd] / max(blocks.count, 1)
    return blocks, means, squares
