"""The resampling filters: their reach, and what memory they need; loads no compiler."""

from __future__ import annotations

import math

BILINEAR, BICUBIC, NEAREST = 0, 1, 2
SUPPORT = (1.0, 2.0)  # half the width of each filter in source pixels, when not shrinking
# Lines of the output that are made together: they share the weights of pixels, and their rows stay in the cache.
LINES = 8
# How float32 results are stored: as the output's own type, or as bits of a type that compiled code does not know.
PLAIN, HALF, BRAIN = 0, 1, 2


def taps(extent: float, size: int, source: int, filter_kind: int) -> int:
    """Tell the most source pixels that one output pixel is made of, along one axis of ``source`` pixels."""
    support = SUPPORT[filter_kind] * max(1.0, extent / size)
    return min(math.floor(2 * support) + 1, source)


def resample_values(width: int, channels: int, x_taps: int, y_taps: int, out_h: int, out_w: int) -> int:
    """Tell how many float32 of scratch `resample` needs: the weights of both axes, and `LINES` rows and lines."""
    return out_w * (x_taps + 1) + out_h * (y_taps + 2) + LINES * ((width + out_w) * channels + 8) + 20


def line_values(channels: int, out_w: int) -> int:
    """Tell how many float32 of scratch `warp` needs: one line of the output, and its colors."""
    return out_w * channels + 24
