"""From a View and pixels to the batch: choose strides, call the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.kernels.filters import BICUBIC, BILINEAR, scratch_values, taps
from bitesize.transforms.view import View

# A box thinner than this many source pixels is taken as this thin: a crop at the very edge must not divide by zero.
_THIN = 1e-6


def kernel_need(view: View, width: int, channels: int) -> tuple[int, int, int]:
    """Tell what `render` needs for a view on pixels ``width`` wide: (taps in x, taps in y, float32 values of scratch)."""
    kind = BICUBIC if view.bicubic else BILINEAR
    turned = view.a == 0.0 and view.e == 0.0
    out_w, out_h = (int(view.height), int(view.width)) if turned else (int(view.width), int(view.height))
    x_taps = taps(abs(view.a) * view.width + abs(view.b) * view.height, out_w, kind)
    y_taps = taps(abs(view.d) * view.width + abs(view.e) * view.height, out_h, kind)
    return x_taps, y_taps, scratch_values(width, channels, x_taps, y_taps, out_h, out_w)


def render(
    pixels: NDArray[Any],
    view: View,
    limits: tuple[float, float],
    need: tuple[int, int, int],
    scratch: NDArray[np.float32],
    out: NDArray[Any],
) -> None:
    """Draw one row.

    Parameters
    ----------
    pixels
        (height, width, channels), C-contiguous, any number type.
    view
        Where output pixels come from, in these pixels; axis-aligned, quarter turns included.
    limits
        Least and greatest value of an integer output, which is clamped and rounded; (0, 0) for floats.
    need
        By `kernel_need`.
    scratch
        float32, at least ``need[2]`` values.
    out
        (view.height, view.width, channels), any strides.
    """
    from bitesize.kernels.resample import resample  # loads the compiler: only who draws waits for it

    a, b, d, e = view.a, view.b, view.d, view.e
    if b == 0.0 and d == 0.0:
        x_step, y_step, width, height = a, e, view.width, view.height
    elif a == 0.0 and e == 0.0:  # x of the source runs along y of the output
        x_step, y_step, width, height = b, d, view.height, view.width
        out = out.transpose(1, 0, 2)
    else:
        raise BadSetting("a view that is rotated or sheared cannot be drawn by this kernel")
    # A negative step reads backwards, which is the same as writing backwards.
    out = out[:: -1 if y_step < 0 else 1, :: -1 if x_step < 0 else 1]
    x0, x1 = sorted((view.c, view.c + x_step * width))
    y0, y1 = sorted((view.f, view.f + y_step * height))
    box = np.array((x0, y0, max(x1, x0 + _THIN), max(y1, y0 + _THIN)))
    colour = np.array(view.colour, np.float32).reshape(3, 4)
    kind = BICUBIC if view.bicubic else BILINEAR
    resample(pixels, box, kind, colour, view.alpha, *limits, need[0], need[1], scratch, out)
