"""The end of every kernel: color one line of float32 pixels, and store it in the batch's type and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from bitesize.kernels.filters import BRAIN, HALF
from bitesize.kernels.jit import LEAN, lean_jit
from bitesize.kernels.vector import fuse, mix_four, stream

# Images of at least this number of values are written past the cache. Smaller ones stay in the cache, for the consumer.
LARGE = 32_768


@lean_jit
def color_line(line: Any, channels: int, width: int, mixes: bool, colors: Any, target: Any) -> None:
    """Apply colors to a line of pixels.

    Parameters
    ----------
    line
        float32, interleaved pixels, and room for 4 more values.
    channels
        Any number; 3 or 4 if colors are mixed.
    mixes
        Whether each channel is also a sum of the first three.
    colors
        float32: a factor for each channel, an offset for each, and if colors are mixed, the contributions of the first channel to each,
        of the second, and of the third, and 4 unused values.
    target
        As long as ``line``; filled.
    """
    if mixes:
        for x in range(width):
            mix_four(line, target, x * channels, colors, channels)
        return
    for x in range(width):
        for c in range(channels):
            j = x * channels + c
            target[j] = fuse(line[j], colors[c], colors[channels + c])


@lean_jit
def half_bits(bits: Any) -> Any:
    """Round a float32, given by its bits, to the nearest float16, ties to even (IEEE 754-2019, binary16)."""
    sign = np.uint32((bits >> np.uint32(16)) & np.uint32(0x8000))
    rest = bits & np.uint32(0x7FFFFFFF)
    if rest >= np.uint32(0x47800000):  # 65536 or more, infinity, or NaN
        result = np.uint32(0x7E00) if rest > np.uint32(0x7F800000) else np.uint32(0x7C00)
    elif rest < np.uint32(0x38800000):  # below 2**-14: a multiple of 2**-24, counted with the same rounding
        exponent = np.int64(rest >> np.uint32(23))
        shift = min(np.int64(126) - exponent, np.int64(31))
        digits = np.int64((rest & np.uint32(0x7FFFFF)) | np.uint32(0x800000)) if exponent > 0 else np.int64(0)
        whole = digits >> shift
        left = digits - (whole << shift)
        middle = np.int64(1) << (shift - 1)
        up = left > middle or (left == middle and whole & 1)
        result = np.uint32(whole + (1 if up else 0))
    else:
        odd = (rest >> np.uint32(13)) & np.uint32(1)
        # Change the exponent's bias from 127 to 15, and round off the 13 digits that float16 does not have.
        result = (rest - np.uint32((127 - 15) << 23) + np.uint32(0xFFF) + odd) >> np.uint32(13)
    return np.uint16(sign | result)


@lean_jit
def brain_bits(bits: Any) -> Any:
    """Round a float32, given by its bits, to the nearest bfloat16, ties to even."""
    if bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000):  # NaN: rounding could make it infinite
        return np.uint16((bits >> np.uint32(16)) | np.uint32(0x40))
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@lean_jit
def _store_bits(bits: Any, channels: int, code: int, out: Any, at: int, step: int, apart: int) -> None:
    """Store float32 values, given by their bits, as a shorter type."""
    if code == HALF and apart == 1 and step == channels:
        # First convert all values as if none were tiny, huge or NaN; if there was one, repeat with the exact conversion.
        target, odd = out[at : at + bits.shape[0]], False
        for j in range(bits.shape[0]):
            rest = bits[j] & np.uint32(0x7FFFFFFF)
            common = rest >= np.uint32(0x38800000) and rest < np.uint32(0x47800000)
            odd |= not common and rest != 0
            rounded = (
                rest - np.uint32(0x38000000) + np.uint32(0xFFF) + ((rest >> np.uint32(13)) & np.uint32(1))
            ) >> np.uint32(13)
            target[j] = ((bits[j] >> np.uint32(16)) & np.uint32(0x8000)) | (rounded if common else np.uint32(0))
        if not odd:
            return
    for x in range(bits.shape[0] // channels):
        for c in range(channels):
            b = bits[x * channels + c]
            out[at + x * step + c * apart] = half_bits(b) if code == HALF else brain_bits(b)


@lean_jit
def _clamp_line(line: Any, count: int, limits: Any) -> None:
    """Round and clamp ``count`` values in place, unless ``limits`` are none."""
    if limits[0] < limits[1]:
        floor, ceiling = np.float32(limits[0]), np.float32(limits[1])
        for j in range(count):
            line[j] = min(max(np.floor(line[j] + np.float32(0.5)), floor), ceiling)


# How values are rounded to the type of ``out``: a variant for each kind of type, so that no code is compiled for cases that a type does
# not have. Each returns whether the values are stored already.


def _leave(
    line: Any, channels: Any, width: Any, limits: Any, code: Any, out: Any, at: Any, step: Any, apart: Any
) -> bool:  # fmt: skip
    """Leave values for an output of float32 or float64."""
    return False


def _clamp(
    line: Any, channels: Any, width: Any, limits: Any, code: Any, out: Any, at: Any, step: Any, apart: Any
) -> bool:  # fmt: skip
    """Round and clamp values in place, for integers of up to 16 bits."""
    _clamp_line(line, width * channels, limits)
    return False


def _clamp_or_shorten(
    line: Any, channels: Any, width: Any, limits: Any, code: Any, out: Any, at: Any, step: Any, apart: Any
) -> bool:  # fmt: skip
    """Round and clamp for uint16, or store the bits of a shorter float."""
    if code == HALF or code == BRAIN:  # noqa: SIM109 - compiled code compares faster than it searches
        _store_bits(line.view(np.uint32)[: width * channels], channels, code, out, at, step, apart)
        return True
    _clamp_line(line, width * channels, limits)
    return False


def _clamp_each(
    line: Any, channels: Any, width: Any, limits: Any, code: Any, out: Any, at: Any, step: Any, apart: Any
) -> bool:  # fmt: skip
    """Round, clamp and store integers whose limits float32 cannot represent, value by value."""
    if limits[0] >= limits[1]:
        return False
    for x in range(width):
        for c in range(channels):
            value = np.floor(np.float64(line[x * channels + c]) + 0.5)
            out[at + x * step + c * apart] = min(max(value, limits[0]), limits[1])
    return True


def _finish(
    line: Any, channels: Any, width: Any, limits: Any, code: Any, out: Any, at: Any, step: Any, apart: Any
) -> bool:  # fmt: skip
    """Round values to the type of ``out`` in place, or store them; return whether they are stored."""
    raise NotImplementedError


@overload(_finish, jit_options=LEAN)  # type: ignore[untyped-decorator]
def _finish_for(
    line: Any, channels: Any, width: Any, limits: Any, code: Any, out: Any, at: Any, step: Any, apart: Any
) -> Any:  # fmt: skip
    """Return the variant for a type."""
    if out.dtype == types.uint16:
        return _clamp_or_shorten
    if isinstance(out.dtype, types.Integer):
        return _clamp if out.dtype.bitwidth <= 16 else _clamp_each
    return _leave


@lean_jit
def store_line(
    line: Any, channels: int, width: int, limits: Any, code: int, out: Any, at: int, step: int, apart: int
) -> None:
    """Store a line of pixels.

    Parameters
    ----------
    line
        float32, at least width * channels values; changed.
    limits
        Two floats: clamp to this range and round (for integers); ``low >= high`` leaves values unchanged.
    code
        `PLAIN`, or `HALF` or `BRAIN` for an ``out`` of uint16 with the bits of the values.
    out
        One-dimensional, any number type.
    at, step, apart
        Index of the first value, distance from pixel to pixel, and distance from channel to channel.
    """
    if _finish(line, channels, width, limits, code, out, at, step, apart):
        return
    size = width * channels
    if step == channels and (apart == 1 or channels == 1):
        if out.shape[0] < LARGE or not stream(line, size, out, at):
            target = out[at : at + size]
            for j in range(size):
                target[j] = line[j]
    else:
        for x in range(width):
            for c in range(channels):
                out[at + x * step + c * apart] = line[x * channels + c]
