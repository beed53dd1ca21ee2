"""From a View and pixels to the batch: choose the kernel, and where its output goes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import BRAIN, HALF, NEAREST, PLAIN, line_values, resample_values, taps
from bitesize.transforms.view import Colour, View

# A box thinner than this many source pixels is taken as this thin: a crop at the very edge must not divide by zero.
_THIN = 1e-6
# float64 keeps positions to far less than this part of a pixel: an output pixel that begins there begins inside.
_EDGE = 1e-6


class Drawing(NamedTuple):
    """What it takes to draw one view: taps (or points an output pixel) in x and y, and float32 values of scratch."""

    warped: bool
    x: int
    y: int
    scratch: int


class Canvas:
    """One row of a batch to draw on, and how its values are stored.

    Parameters
    ----------
    row
        (height, width, channels) or, where ``chw``, (channels, height, width): C-contiguous.
    chw
        Whether channels come first.
    """

    __slots__ = ("apart", "code", "flat", "height", "limits", "line", "pixels", "step", "width")

    def __init__(self, row: NDArray[Any], chw: bool, limits: NDArray[np.float64]) -> None:
        if chw:
            channels, self.height, self.width = row.shape
            self.line, self.step, self.apart = self.width, 1, self.height * self.width
        else:
            self.height, self.width, channels = row.shape
            self.line, self.step, self.apart = self.width * channels, channels, 1
        self.limits = limits
        self.code = storage(row.dtype)
        flat = row.reshape(-1)
        self.flat = flat if self.code == PLAIN else flat.view(np.uint16)
        self.pixels = row.transpose(1, 2, 0) if chw else row


def storage(dtype: np.dtype[Any]) -> int:
    """Tell how a kernel stores values of a dtype: `PLAIN`, `HALF` or `BRAIN`."""
    return HALF if dtype == np.float16 else BRAIN if dtype.name == "bfloat16" else PLAIN


def plan_drawing(view: View, width: int, height: int, channels: int) -> Drawing:
    """Work out what `render` needs for a view on pixels of ``width`` x ``height``."""
    out_w, out_h = int(view.width), int(view.height)
    if view.kind == NEAREST or not view.upright:
        across, down = (1.0, 1.0) if view.kind == NEAREST else view.steps()
        return Drawing(
            True, max(1, math.ceil(across - _EDGE)), max(1, math.ceil(down - _EDGE)), line_values(channels, out_w)
        )
    if view.b == 0.0 and view.d == 0.0:
        x_step, y_step = abs(view.a), abs(view.e)
    else:
        x_step, y_step, out_w, out_h = abs(view.b), abs(view.d), out_h, out_w
    x_taps, y_taps = taps(x_step * out_w, out_w, width, view.kind), taps(y_step * out_h, out_h, height, view.kind)
    return Drawing(False, x_taps, y_taps, resample_values(width, channels, x_taps, y_taps, out_h, out_w))


def render(pixels: NDArray[Any], view: View, drawing: Drawing, scratch: NDArray[np.float32], canvas: Canvas) -> None:
    """Draw one row.

    Parameters
    ----------
    pixels
        (height, width, channels), C-contiguous, any number type.
    view
        Where output pixels come from, in these pixels.
    drawing
        By `plan_drawing`.
    scratch
        float32, at least ``drawing.scratch`` values.
    canvas
        Of the view's size.
    """
    colour = np.array(view.colour, np.float32).reshape(3, 4)
    if drawing.warped:
        from bitesize.kernels.warp import warp  # loads the compiler: only who draws waits for it

        affine = np.array((view.a, view.b, view.c, view.d, view.e, view.f))
        fill = np.array((*view.fill, 0.0), np.float32)[: pixels.shape[2]]
        place = np.array((0, canvas.line, canvas.step, canvas.apart, canvas.height, canvas.width))
        points = np.array((drawing.x, drawing.y))
        warp(
            pixels, affine, view.kind, points, fill, colour, view.alpha, canvas.limits, canvas.code, scratch, canvas.flat, place
        )  # fmt: skip
    else:
        _render_upright(pixels, view, drawing, colour, scratch, canvas)
    for left, top, right, bottom, shown in view.erased:
        rows = slice(max(0, math.ceil(top - 0.5)), max(0, math.ceil(bottom - 0.5)))
        _paint(canvas, rows, slice(max(0, math.ceil(left - 0.5)), max(0, math.ceil(right - 0.5))), shown)


def _render_upright(
    pixels: NDArray[Any], view: View, drawing: Drawing, colour: NDArray[np.float32], scratch: NDArray[np.float32],
    canvas: Canvas
) -> None:  # fmt: skip
    from bitesize.kernels.resample import resample  # loads the compiler: only who draws waits for it

    height, width = pixels.shape[0], pixels.shape[1]
    if view.b == 0.0 and view.d == 0.0:
        x_step, y_step, out_w, out_h, step, line = view.a, view.e, canvas.width, canvas.height, canvas.step, canvas.line
    else:  # x of the source runs along y of the output
        x_step, y_step, out_w, out_h, step, line = view.b, view.d, canvas.height, canvas.width, canvas.line, canvas.step
    at, x_start, y_start = 0, view.c, view.f
    # A negative step reads backwards, which is the same as writing backwards.
    if x_step < 0:
        at, step, x_start, x_step = at + (out_w - 1) * step, -step, x_start + x_step * out_w, -x_step
    if y_step < 0:
        at, line, y_start, y_step = at + (out_h - 1) * line, -line, y_start + y_step * out_h, -y_step
    left, right = _covered(x_start, x_step, out_w, width)
    top, bottom = _covered(y_start, y_step, out_h, height)
    if left > 0 or top > 0 or right < out_w or bottom < out_h:  # some of the output shows what is around the image
        _paint(canvas, slice(None), slice(None), _coloured(view))
        if left >= right or top >= bottom:
            return
        at, out_w, out_h = at + left * step + top * line, right - left, bottom - top
        x_start, y_start = x_start + left * x_step, y_start + top * y_step
    box = np.array((x_start, y_start, x_start + max(x_step * out_w, _THIN), y_start + max(y_step * out_h, _THIN)))
    place = np.array((at, line, step, canvas.apart, out_h, out_w))
    taken = np.array((drawing.x, drawing.y))
    resample(
        pixels, box, view.kind, taken, colour, view.alpha, canvas.limits, canvas.code, scratch, canvas.flat, place
    )  # fmt: skip


def _covered(start: float, step: float, size: int, source: int) -> tuple[int, int]:
    """Tell the output pixels [first, last) whose centres lie within 0 to ``source``."""
    end = start + step * size
    if start >= -_EDGE and end <= source + _EDGE:
        return 0, size
    step = max(step, _THIN)
    first = math.ceil(-start / step - 0.5 - _EDGE)
    last = math.ceil((source - start) / step - 0.5 - _EDGE)
    return min(max(first, 0), size), min(max(last, 0), size)


def _coloured(view: View) -> Colour:
    """Tell what the fill colour looks like in the batch."""
    (r, g, b), m = view.fill, view.colour
    return (
        m[0] * r + m[1] * g + m[2] * b + m[3],
        m[4] * r + m[5] * g + m[6] * b + m[7],
        m[8] * r + m[9] * g + m[10] * b + m[11],
    )


def _paint(canvas: Canvas, rows: slice, columns: slice, colour: Colour) -> None:
    """Fill a rectangle of the row; a fourth channel, alpha, with 0."""
    pixels = canvas.pixels
    values = np.array((*colour, 0.0))[: pixels.shape[2]]
    low, high = canvas.limits
    if low < high:
        values = np.clip(np.floor(values + 0.5), low, high)
    pixels[rows, columns] = values.astype(pixels.dtype)


def mask_values(width: int) -> int:
    """Tell how many float32 values of scratch `draw_mask` needs."""
    return line_values(1, width)


def draw_mask(numbers: NDArray[Any], view: View, fill: int, scratch: NDArray[np.float32], out: NDArray[Any]) -> None:
    """Draw one mask, each pixel the nearest of the source.

    Parameters
    ----------
    numbers
        (height, width, 1), C-contiguous, integers that float32 can hold.
    view
        Where output pixels come from, in these pixels.
    fill
        The number around the mask.
    scratch
        float32, at least `mask_values`.
    out
        (view.height, view.width), C-contiguous.
    """
    view.kind = NEAREST
    view.fill = (float(fill),) * 3
    drawing = Drawing(True, 1, 1, mask_values(out.shape[1]))
    render(numbers, view, drawing, scratch, Canvas(out[..., None], False, _UNLIMITED))


_UNLIMITED = np.zeros(2)
