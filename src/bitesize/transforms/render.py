"""Render pixels into the batch according to a View: choose the kernel and its output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import BRAIN, HALF, NEAREST, PLAIN, line_values, resample_values, taps
from bitesize.spec import Field
from bitesize.transforms.view import PLAIN as IDENTITY
from bitesize.transforms.view import Color, View

# A box thinner than this many source pixels is taken as this thin: a crop at the very edge must not divide by zero.
_THIN = 1e-6
# float64 keeps positions to far less than this part of a pixel: an output pixel that begins there begins inside.
_EDGE = 1e-6
# Number of channels, if they are no colors, that are rendered at a time.
_AT_ONCE = 3


class RenderPlan(NamedTuple):
    """Memory to render one view: taps (or points an output pixel) in x and y, and float32 values of scratch."""

    warped: bool
    x: int
    y: int
    scratch: int


class Canvas:
    """The target of rendering: how a row of the batch is laid out, and how its values are stored.

    Parameters
    ----------
    shape
        (height, width, channels), or (height, width) for one; or, where ``chw``, (channels, height, width).
    dtype
        Of the batch.
    chw
        Whether channels come first.
    limits
        Least and greatest value of integers; (0, 0) for floats.
    """

    __slots__ = ("_chw", "_flat", "apart", "code", "dtype", "height", "limits", "line", "step", "width")

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any], chw: bool, limits: tuple[float, float]) -> None:
        if chw:
            _, self.height, self.width = shape
            self.line, self.step, self.apart = self.width, 1, self.height * self.width
        else:
            self.height, self.width, channels = (*shape, 1)[:3]
            self.line, self.step, self.apart = self.width * channels, channels, 1
        self._chw, self.dtype, self._flat = chw, dtype, len(shape) == 2
        self.limits, self.code = limits, storage(dtype)

    @property
    def stored(self) -> np.dtype[Any]:
        """The type that kernels write."""
        return self.dtype if self.code == PLAIN else np.dtype(np.uint16)

    def flat(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return a row's values as one axis, as kernels write them."""
        flat = row.reshape(-1)
        return flat if self.code == PLAIN else flat.view(np.uint16)

    def pixels(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return a row as (height, width, channels)."""
        return row.transpose(1, 2, 0) if self._chw else row[..., None] if self._flat else row


def storage(dtype: np.dtype[Any]) -> int:
    """Return how a kernel stores values of a dtype: `PLAIN`, `HALF` or `BRAIN`."""
    return HALF if dtype == np.float16 else BRAIN if dtype.name == "bfloat16" else PLAIN


def plan_render(view: View, width: int, height: int, channels: int) -> RenderPlan:
    """Compute what `render` needs for a view on pixels of ``width`` x ``height``."""
    if view.gains is not None:  # some channels at a time, copied out of the image
        plan = _plan_colors(view, width, height, _AT_ONCE)
        return plan._replace(scratch=plan.scratch + _copied_values(width, height))
    return _plan_colors(view, width, height, channels)


def most_values(width: int, height: int, channels: int, out_w: int, out_h: int, spread: bool) -> int:
    """Bound the float32 values of scratch that `render` needs, whatever random numbers make of the view."""
    colors, copied = (_AT_ONCE, _copied_values(width, height)) if spread else (channels, 0)
    # Upright or turned, an output pixel is made of all pixels of the image at most.
    return copied + max(
        resample_values(width, colors, width, height, out_h, out_w),
        resample_values(width, colors, width, height, out_w, out_h),
    )


def _copied_values(width: int, height: int) -> int:
    return -(-width * height * _AT_ONCE // 16) * 16


def _plan_colors(view: View, width: int, height: int, channels: int) -> RenderPlan:
    out_w, out_h = int(view.width), int(view.height)
    if view.kind == NEAREST or not view.upright:
        across, down = (1.0, 1.0) if view.kind == NEAREST else view.steps()
        return RenderPlan(
            True, max(1, math.ceil(across - _EDGE)), max(1, math.ceil(down - _EDGE)), line_values(channels, out_w)
        )
    if view.b == 0.0 and view.d == 0.0:
        x_step, y_step = abs(view.a), abs(view.e)
    else:
        x_step, y_step, out_w, out_h = abs(view.b), abs(view.d), out_h, out_w
    x_taps, y_taps = taps(x_step * out_w, out_w, width, view.kind), taps(y_step * out_h, out_h, height, view.kind)
    return RenderPlan(False, x_taps, y_taps, resample_values(width, channels, x_taps, y_taps, out_h, out_w))


def render(
    pixels: NDArray[Any], view: View, plan: RenderPlan, scratch: NDArray[np.float32], canvas: Canvas, row: NDArray[Any]
) -> None:  # fmt: skip
    """Render one row.

    Parameters
    ----------
    pixels
        (height, width, channels), C-contiguous, any number type.
    view
        Where output pixels come from, in these pixels.
    plan
        By `plan_render`.
    scratch
        float32, at least ``plan.scratch`` values.
    canvas
        Of the view's size.
    row
        The row of the batch, C-contiguous.
    """
    if view.gains is None:
        _render_colors(pixels, view, plan, scratch, canvas, row, 0)
        return
    height, width, channels = pixels.shape
    copied, rest = np.split(scratch, [_copied_values(width, height)])
    first = 0
    while first < channels:
        count = _AT_ONCE if first + _AT_ONCE <= channels else 1
        part = copied[: height * width * count].reshape(height, width, count)
        part[...] = pixels[..., first : first + count]  # as float32, in which kernels calculate anyway
        _render_colors(part, view.part(first, count), plan, rest, canvas, row, first)
        first += count


def _render_colors(
    pixels: NDArray[Any], view: View, plan: RenderPlan, scratch: NDArray[np.float32], canvas: Canvas, row: NDArray[Any],
    first: int
) -> None:  # fmt: skip
    """Render one, three or four channels into those of the row from ``first`` on."""
    if plan.warped:
        from bitesize.kernels.warp import warp  # loads the compiler: only callers that render wait for it

        affine = (view.a, view.b, view.c, view.d, view.e, view.f)
        fill = (*view.fill, 0.0)
        layout = (first * canvas.apart, canvas.line, canvas.step, canvas.apart, canvas.height, canvas.width)
        points = (plan.x, plan.y)
        warp(
            pixels, affine, view.kind, points, fill, view.color, view.alpha, canvas.limits, canvas.code, scratch, canvas.flat(row), layout
        )  # fmt: skip
    else:
        _render_upright(pixels, view, plan, scratch, canvas, row, first)
    for left, top, right, bottom, shown in view.erased:
        rows = slice(max(0, math.ceil(top - 0.5)), max(0, math.ceil(bottom - 0.5)))
        columns = slice(max(0, math.ceil(left - 0.5)), max(0, math.ceil(right - 0.5)))
        _paint(canvas.pixels(row)[rows, columns, first : first + pixels.shape[2]], canvas, shown)


def _render_upright(
    pixels: NDArray[Any], view: View, plan: RenderPlan, scratch: NDArray[np.float32],
    canvas: Canvas, row: NDArray[Any], first: int
) -> None:  # fmt: skip
    from bitesize.kernels.resample import resample  # loads the compiler: only callers that render wait for it

    height, width, channels = pixels.shape
    if view.b == 0.0 and view.d == 0.0:
        x_step, y_step, out_w, out_h, step, line = view.a, view.e, canvas.width, canvas.height, canvas.step, canvas.line
    else:  # x of the source runs along y of the output
        x_step, y_step, out_w, out_h, step, line = view.b, view.d, canvas.height, canvas.width, canvas.line, canvas.step
    at, x_start, y_start = first * canvas.apart, view.c, view.f
    # A negative step reads backwards, which is the same as writing backwards.
    if x_step < 0:
        at, step, x_start, x_step = at + (out_w - 1) * step, -step, x_start + x_step * out_w, -x_step
    if y_step < 0:
        at, line, y_start, y_step = at + (out_h - 1) * line, -line, y_start + y_step * out_h, -y_step
    left, right = _covered(x_start, x_step, out_w, width)
    top, bottom = _covered(y_start, y_step, out_h, height)
    if left > 0 or top > 0 or right < out_w or bottom < out_h:  # some of the output shows what is around the image
        _paint(canvas.pixels(row)[..., first : first + channels], canvas, _colored(view))
        if left >= right or top >= bottom:
            return
        at, out_w, out_h = at + left * step + top * line, right - left, bottom - top
        x_start, y_start = x_start + left * x_step, y_start + top * y_step
    box = (x_start, y_start, x_start + max(x_step * out_w, _THIN), y_start + max(y_step * out_h, _THIN))
    layout = (at, line, step, canvas.apart, out_h, out_w)
    taps_used = (plan.x, plan.y)
    resample(
        pixels, box, view.kind, taps_used, view.color, view.alpha, canvas.limits, canvas.code, scratch, canvas.flat(row), layout
    )  # fmt: skip


def _covered(start: float, step: float, size: int, source: int) -> tuple[int, int]:
    """Return the output pixels [first, last) whose centers lie within 0 to ``source``."""
    end = start + step * size
    if start >= -_EDGE and end <= source + _EDGE:
        return 0, size
    step = max(step, _THIN)
    first = math.ceil(-start / step - 0.5 - _EDGE)
    last = math.ceil((source - start) / step - 0.5 - _EDGE)
    return min(max(first, 0), size), min(max(last, 0), size)


def _colored(view: View) -> Color:
    """Return the fill color as values of the batch."""
    (r, g, b), m = view.fill, view.color
    return (
        m[0] * r + m[1] * g + m[2] * b + m[3],
        m[4] * r + m[5] * g + m[6] * b + m[7],
        m[8] * r + m[9] * g + m[10] * b + m[11],
    )


def _paint(pixels: NDArray[Any], canvas: Canvas, color: Color) -> None:
    """Fill pixels of a row; a fourth channel, alpha, with 0."""
    values = np.array((*color, 0.0))[: pixels.shape[2]]
    low, high = canvas.limits
    if low < high:
        values = np.clip(np.floor(values + 0.5), low, high)
    pixels[...] = values.astype(pixels.dtype)


def warm_up(dtype: np.dtype[Any], canvas: Canvas, non_axis_aligned: bool) -> None:
    """Load or compile the code that renders pixels of a dtype, by rendering one pixel."""
    small = Canvas((1, 1, 3), canvas.dtype, False, (0.0, 0.0))
    for slanted in (False, True)[: 1 + non_axis_aligned]:
        view = View(2, 2)
        view.rescale(1, 1)
        if slanted:
            view.bend(1.0, 0.5, 0.0, 1.0)
        plan = plan_render(view, 2, 2, 3)
        scratch = np.empty(plan.scratch, np.float32)
        render(np.zeros((2, 2, 3), dtype), view, plan, scratch, small, np.zeros((1, 1, 3), canvas.dtype))


def mask_values(width: int) -> int:
    """Return how many float32 values of scratch a mask needs."""
    return line_values(1, width)


def mask_canvas(field: Field) -> Canvas:
    """Make the canvas of a mask, which has one channel and no axis for it."""
    return Canvas(field.shape, field.dtype, False, (0.0, 0.0))


def render_mask(
    numbers: NDArray[Any], view: View, fill: int, scratch: NDArray[np.float32], canvas: Canvas, row: NDArray[Any]
) -> None:  # fmt: skip
    """Render one mask with nearest-neighbor interpolation.

    Parameters
    ----------
    numbers
        (height, width, 1), C-contiguous, integers that float32 can hold.
    view
        Where output pixels come from, in these pixels; changed.
    fill
        The number around the mask.
    scratch
        float32, at least `mask_values`.
    canvas
        By `mask_canvas`.
    row
        (height, width), C-contiguous.
    """
    view.kind, view.erased, view.color, view.gains = NEAREST, (), IDENTITY, None
    view.fill = (float(fill),) * 3
    render(numbers, view, RenderPlan(True, 1, 1, mask_values(canvas.width)), scratch, canvas, row)
