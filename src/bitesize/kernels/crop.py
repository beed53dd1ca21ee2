"""Images that are cropped, flipped or turned by whole pixels: no resampling, only colors, cast and layout.

Flips, quarter turns and channel order are distances in the output, as in `resample`. Lines are computed in the order in which
they are stored: the pixels of a mirrored line, or of a column, are gathered before they are cast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.cast import cast_line, cast_three
from bitesize.kernels.jit import lean_jit
from bitesize.kernels.resample import rounded_up_to_eight
from bitesize.kernels.shuffle import copy_four, turn_three
from bitesize.kernels.store import color_line, store_line
from bitesize.kernels.vector import LANES


@lean_jit
def _gather(values: Any, start: int, step: int, channels: int, count: int, line: Any) -> None:
    """Copy ``count`` pixels that lie ``step`` values apart into ``line``. Up to three values after the last pixel are changed."""
    if channels == 1:
        if step == -1:  # the compiler reverses whole vectors
            for i in range(count):
                line[i] = values[start - i]
        else:
            for i in range(count):
                line[i] = values[start + i * step]
        return
    for i in range(count):
        k, j = start + i * step, i * channels
        # The next pixel replaces a fourth value that is too many. Nothing may be read behind the last line of the image.
        if channels == 4 or (channels == 3 and i != (count - 1 if step > 0 else 0)):
            copy_four(values, k, line, j)
        else:
            for c in range(channels):
                line[j + c] = values[k + c]


@lean_jit
def _turn(values: Any, start: int, step: int, count: int, lines: Any, apart: int) -> None:
    """Copy eight neighboring columns of ``count`` pixels of three channels, ``step`` values apart, into lines."""
    for y in range(0, count, LANES):
        i = min(y, count - LANES)  # the last pixels again, if fewer are left
        turn_three(values, start + i * step, step, lines, 3 * i, apart)


@lean_jit
def crop_rows(
    source: Any, places: Any, mixes: bool, colors: Any, limits: Any, code: int, scratch: Any, out: Any, apart: int
) -> None:  # fmt: skip
    """Write parts of images into ``out``, with colors, by way of float32.

    Parameters
    ----------
    source
        (rows, height, width, channels), any number type, C-contiguous.
    places
        (rows or 1, 7) int64: top, left, height and width of the part; index in ``out`` of its first pixel, and distances to the pixel
        below and to the right.
    mixes, colors
        See `color_line`; colors are (rows or 1, factors and offsets).
    limits, code, out
        See `store_line`; ``out`` is (rows, values), C-contiguous.
    scratch
        float32 of `crop_values`.
    apart
        Distance from channel to channel in ``out``.
    """
    width, channels = source.shape[2:]
    for i in range(source.shape[0]):
        top, left, lines, pixels, at, line_step, step = places[i if places.shape[0] > 1 else 0]
        k = i if colors.shape[0] > 1 else 0
        start, line_apart, pixel_apart = (top * width + left) * channels, width * channels, channels
        if abs(step) > abs(line_step):  # turned: columns become lines
            lines, pixels, line_step, step, line_apart, pixel_apart = pixels, lines, step, line_step, pixel_apart, line_apart
        if step < 0:  # lines are stored from their first pixel to the last
            start, at = start + (pixels - 1) * pixel_apart, at + (pixels - 1) * step
            step, pixel_apart = -step, -pixel_apart
        size, planes = pixels * channels, 3 if channels == 3 and step == 1 and pixels >= LANES and not mixes else 1
        mirrored = pixel_apart == -channels and channels == 3 and pixels >= LANES
        long = rounded_up_to_eight(size) + LANES
        line, mixed = scratch[:long], scratch[long : 2 * long]
        factor, offset = scratch[2 * long : 3 * long], scratch[3 * long : 4 * long]
        gathered, block = scratch[4 * long : 8 * long].view(source.dtype), 0
        turned = line_apart == channels == 3 and lines >= LANES and pixels >= LANES and source.itemsize <= 2
        for c in range(channels):
            for j in range(c, size, channels):
                factor[j], offset[j] = (1.0, 0.0) if mixes else (colors[k, c], colors[k, channels + c])
        image, target = source[i].reshape(-1), out[i]
        for y in range(lines if pixels > 0 else 0):
            begin, part = start + y * line_apart, image
            if turned:
                if y % LANES == 0:
                    block = min(y, lines - LANES)  # the last columns again, if fewer are left
                    _turn(image, start + block * line_apart, pixel_apart, pixels, gathered, size)
                begin, part = (y - block) * size, gathered
            elif pixel_apart != channels and not mirrored:
                _gather(image, begin, pixel_apart, channels, pixels, gathered)
                begin, part = 0, gathered
            if mirrored or planes == 3:
                first = begin - size + 3 if mirrored else begin
                cast_three(part, first, pixels, factor, offset, planes == 3, mirrored, line)
            else:
                cast_line(part[begin : begin + size], factor, offset, line)
            if mixes:
                color_line(line, channels, pixels, True, colors[k], mixed)
                line, mixed = mixed, line
            for c in range(planes):
                place = at + y * line_step + c * apart
                store_line(line[c * pixels :], channels // planes, pixels, limits, code, target, place, step, apart)


def crop_reference(
    source: NDArray[Any], colors: NDArray[np.float32], quarters: int, mirrored: bool, out: NDArray[Any]
) -> None:  # fmt: skip
    """Reference of `crop_rows` in NumPy, in float64: all of ``source``, turned and mirrored, with a factor and an offset a channel."""
    turned = np.rot90(source, quarters)
    factor, offset = colors.astype(np.float64).reshape(2, -1)
    out[...] = (turned[:, ::-1] if mirrored else turned) * factor + offset
