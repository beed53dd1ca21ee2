"""Render pixels into the batch according to a View: choose the kernel and its output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import NEAREST, PLAIN, crop_values, line_values, resample_values, taps
from bitesize.spec import Field
from bitesize.transforms.axes import EDGE, Axis, axes_of, whole_place
from bitesize.transforms.canvas import Canvas
from bitesize.transforms.view import PLAIN as IDENTITY
from bitesize.transforms.view import Color, View


class RenderPlan(NamedTuple):
    """How one view is rendered.

    Attributes
    ----------
    kernel : str
        ``"crop"`` if every output pixel is a pixel of the image, ``"resample"`` if lines stay parallel to lines, or ``"warp"``.
    x, y : int
        Taps, or points of an output pixel, in both directions.
    scratch : int
        Number of float32 values of scratch.
    axes : tuple of (Axis, Axis, bool), or None
        See `axes_of`; not of `warp`.
    """

    kernel: Literal["crop", "resample", "warp"]
    x: int
    y: int
    scratch: int
    axes: tuple[Axis, Axis, bool] | None = None


def plan_render(view: View, width: int, height: int, channels: int) -> RenderPlan:
    """Compute what `render` needs for a view on pixels of ``width`` x ``height``."""
    out_w, out_h = int(view.width), int(view.height)
    if view.upright:
        axes = x, y, turned = axes_of(view, width, height)
        if x.whole and y.whole:
            return RenderPlan("crop", 1, 1, crop_values(channels, out_h, out_w), axes)
        if view.kind != NEAREST:
            if turned:
                out_w, out_h = out_h, out_w
            x_taps, y_taps = taps(x.step, width, view.kind), taps(y.step, height, view.kind)
            return RenderPlan(
                "resample", x_taps, y_taps, resample_values(width, channels, x_taps, y_taps, out_h, out_w), axes
            )  # fmt: skip
    across, down = (1.0, 1.0) if view.kind == NEAREST else view.steps()
    return RenderPlan(
        "warp", max(1, math.ceil(across - EDGE)), max(1, math.ceil(down - EDGE)), line_values(channels, out_w)
    )  # fmt: skip


def most_values(width: int, height: int, channels: int, out_w: int, out_h: int) -> int:
    """Bound the float32 values of scratch that `render` needs, whatever random numbers make of the view."""
    # Upright or turned, an output pixel is made of all pixels of the image at most.
    return max(
        resample_values(width, channels, width, height, out_h, out_w),
        resample_values(width, channels, width, height, out_w, out_h),
        crop_values(channels, out_h, out_w),
        line_values(channels, out_w),
    )


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
    if plan.kernel == "crop":
        assert plan.axes is not None
        x, y, turned = plan.axes
        _surround(view, plan, canvas, row)
        place = (y.begin, x.begin, y.size, x.size, *place_of(x, y, turned, canvas))
        _crop(pixels[None], [view], [place], scratch, canvas, row[None])
        return
    mixes, numbers = _arranged(view, pixels.shape[2])
    colors = np.array(numbers, np.float32)
    if plan.kernel == "warp":
        from bitesize.kernels.warp import warp  # loads the compiler: only callers that render wait for it

        affine = (view.a, view.b, view.c, view.d, view.e, view.f)
        fill = np.array((*view.fill, 0.0)[: pixels.shape[2]], np.float32)
        layout = (0, canvas.line, canvas.step, canvas.apart, canvas.height, canvas.width)
        points = (plan.x, plan.y)
        warp(
            pixels, affine, view.kind, points, fill, mixes, colors, canvas.limits, canvas.code, scratch, canvas.flat(row), layout
        )  # fmt: skip
    else:
        assert plan.axes is not None
        from bitesize.kernels.resample import resample  # loads the compiler: only callers that render wait for it

        x, y, turned = plan.axes
        _surround(view, plan, canvas, row)
        if x.size > 0 and y.size > 0:
            at, down, across = place_of(x, y, turned, canvas)
            x_axis, y_axis = (x.origin, x.begin, x.step), (y.origin, y.begin, y.step)
            layout = (at, down, across, canvas.apart, y.size, x.size)
            resample(
                pixels, x_axis, y_axis, view.kind, (plan.x, plan.y), mixes, colors, canvas.limits, canvas.code, scratch,
                canvas.flat(row), layout
            )  # fmt: skip
    _erase(view, canvas, row)


class RowPlans(NamedTuple):
    """How many rows are rendered: in one call if each only moves whole pixels of its image, otherwise one by one.

    Attributes
    ----------
    views : list of View
        One for each row, or one for all.
    places : list of tuple
        Their places, see `whole_place`; none if some resample.
    plans : list of RenderPlan
        Their plans; none if there are places.
    """

    views: list[View]
    places: list[tuple[int, ...]]
    plans: list[RenderPlan]


def plan_rows(views: list[View], width: int, height: int, channels: int, canvas: Canvas) -> RowPlans:
    """Plan `render_rows`, for views on pixels of ``width`` x ``height``."""
    places = [whole_place(view, width, height, canvas) for view in views]
    known = [place for place in places if place is not None]
    if len(known) == len(places):
        return RowPlans(views, known, [])
    return RowPlans(views, [], [plan_render(view, width, height, channels) for view in views])


def render_rows(
    images: NDArray[Any], planned: RowPlans, scratch: NDArray[np.float32], canvas: Canvas, rows: NDArray[Any]
) -> None:  # fmt: skip
    """Render many rows.

    Parameters
    ----------
    images
        (rows, height, width, channels), C-contiguous, any number type.
    planned
        By `plan_rows`.
    scratch
        float32, as many values as any of the views needs; see `plan_render`.
    canvas
        Of the views' size.
    rows
        The rows of the batch, C-contiguous.
    """
    views, places, plans = planned
    if places:
        _crop(images, views, places, scratch, canvas, rows)
        return
    for i, image in enumerate(images):
        one = i if len(views) > 1 else 0
        render(image, views[one], plans[one], scratch, canvas, rows[i])


def _crop(
    images: NDArray[Any], views: Sequence[View], places: Sequence[tuple[int, ...]], scratch: NDArray[np.float32], canvas: Canvas,
    rows: NDArray[Any]
) -> None:  # fmt: skip
    from bitesize.kernels.crop import crop_rows  # loads the compiler: only callers that render wait for it

    channels = images.shape[3]
    arranged = [_arranged(view, channels) for view in views]
    mixes = arranged[0][0]
    if any(mixed != mixes for mixed, _ in arranged):  # mixing with factors of 0 would spread values that are not finite
        for i in range(len(images)):
            one = slice(i, i + 1)
            _crop(images[one], views[one], places[one], scratch, canvas, rows[one])
        return
    colors = np.array([numbers for _, numbers in arranged], np.float32)
    stored = rows.reshape(len(rows), -1)
    crop_rows(
        images, np.array(places, np.int64), mixes, colors, canvas.limits, canvas.code, scratch,
        stored if canvas.code == PLAIN else stored.view(np.uint16), canvas.apart
    )  # fmt: skip
    for i in range(len(images)):
        view = views[i if len(views) > 1 else 0]
        if view.erased:
            _erase(view, canvas, rows[i])


def place_of(x: Axis, y: Axis, turned: bool, canvas: Canvas) -> tuple[int, int, int]:
    """Return the index of the first pixel in the output, and the distances to the one below and to the right in the image."""
    if turned:
        (at, across), (more, down) = x.place(canvas.height, canvas.line), y.place(canvas.width, canvas.step)
    else:
        (at, across), (more, down) = x.place(canvas.width, canvas.step), y.place(canvas.height, canvas.line)
    return at + more, down, across


def _arranged(view: View, channels: int) -> tuple[bool, tuple[float, ...]]:
    """Return whether colors are mixed, and the numbers that kernels take for them; see `store.color_line`."""
    if view.gains is not None:
        return False, (*view.gains, *view.offsets)
    m0, m1, m2, o0, m3, m4, m5, o1, m6, m7, m8, o2 = view.color
    if channels == 1:
        return False, (m0, o0)
    mixes = any((m1, m2, m3, m5, m6, m7))
    if channels == 3:
        if not mixes:
            return False, (m0, m4, m8, o0, o1, o2)
        return True, (0.0, 0.0, 0.0, o0, o1, o2, m0, m3, m6, m1, m4, m7, m2, m5, m8, 0.0, 0.0, 0.0, 0.0)
    if not mixes:
        return False, (m0, m4, m8, view.alpha, o0, o1, o2, 0.0)
    by_channel = (m0, m3, m6, 0.0, m1, m4, m7, 0.0, m2, m5, m8, 0.0)
    return True, (0.0, 0.0, 0.0, view.alpha, o0, o1, o2, 0.0, *by_channel, 0.0, 0.0, 0.0, 0.0)


def channel_numbers(view: View, channels: int) -> tuple[float, ...]:
    """Return the factors and offsets of channels that are not mixed, as kernels take them."""
    mixes, numbers = _arranged(view, channels)
    assert not mixes
    return numbers


def _surround(view: View, plan: RenderPlan, canvas: Canvas, row: NDArray[Any]) -> None:
    """Paint what lies outside the image in the fill color."""
    assert plan.axes is not None
    x, y, turned = plan.axes
    height, width = (canvas.width, canvas.height) if turned else (canvas.height, canvas.width)
    if x.size == width and y.size == height:
        return
    pixels, color = canvas.pixels(row), fill_color(view)
    if turned:
        pixels = pixels.transpose(1, 0, 2)
    pixels = pixels[:: -1 if y.mirrored else 1, :: -1 if x.mirrored else 1]
    top, bottom, left, right = y.skipped, y.skipped + y.size, x.skipped, x.skipped + x.size
    for part in (pixels[:top], pixels[bottom:], pixels[top:bottom, :left], pixels[top:bottom, right:]):
        if part.size:
            paint(part, canvas, color)


def _erase(view: View, canvas: Canvas, row: NDArray[Any]) -> None:
    for left, top, right, bottom, shown in view.erased:
        rows = slice(max(0, math.ceil(top - 0.5)), max(0, math.ceil(bottom - 0.5)))
        columns = slice(max(0, math.ceil(left - 0.5)), max(0, math.ceil(right - 0.5)))
        paint(canvas.pixels(row)[rows, columns], canvas, shown)


def fill_color(view: View) -> Color:
    """Return the fill color as values of the batch."""
    if view.gains is not None:
        return tuple(g * c + o for g, c, o in zip(view.gains, view.fill, view.offsets, strict=True))
    (r, g, b), m = view.fill, view.color
    return (
        m[0] * r + m[1] * g + m[2] * b + m[3],
        m[4] * r + m[5] * g + m[6] * b + m[7],
        m[8] * r + m[9] * g + m[10] * b + m[11],
    )


def paint(pixels: NDArray[Any], canvas: Canvas, color: Color) -> None:
    """Fill pixels of a row, channels last; a fourth channel, alpha, with 0."""
    values = np.array((*color, 0.0))[: pixels.shape[-1]]
    low, high = canvas.limits
    if low < high:
        values = np.clip(np.floor(values + 0.5), low, high)
    pixels[...] = values.astype(pixels.dtype)


def warm_up(dtype: np.dtype[Any], canvas: Canvas, non_axis_aligned: bool) -> None:
    """Load or compile the code that renders pixels of a dtype, by rendering one pixel."""
    small = Canvas((1, 1, 3), canvas.dtype, False, (0.0, 0.0))
    for kernel in ("crop", "resample", "warp")[: 2 + non_axis_aligned]:
        view = View(2, 2)
        if kernel == "crop":
            view.crop(0, 0, 1, 1)
        else:
            view.rescale(1, 1)
        if kernel == "warp":
            view.bend(1.0, 0.5, 0.0, 1.0)
        plan = plan_render(view, 2, 2, 3)
        assert plan.kernel == kernel
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
    render(numbers, view, RenderPlan("warp", 1, 1, mask_values(canvas.width)), scratch, canvas, row)
