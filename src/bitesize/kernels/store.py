"""The end of every kernel: color one line of float32 pixels, and store it in the batch's type and layout."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.kernels.filters import BRAIN, HALF
from bitesize.kernels.jit import jit
from bitesize.kernels.vector import stream

# Images of at least this number of values are written past the cache. Smaller ones stay in the cache, for the consumer.
LARGE = 32_768


@jit
def arrange_colors(color: Any, alpha: float, channels: int, colors: Any) -> bool:
    """Arrange a color matrix for `sum_taps` and `color_line`; return whether it mixes channels.

    Parameters
    ----------
    color
        12 floats, row by row: ``out = color[:, :3] @ rgb + color[:, 3]``. One channel uses the first row only.
    alpha
        Factor of a fourth channel.
    channels
        1, 3 or 4.
    colors
        (20,) float32, filled: factors of four channels, and offsets; then the contributions of the first, second and third
        channel to each channel, if channels are mixed.
    """
    mixes = False
    colors[:] = np.float32(0.0)
    for c in range(3):
        colors[4 + c] = np.float32(color[4 * c + 3])
        for i in range(3):
            colors[8 + 4 * i + c] = np.float32(color[4 * c + i])
            mixes = mixes or (channels >= 3 and i != c and color[4 * c + i] != 0.0)
    colors[3] = np.float32(alpha)
    if not mixes:
        for c in range(3):
            colors[c] = np.float32(color[5 * c])
    return mixes


@jit
def color_line(line: Any, channels: int, width: int, mixes: bool, colors: Any) -> None:
    """Apply colors, by `arrange_colors`, to a line of pixels in place."""
    for x in range(width):
        j = x * channels
        if mixes:
            r, g, b = line[j], line[j + 1], line[j + 2]
            for c in range(channels):
                line[j + c] = (
                    line[j + c] * colors[c] + colors[4 + c] + colors[8 + c] * r + colors[12 + c] * g + colors[16 + c] * b
                )
        else:
            for c in range(channels):
                line[j + c] = line[j + c] * colors[c] + colors[4 + c]


@jit
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


@jit
def brain_bits(bits: Any) -> Any:
    """Round a float32, given by its bits, to the nearest bfloat16, ties to even."""
    if bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000):  # NaN: rounding could make it infinite
        return np.uint16((bits >> np.uint32(16)) | np.uint32(0x40))
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@jit
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
    size = width * channels
    low, high = limits[0], limits[1]
    if low < high:
        if high <= 65535.0:
            floor, ceiling = np.float32(low), np.float32(high)
            for j in range(size):
                line[j] = min(max(np.floor(line[j] + np.float32(0.5)), floor), ceiling)
        else:  # float32 cannot represent these limits: clamp value by value
            for x in range(width):
                for c in range(channels):
                    value = np.floor(np.float64(line[x * channels + c]) + 0.5)
                    out[at + x * step + c * apart] = min(max(value, low), high)
            return
    if code == HALF or code == BRAIN:  # noqa: SIM109 - compiled code compares faster than it searches
        _store_bits(line.view(np.uint32)[:size], channels, code, out, at, step, apart)
    elif apart == 1 and step == channels:
        if out.shape[0] < LARGE or not stream(line, size, out, at):
            target = out[at : at + size]
            for j in range(size):
                target[j] = line[j]
    elif step == 1:
        for c in range(channels):
            target = out[at + c * apart : at + c * apart + width]
            for x in range(width):
                target[x] = line[x * channels + c]
    else:
        for x in range(width):
            for c in range(channels):
                out[at + x * step + c * apart] = line[x * channels + c]


@jit
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
