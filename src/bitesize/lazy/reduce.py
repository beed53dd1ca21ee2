"""Sums, means and extremes of a lazy array in one pass, block by block."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import DTypeLike, NDArray

from bitesize.errors import BadSetting
from bitesize.lazy.axes import Axis, many_axes
from bitesize.lazy.nodes import Node
from bitesize.lazy.select import part_of, tiles, whole

# Bytes of one block in float64: the size of the cache of a core, or, if the result is large, enough to make merging
# worthwhile. A few such arrays are in memory at a time.
BLOCK, LARGE_BLOCK = 1 << 20, 16 << 20

Fresh = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]


class Blocks:
    """The blocks of an array, and the position of their reductions in the result."""

    def __init__(self, node: Node, axis: Axis, keepdims: bool) -> None:
        self.node, self._keepdims = node, keepdims
        self.axes = many_axes(axis, len(node.shape))
        self.shape = tuple(1 if i in self.axes else n for i, n in enumerate(node.shape))  # of the result, axes kept
        self.count = math.prod(node.shape[i] for i in self.axes)  # values that each result is made of

    def __iter__(self) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
        """Yield (position in the result, block)."""
        for where, _, block in self.placed():
            yield where, block

    def placed(self) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...], NDArray[Any]]]:
        """Yield (position in the result, position of the block, block), in C order."""
        everything = whole(self.node.shape)
        nbytes = min(max(BLOCK, 16 * 8 * math.prod(self.shape)), LARGE_BLOCK)
        for tile in tiles(self.node.shape, max(8, self.node.dtype.itemsize), nbytes) if self.node.shape else [()]:
            block = np.empty(tuple(cut.stop - cut.start for cut in tile), self.node.dtype)
            self.node.read(part_of(everything, tile), block)
            yield tuple(slice(0, 1) if i in self.axes else cut for i, cut in enumerate(tile)), tile, block

    def finish(self, result: NDArray[Any], dtype: DTypeLike) -> Any:
        """Return the result without the reduced axes, cast, as a scalar if no axis is left, as NumPy does."""
        result = result.astype(dtype, copy=False)
        return result if self._keepdims else result.reshape([n for i, n in enumerate(self.shape) if i not in self.axes])[()]


def total(node: Node, axis: Axis, dtype: DTypeLike | None, keepdims: bool, fresh: Fresh) -> Any:
    """Return the sum; floats are summed in float64 at least."""
    return _accumulated(np.add, np.sum, node, axis, dtype, keepdims, fresh)


def product(node: Node, axis: Axis, dtype: DTypeLike | None, keepdims: bool, fresh: Fresh) -> Any:
    """Return the product; floats are multiplied in float64 at least."""
    return _accumulated(np.multiply, np.prod, node, axis, dtype, keepdims, fresh)


def _accumulated(
    ufunc: np.ufunc, function: Callable[..., Any], node: Node, axis: Axis, dtype: DTypeLike | None, keepdims: bool, fresh: Fresh
) -> Any:  # fmt: skip
    blocks = Blocks(node, axis, keepdims)
    wanted = function(np.empty(0, node.dtype), dtype=dtype).dtype  # determined by NumPy, which refuses text
    within = np.result_type(wanted, np.float64) if wanted.kind in "fc" else wanted
    # Sums of time spans keep their dtype, which cannot be set.
    options: dict[str, Any] = {} if wanted.kind == "m" else {"dtype": within}
    results = fresh(blocks.shape, within)
    results[...] = ufunc.identity if wanted.kind != "m" else 0
    for where, block in blocks:
        results[where] = ufunc(results[where], ufunc.reduce(block, axis=blocks.axes, keepdims=True, **options))
    return blocks.finish(results, wanted)


def extreme(node: Node, axis: Axis, keepdims: bool, least: bool, fresh: Fresh) -> Any:
    """Return the least or the maximum; NaN if there is one, as NumPy does."""
    blocks = Blocks(node, axis, keepdims)
    choose = np.minimum if least else np.maximum
    native = choose.reduce(np.zeros(1, node.dtype)).dtype  # refuses text
    if not blocks.count:
        raise BadSetting(f"an axis of length 0 has no {'least' if least else 'greatest'} value")
    results, seen = fresh(blocks.shape, native), np.zeros(blocks.shape, np.bool_)
    for where, block in blocks:
        best = choose.reduce(block, axis=blocks.axes, keepdims=True)
        results[where] = np.where(seen[where], choose(results[where], best), best)
        seen[where] = True
    return blocks.finish(results, native)


def decide(node: Node, axis: Axis, keepdims: bool, every: bool, fresh: Fresh) -> Any:
    """Return whether any value is true, or every one."""
    blocks = Blocks(node, axis, keepdims)
    answers = fresh(blocks.shape, np.dtype(np.bool_))
    answers[...] = every
    reduce = np.logical_and if every else np.logical_or
    for where, block in blocks:
        answers[where] = reduce(answers[where], reduce.reduce(block, axis=blocks.axes, keepdims=True, dtype=np.bool_))
    return blocks.finish(answers, np.bool_)


def mean(node: Node, axis: Axis, dtype: DTypeLike | None, keepdims: bool, fresh: Fresh) -> Any:
    """Return the average, in float64; of time spans in their unit, as in NumPy."""
    _refuse_unless_axes(axis, node)
    wanted = np.mean(np.ones(1, node.dtype), dtype=dtype).dtype  # refuses dates and text
    if wanted.kind == "m":
        sums = np.asarray(total(node, axis, None, keepdims, fresh))
        count = Blocks(node, axis, keepdims).count
        if not count:
            warnings.warn("Mean of empty slice.", RuntimeWarning, stacklevel=3)  # as NumPy does
        return np.true_divide(sums, count)[()]
    blocks, means, _ = _moments(node, axis, keepdims, False, fresh)
    return blocks.finish(means, wanted)


def variance(
    node: Node, axis: Axis, dtype: DTypeLike | None, ddof: float, keepdims: bool, root: bool, fresh: Fresh
) -> Any:  # fmt: skip
    """Return the average squared distance from the mean, or its root, in float64."""
    _refuse_unless_axes(axis, node)
    wanted = np.var(np.ones(1, node.dtype), dtype=dtype).dtype  # refuses dates and text
    blocks, _, squares = _moments(node, axis, keepdims, True, fresh)
    if blocks.count <= ddof:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)  # as NumPy does
    with np.errstate(divide="ignore", invalid="ignore"):
        result = squares / max(blocks.count - ddof, 0)
    return blocks.finish(np.sqrt(result) if root else result, wanted)


def _refuse_unless_axes(axis: Axis, node: Node) -> None:
    """Raise the error of NumPy for axes that do not exist, also for arrays without axes."""
    if axis is not None:
        normalize_axis_tuple(axis, len(node.shape))


def _moments(
    node: Node, axis: Axis, keepdims: bool, squared: bool, fresh: Fresh
) -> tuple[Blocks, NDArray[Any], NDArray[np.float64]]:  # fmt: skip
    """Return the mean, and the sum of squared distances from it.

    Blocks are merged by the pairwise update of Chan, Golub and LeVeque (1979), which loses no digits if the mean is
    large and the spread small.
    """
    blocks = Blocks(node, axis, keepdims)
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
    odd = ~np.isfinite(means)  # infinities, whose differences are NaN
    means[odd] = totals[odd] / max(blocks.count, 1)
    return blocks, means, squares
