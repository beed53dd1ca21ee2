"""What `Window` and `Percentiles` do with pixels: percentiles of one row are measured, and values of the batch are clipped."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.transforms.view import View

AnyView = TypeVar("AnyView", bound=View)


def measured(view: AnyView, pixels: NDArray[Any], scratch: NDArray[np.float32]) -> AnyView:
    """Return a view with the percentiles of a row, if it is to measure them.

    Parameters
    ----------
    view
        The view; not changed.
    pixels
        (..., channels), any number type.
    scratch
        float32, at least the values of one channel.
    """
    if view.percentiles is None:
        return view
    flat = pixels.reshape(-1, pixels.shape[-1])
    levels = [_levels(flat, c, view.percentiles, scratch) for c in range(flat.shape[1])]
    view = copy.copy(view)
    view.stretch(*zip(*levels, strict=True))
    return view


def _levels(
    pixels: NDArray[Any], channel: int, percentiles: tuple[float, float], scratch: NDArray[np.float32]
) -> tuple[float, float]:
    """Return two percentiles of the finite values of one channel of (pixels, channels); 0 and 1 if there are none."""
    kind = pixels.dtype
    if kind.kind in "iu" and kind.itemsize <= 2 and len(pixels) >= 1 << 8 * kind.itemsize:
        return _levels_by_counts(pixels, channel, percentiles, scratch)
    sample = scratch[: len(pixels)]
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is left out
        np.copyto(sample, pixels[:, channel], casting="unsafe")
    if kind.kind not in "biu":
        from bitesize.kernels.levels import keep_finite  # loads the compiler

        sample = sample[: keep_finite(sample)]
    if not sample.size:
        return 0.0, 1.0
    ranks = [_ranks(sample.size, percentile) for percentile in percentiles]
    sample.partition(sorted({rank for below, above, _ in ranks for rank in (below, above)}))
    low, high = (_between(float(sample[below]), float(sample[above]), share) for below, above, share in ranks)
    return low, high


def _levels_by_counts(
    pixels: NDArray[Any], channel: int, percentiles: tuple[float, float], scratch: NDArray[np.float32]
) -> tuple[float, float]:
    """Return two percentiles of one channel of at least as many integers as their type has values, which are counted."""
    from bitesize.kernels.levels import count_channel  # loads the compiler

    least = int(np.iinfo(pixels.dtype).min)
    counts = scratch[: 1 << 8 * pixels.dtype.itemsize].view(np.int32)
    counts[:] = 0
    count_channel(pixels, channel, least, counts)
    total = np.cumsum(counts, out=counts)

    def value(rank: int) -> float:
        """Return the value with a rank."""
        return float(least + np.searchsorted(total, rank, side="right"))

    ranks = [_ranks(len(pixels), percentile) for percentile in percentiles]
    low, high = (_between(value(below), value(above), share) for below, above, share in ranks)
    return low, high


def _ranks(count: int, percentile: float) -> tuple[int, int, float]:
    """Return the ranks of the values below and above a percentile of ``count`` values, and the share of the upper one."""
    rank = (count - 1) * percentile / 100
    return int(rank), min(int(rank) + 1, count - 1), rank - int(rank)


def _between(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def clip(view: View, pixels: NDArray[Any], limits: tuple[float, float]) -> None:
    """Clip values of the batch in place to the bounds of a view.

    Parameters
    ----------
    view
        The view. A fourth channel, alpha, has no bounds if there are three.
    pixels
        (..., channels), any strides.
    limits
        Least and greatest value of integers; (0, 0) for floats.
    """
    if view.bounds is None:
        return
    lows, highs = view.bounds
    if len(set(lows)) == len(set(highs)) == 1 and pixels.shape[-1] <= len(lows):
        _clip(pixels, lows[0], highs[0], limits)
        return
    for c in range(min(len(lows), pixels.shape[-1])):
        _clip(pixels[..., c], lows[c], highs[c], limits)


def _clip(values: NDArray[Any], low: float, high: float, limits: tuple[float, float]) -> None:
    """Clip after rounding: the same as before, because rounding keeps the order of values."""
    if limits[0] < limits[1]:
        low, high = (min(max(np.floor(bound + 0.5), limits[0]), limits[1]) for bound in (low, high))
    if values.dtype.name == "bfloat16":  # has no clip
        np.maximum(values, values.dtype.type(low), out=values)
        np.minimum(values, values.dtype.type(high), out=values)
    else:
        np.clip(values, values.dtype.type(low), values.dtype.type(high), out=values)
