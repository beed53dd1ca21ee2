"""Support and memory of the resampling filters. Does not load the compiler."""

from __future__ import annotations

import math

BILINEAR, BICUBIC, NEAREST = 0, 1, 2
SUPPORT = (1.0, 2.0)  # half the width of each filter in source pixels, when not shrinking
# Number of output lines that are computed together, one in each lane of a vector.
LINES = 16
# Number of values of a line that are summed vertically at once: as many such parts as lines stay in the fastest cache.
PART = 512
# Storage of float32 results: in the output's type, or as bits of a type that compiled code does not support.
PLAIN, HALF, BRAIN = 0, 1, 2


def taps(step: float, source: int, filter_kind: int) -> int:
    """Return the largest number of source pixels of one output pixel, along one axis of ``source`` pixels."""
    return min(math.floor(2 * SUPPORT[filter_kind] * max(1.0, step)) + 1, source)


def rounded_up(values: int) -> int:
    """Return the next multiple of 8: lines are transposed in blocks of 8 x 8 values."""
    return (values + 7) // 8 * 8


def resample_values(width: int, channels: int, x_taps: int, y_taps: int, out_h: int, out_w: int) -> int:
    """Return the number of float32 values of scratch that `resample` needs: `LINES` lines at each stage, and weights of both axes."""
    columns, lines = rounded_up(width * channels), channels * rounded_up(out_w) + 8
    part = min(PART, columns) + 8
    return LINES * (columns + 8 * channels + part + lines) + out_w * (x_taps + 2) + out_h * (y_taps + 2)


def crop_values(channels: int, out_h: int, out_w: int) -> int:
    """Return the number of float32 values of scratch that `crop_rows` needs.

    A line of float32 before and after mixing its colors, factors and offsets of its values, and 16 bytes a value for lines as stored: one
    line of any type, or eight of up to 2 bytes a value, which are turned together.
    """
    return 8 * (rounded_up(max(out_h, out_w) * channels) + 8)


def line_values(channels: int, out_w: int) -> int:
    """Return the number of float32 values of scratch that `warp` needs: a line of the output, before and after coloring."""
    return 2 * (out_w * channels + 4)


def volume_values(depth: int, z_taps: int, slab: int, plane: int) -> int:
    """Return the number of float32 values of scratch that `resample_slices` needs.

    ``depth`` slices of the output, each a sum of up to ``z_taps`` slices of ``slab`` values, and ``plane`` values to resample a slice.
    """
    return rounded_up(slab) + rounded_up(depth * (z_taps + 2)) + plane
