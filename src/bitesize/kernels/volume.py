"""Volumes: each slice of the output is one slice of the volume, or a sum of weighted slices, rendered like an image.

The depth is summed first, over whole slices and without rounding, so that only as many slices as the output has are resampled
along height and width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.crop import crop_rows
from bitesize.kernels.filters import NEAREST, rounded_up
from bitesize.kernels.jit import lean_jit
from bitesize.kernels.resample import fill_weights, resample, resample_matrix, sum_lines
from bitesize.kernels.warp import warp

_rounded_up = lean_jit(rounded_up)


@lean_jit
def crop_slices(
    source: Any, slices: Any, places: Any, colors: Any, limits: Any, code: int, scratch: Any, out: Any, apart: int
) -> None:  # fmt: skip
    """Write parts of some slices into ``out``.

    Parameters
    ----------
    source
        (depth, height, width, channels), any number type, C-contiguous.
    slices
        (slices,) int64: numbers of the slices.
    places
        (slices, 7) int64: the place of each; see `crop_rows`.
    colors
        (1, factors and offsets) float32.
    out
        (1, values), C-contiguous.
    limits, code, scratch, apart
        See `crop_rows`.
    """
    for i in range(slices.shape[0]):
        z = slices[i]
        crop_rows(source[z : z + 1], places[i : i + 1], False, colors, limits, code, scratch, out, apart)


@lean_jit
def resample_slices(
    source: Any, z_axis: Any, z_whole: bool, z_taps: int, x_axis: Any, y_axis: Any, kind: int, taps: Any, colors: Any, limits: Any,
    code: int, scratch: Any, out: Any, starts: Any, layout: Any
) -> None:  # fmt: skip
    """Resample ``source`` along all three axes.

    Parameters
    ----------
    source
        (depth, height, width, channels), any number type, C-contiguous.
    z_axis, x_axis, y_axis
        See `resample`.
    z_whole
        Whether each slice of the output is one slice of the source.
    z_taps
        Largest number of slices that are summed.
    scratch
        float32 of `filters.volume_values`.
    out
        One-dimensional.
    starts
        (slices,) int64: index in ``out`` of the first value of each slice.
    layout
        Five integers: ``place`` of `resample` without its first.
    kind, taps, colors, limits, code
        See `resample`.
    """
    _, height, width, channels = source.shape
    line_step, step, distance, out_h, out_w = layout
    size, count = height * width * channels, starts.shape[0]
    slab, scratch = scratch[:size], scratch[_rounded_up(size) :]
    some = _rounded_up(count * (z_taps + 2))
    weights, whole, scratch = scratch[: count * z_taps], scratch[count * z_taps : some].view(np.int32), scratch[some:]
    first, counts = whole[:count], whole[count : 2 * count]
    if z_whole:
        for i in range(count):
            first[i], counts[i] = z_axis[1] + i, 1
    else:
        fill_weights(z_axis, source.shape[0], kind, z_taps, first, counts, weights)
    values = source.reshape(-1)
    for i in range(count):
        place = (starts[i], line_step, step, distance, out_h, out_w)
        if counts[i] == 1:
            one = source[first[i]]
            resample(one, x_axis, y_axis, kind, taps, False, colors, limits, code, scratch, out, place)
        else:
            sum_lines(values, first[i] * size, size, weights, i * z_taps, counts[i], slab, 0, size)
            summed = slab.reshape(height, width, channels)
            resample(summed, x_axis, y_axis, kind, taps, False, colors, limits, code, scratch, out, place)


@lean_jit
def nearest_slices(
    source: Any, slices: Any, affine: Any, fill: Any, colors: Any, limits: Any, code: int, scratch: Any, out: Any, starts: Any,
    layout: Any
) -> None:  # fmt: skip
    """Write the nearest voxels of some slices into ``out``; see `warp` and `resample_slices`."""
    line_step, step, distance, out_h, out_w = layout
    for i in range(slices.shape[0]):
        place = (starts[i], line_step, step, distance, out_h, out_w)
        warp(source[slices[i]], affine, NEAREST, (1, 1), fill, False, colors, limits, code, scratch, out, place)


def resample_slices_reference(source: NDArray[Any], kind: int, out: NDArray[Any]) -> None:
    """Reference of `resample_slices` in NumPy, in float64, for a whole volume and any float ``out`` of (depth, height, width, channels)."""
    z, y, x = (resample_matrix(0.0, source.shape[i], source.shape[i], out.shape[i], kind) for i in range(3))
    out[...] = np.einsum("za,yb,xc,abcd->zyxd", z, y, x, source.astype(np.float64))
