"""Axes of a view whose lines run along lines or columns of the image: where each output pixel lies, along one axis."""

from __future__ import annotations

import math
from typing import NamedTuple

from bitesize.transforms.canvas import Canvas
from bitesize.transforms.view import View

# A box thinner than this many source pixels is taken as this thin: a crop at the very edge must not divide by zero.
_THIN = 1e-6
# float64 keeps positions to far less than this part of a pixel: a position so close to a whole number is this number.
EDGE = 1e-6


class Axis(NamedTuple):
    """One axis of a view, in the order of the image's pixels: output pixel i has its center at ``origin + (begin + i + 0.5) * step``.

    Attributes
    ----------
    origin : float
        0 if the output begins at a whole number of its own pixels: then a crop computes the same centers as the whole image.
    begin : int
        Number of the first output pixel in the image.
    step : float
        Source pixels from one output pixel to the next, more than 0.
    size : int
        Number of output pixels in the image.
    skipped : int
        Number of output pixels before these, which lie outside the image.
    mirrored : bool
        Whether the first of all pixels is the last of the output.
    whole : bool
        Whether each output pixel is one source pixel.
    """

    origin: float
    begin: int
    step: float
    size: int
    skipped: int
    mirrored: bool
    whole: bool

    def place(self, size: int, distance: int) -> tuple[int, int]:
        """Return the index of the first pixel, and the distance to the next, in an output of ``size`` pixels ``distance`` apart."""
        if self.mirrored:
            return (size - 1 - self.skipped) * distance, -distance
        return self.skipped * distance, distance


def axes_of(view: View, width: int, height: int) -> tuple[Axis, Axis, bool]:
    """Return the axes along x and y of an image, and whether x of the image is y of the output."""
    out_w, out_h = int(view.width), int(view.height)
    if view.b == 0.0 and view.d == 0.0:
        return axis_of(view.a, view.c, out_w, width), axis_of(view.e, view.f, out_h, height), False
    return axis_of(view.b, view.c, out_h, width), axis_of(view.d, view.f, out_w, height), True


def axis_of(step: float, start: float, size: int, source: int) -> Axis:
    """Return the axis of ``size`` output pixels, of which the first begins at ``start``, in ``source`` pixels."""
    mirrored = step < 0.0
    if mirrored:
        step, start = -step, start + step * size
    step = max(step, _THIN / size)
    offset = start / step
    begin = round(offset)
    whole = abs(offset - begin) <= EDGE
    if whole:
        origin, whole = 0.0, abs(step - 1.0) * source <= EDGE
    else:
        origin, begin = start, 0
    first, last = 0, size
    if start < -EDGE or start + step * size > source + EDGE:  # only pixels whose center lies in the image
        first = min(max(math.ceil(-offset - 0.5 - EDGE), 0), size)
        last = min(max(math.ceil(source / step - offset - 0.5 - EDGE), 0), size)
    return Axis(origin, begin + first, step, last - first, first, mirrored, whole)


def whole_place(view: View, width: int, height: int, canvas: Canvas) -> tuple[int, ...] | None:
    """Return the place of `crop_rows` for a view that only moves whole pixels of the image, or None.

    This is what the axes of such a view give, in a fraction of the time. None is also returned for views that are so only up to rounding.
    """
    if view.b == 0.0 and view.d == 0.0:
        x_step, y_step, tall, wide, across, down = view.a, view.e, canvas.height, canvas.width, canvas.step, canvas.line
    else:
        x_step, y_step, tall, wide, across, down = view.b, view.d, canvas.width, canvas.height, canvas.line, canvas.step
        if view.a != 0.0 or view.e != 0.0:
            return None
    if abs(x_step) != 1.0 or abs(y_step) != 1.0:
        return None
    left, top = int(view.c if x_step > 0 else view.c - wide), int(view.f if y_step > 0 else view.f - tall)
    if not (0 <= left <= width - wide and 0 <= top <= height - tall) or view.c % 1.0 or view.f % 1.0:
        return None
    at = 0
    if x_step < 0:
        at, across = (wide - 1) * across, -across
    if y_step < 0:
        at, down = at + (tall - 1) * down, -down
    return top, left, tall, wide, at, down, across
