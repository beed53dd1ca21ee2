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
    levels = [_levels(flat[:, c], view.percentiles, scratch) for c in range(flat.shape[1])]
    view = copy.copy(view)
    view.stretch(*zip(*levels, strict=True))
    return view


def _levels(values: NDArray[Any], percentiles: tuple[float, float], scratch: NDArray[np.float32]) -> tuple[float, float]:
    """Return two percentiles of the finite values of one channel; 0 and 1 if there are none."""
    sample = scratch[: len(values)]
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is left out
        np.copyto(sample, values, casting="unsafe")
    if values.dtype.kind not in "biu":
        from bitesize.kernels.levels import keep_finite  # loads the compiler

        sample = sample[: keep_finite(sample)]
    if not sample.size:
        return 0.0, 1.0
    ranks = [(sample.size - 1) * percentile / 100 for percentile in percentiles]
    below = [int(rank) for rank in ranks]
    above = [min(rank + 1, sample.size - 1) for rank in below]
    sample.partition(sorted({*below, *above}))
    low, high = (
        float(sample[i]) + (rank - i) * (float(sample[j]) - float(sample[i]))
        for rank, i, j in zip(ranks, below, above, strict=True)
    )
    return low, high


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
    kind = values.dtype.type
    np.maximum(values, kind(low), out=values)
    np.minimum(values, kind(high), out=values)
