"""The resampling filters: their reach, and what memory they need; loads no compiler."""

from __future__ import annotations

import math

BILINEAR, BICUBIC = 0, 1
SUPPORT = (1.0, 2.0)  # half the width of each filter in source pixels, when not shrinking


def taps(extent: float, size: int, filter_kind: int) -> int:
    """Tell the most source pixels that one output pixel is made of, along one axis."""
    return math.ceil(SUPPORT[filter_kind] * max(1.0, extent / size)) * 2 + 1


def scratch_values(width: int, channels: int, x_taps: int, y_taps: int, out_h: int, out_w: int) -> int:
    """Tell how many float32 of scratch `resample` needs: the weights of both axes, and one row."""
    return out_w * (x_taps + 2) + out_h * (y_taps + 2) + width * channels
