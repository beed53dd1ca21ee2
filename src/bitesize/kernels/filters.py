"""Support and memory of the resampling filters. Does not load the compiler."""

from __future__ import annotations

import math

BILINEAR, BICUBIC, NEAREST = 0, 1, 2
SUPPORT = (1.0, 2.0)  # half the width of each filter in source pixels, when not shrinking
# Number of output lines that are computed together. They share the weights of pixels, and their rows stay in the cache.
LINES = 8
# Storage of float32 results: in the output's type, or as bits of a type that compiled code does not support.
PLAIN, HALF, BRAIN = 0, 1, 2


def taps(extent: float, size: int, source: int, filter_kind: int) -> int:
    """Return the largest number of source pixels of one output pixel, along one axis of ``source`` pixels."""
    support = SUPPORT[filter_kind] * max(1.0, extent / size)
    return min(math.floor(2 * support) + 1, source)


def resample_values(width: int, channels: int, x_taps: int, y_taps: int, out_h: int, out_w: int) -> int:
    """Return the number of float32 values of scratch that `resample` needs: weights of both axes, and `LINES` rows and lines."""
    return out_w * (x_taps + 1) + out_h * (y_taps + 2) + LINES * ((width + out_w) * channels + 8) + 20


def line_values(channels: int, out_w: int) -> int:
    """Return the number of float32 values of scratch that `warp` needs: one line of the output, and its colors."""
    return out_w * channels + 24
