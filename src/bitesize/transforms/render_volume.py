"""Render volumes into the batch according to a `VolumeView`: slice by slice, with the kernels for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.filters import NEAREST, crop_values, line_values, resample_values, taps, volume_values
from bitesize.transforms.axes import Axis, axes_of, axis_of
from bitesize.transforms.canvas import Canvas
from bitesize.transforms.render import channel_numbers, fill_color, paint, place_of
from bitesize.transforms.volume import VolumeView

Shape = tuple[int, int, int, int]  # depth, height, width, channels


class VolumeCanvas(Canvas):
    """The target of rendering a volume: one canvas for all slices, and the distance from slice to slice.

    Parameters
    ----------
    shape
        (depth, height, width), or with channels at the end, or, where ``chw``, at the start.
    dtype, chw, limits
        See `Canvas`.
    """

    __slots__ = ("depth", "slice")

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any], chw: bool, limits: tuple[float, float]) -> None:
        self.depth = shape[1] if chw else shape[0]
        super().__init__((shape[0], *shape[2:]) if chw else shape[1:], dtype, chw, limits)
        self.slice = self.height * self.line
        if chw:
            self.apart = self.depth * self.slice

    def pixels(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return a row as (depth, height, width, channels)."""
        return row.transpose(1, 2, 3, 0) if self._chw else row[..., None] if self._flat else row


class VolumePlan(NamedTuple):
    """How one view of a volume is rendered.

    Attributes
    ----------
    kernel : str
        ``"crop"`` if every voxel of the output is a voxel of the volume, ``"resample"``, or ``"nearest"``.
    z, x, y : Axis
        Axes in the order of the volume.
    turned : bool
        Whether x of the volume is y of the output.
    taps : tuple of 3 int
        Taps along z, x and y.
    scratch : int
        Number of float32 values of scratch.
    """

    kernel: Literal["crop", "resample", "nearest"]
    z: Axis
    x: Axis
    y: Axis
    turned: bool
    taps: tuple[int, int, int]
    scratch: int


def plan_volume(view: VolumeView, shape: Shape) -> VolumePlan:
    """Compute what `render_volume` needs for a view of a volume of this shape."""
    depth, height, width, channels = shape
    out_w, out_h = int(view.width), int(view.height)
    x, y, turned = axes_of(view, width, height)
    z = axis_of(view.z_step, view.z_start, int(view.depth), depth)
    if x.whole and y.whole and z.whole:
        return VolumePlan("crop", z, x, y, turned, (1, 1, 1), crop_values(channels, out_h, out_w))
    if view.kind == NEAREST:
        return VolumePlan("nearest", z, x, y, turned, (1, 1, 1), line_values(channels, out_w))
    if turned:
        out_w, out_h = out_h, out_w
    z_taps = 1 if z.whole else taps(z.step, depth, view.kind)
    x_taps, y_taps = taps(x.step, width, view.kind), taps(y.step, height, view.kind)
    plane = resample_values(width, channels, x_taps, y_taps, out_h, out_w)
    need = volume_values(int(view.depth), z_taps, height * width * channels, plane)
    return VolumePlan("resample", z, x, y, turned, (z_taps, x_taps, y_taps), need)


def most_volume_values(shape: Shape, sides: tuple[int, int, int], resamples: bool) -> int:
    """Bound the float32 values of scratch that `render_volume` needs for an output of these sides, whatever random numbers make of the view."""
    (depth, height, width, channels), (out_d, out_h, out_w) = shape, sides
    whole = crop_values(channels, out_h, out_w)
    if not resamples:
        return whole
    plane = max(resample_values(width, channels, width, height, *size) for size in ((out_h, out_w), (out_w, out_h)))
    return max(whole, line_values(channels, out_w), volume_values(out_d, depth, height * width * channels, plane))


def render_volume(
    voxels: NDArray[Any], view: VolumeView, plan: VolumePlan, scratch: NDArray[np.float32], canvas: VolumeCanvas, row: NDArray[Any]
) -> None:  # fmt: skip
    """Render one volume.

    Parameters
    ----------
    voxels
        (depth, height, width, channels), C-contiguous, any number type.
    view
        Where output voxels come from, in these voxels.
    plan
        By `plan_volume`.
    scratch
        float32, at least ``plan.scratch`` values.
    canvas
        Of the view's size.
    row
        The row of the batch, C-contiguous.
    """
    from bitesize.kernels import volume as kernels  # loads the compiler: only callers that render wait for it

    z, x, y = plan.z, plan.x, plan.y
    _surround(view, plan, canvas, row)
    if not (z.size and y.size and x.size):
        return
    first, apart = z.place(canvas.depth, canvas.slice)
    starts = first + apart * np.arange(z.size, dtype=np.int64)
    slices = z.begin + np.arange(z.size, dtype=np.int64)
    colors = np.array([channel_numbers(view, voxels.shape[3])], np.float32)
    flat, end = canvas.flat(row), (canvas.limits, canvas.code, scratch)
    at, down, across = place_of(x, y, plan.turned, canvas)
    if plan.kernel == "crop":
        places = np.empty((z.size, 7), np.int64)
        places[:] = (y.begin, x.begin, y.size, x.size, at, down, across)
        places[:, 4] += starts
        kernels.crop_slices(voxels, slices, places, colors, *end, flat[None], canvas.apart)
    elif plan.kernel == "nearest":
        if not z.whole:
            slices = np.floor(z.origin + (z.begin + np.arange(z.size) + 0.5) * z.step).astype(np.int64)
        affine = (view.a, view.b, view.c, view.d, view.e, view.f)
        layout = (canvas.line, canvas.step, canvas.apart, canvas.height, canvas.width)
        fill = np.array(view.fill[: voxels.shape[3]], np.float32)
        kernels.nearest_slices(
            voxels, slices.clip(0, len(voxels) - 1), affine, fill, colors[0], *end, flat, starts, layout
        )  # fmt: skip
    else:
        z_axis, x_axis, y_axis = ((axis.origin, axis.begin, axis.step) for axis in (z, x, y))
        layout = (down, across, canvas.apart, y.size, x.size)
        kernels.resample_slices(
            voxels, z_axis, z.whole, plan.taps[0], x_axis, y_axis, view.kind, plan.taps[1:], colors[0], *end, flat, starts + at, layout
        )  # fmt: skip


def _surround(view: VolumeView, plan: VolumePlan, canvas: VolumeCanvas, row: NDArray[Any]) -> None:
    """Paint what lies outside the volume in the fill color."""
    z, y, x = plan.z, plan.y, plan.x
    voxels = canvas.pixels(row)
    if plan.turned:
        voxels = voxels.transpose(0, 2, 1, 3)
    if voxels.shape[:3] == (z.size, y.size, x.size):
        return
    voxels = voxels[tuple(slice(None, None, -1 if axis.mirrored else 1) for axis in (z, y, x))]
    color = fill_color(view)
    for axis in (z, y, x):  # slices outside; then lines outside of the other slices; then the rest of the other lines
        start, stop = axis.skipped, axis.skipped + axis.size
        for outside in (voxels[:start], voxels[stop:]):
            if outside.size:
                paint(outside, canvas, color)
        voxels = np.moveaxis(voxels[start:stop], 0, 2)


def mask_volume_canvas(shape: Sequence[int], dtype: np.dtype[Any]) -> VolumeCanvas:
    """Make the canvas of the mask of a volume, which has no axis for channels."""
    return VolumeCanvas(shape, dtype, False, (0.0, 0.0))


def render_volume_mask(
    numbers: NDArray[Any], view: VolumeView, fill: int, scratch: NDArray[np.float32], canvas: VolumeCanvas, row: NDArray[Any]
) -> None:  # fmt: skip
    """Render the mask of a volume, (depth, height, width), without interpolation; ``view`` is changed. For all else, see `render_mask`."""
    view.kind, view.fill = NEAREST, (float(fill),)
    view.gains, view.offsets = (1.0,), (0.0,)
    voxels = numbers[..., None]
    render_volume(voxels, view, plan_volume(view, voxels.shape), scratch, canvas, row)


def warm_up_volume(dtype: np.dtype[Any], canvas: VolumeCanvas, resamples: bool) -> None:
    """Load or compile the code that renders volumes of a dtype, by rendering one voxel."""
    small = VolumeCanvas((1, 1, 1, 1), canvas.dtype, False, (0.0, 0.0))
    for kernel in ("crop", "resample")[: 1 + resamples]:
        view = VolumeView(2, 2, 2)
        if kernel == "crop":
            view.crop(0, 0, 1, 1)
            view.crop_depth(0, 1)
        else:
            view.rescale(1, 1)
            view.rescale_depth(1)
        plan = plan_volume(view, (2, 2, 2, 1))
        assert plan.kernel == kernel
        scratch = np.empty(plan.scratch, np.float32)
        render_volume(np.zeros((2, 2, 2, 1), dtype), view, plan, scratch, small, np.zeros((1, 1, 1, 1), canvas.dtype))
