"""Kernels for percentiles: the finite values of a channel, and counts of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.kernels.jit import lean_jit

# Values of 16 bits are counted one by one; others by 16 of the 32 bits of their keys at a time.
BINS = 1 << 16


@lean_jit
def keep_finite(values: Any) -> int:
    """Move the finite values of (values,) float32 to its start, and return their number."""
    count = 0
    for i in range(values.shape[0]):
        x = values[i]
        if np.isfinite(x):
            values[count] = x
            count += 1
    return count


@lean_jit
def _key(bits: Any) -> Any:
    """Return an integer for a float32, given by its bits, in the same order as the values."""
    return ~bits if bits & np.uint32(0x80000000) else bits | np.uint32(0x80000000)


def value_of(key: int) -> float:
    """Return the float32 that has a key.

    Examples
    --------
    >>> value_of(0x80000000), value_of(0xBF800000), value_of(0x407FFFFF)
    (0.0, 1.0, -1.0)
    """
    bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
    return float(np.array(bits, np.uint32).view(np.float32))


@lean_jit
def count_channel(values: Any, channel: int, least: int, counts: Any) -> None:
    """Add one channel of integers of up to 16 bits, (pixels, channels), to (bins,) counts; ``least`` is the first bin."""
    for i in range(values.shape[0]):
        counts[np.int64(values[i, channel]) - least] += 1


@lean_jit
def count_values(values: Any, least: int, counts: Any) -> None:
    """Add each channel of integers of up to 16 bits, (pixels, channels), to (channels, bins) counts; see `count_channel`."""
    for c in range(values.shape[1]):
        count_channel(values, c, least, counts[c])


@lean_jit
def count_leading(values: Any, counts: Any, line: Any) -> None:
    """Add the finite values of each channel to counts by the first 16 bits of their keys.

    Parameters
    ----------
    values
        (pixels, channels), any number type.
    counts
        (channels, `BINS`) int64.
    line
        (1,) float32: buffer.
    """
    bits = line.view(np.uint32)
    for i in range(values.shape[0]):
        for c in range(values.shape[1]):
            line[0] = values[i, c]
            if np.isfinite(line[0]):
                counts[c, _key(bits[0]) >> np.uint32(16)] += 1


@lean_jit
def count_trailing(values: Any, leading: Any, counts: Any, line: Any) -> None:
    """Add values whose keys begin with the bits ``leading``, (channels, bins), to counts by the other 16 bits, (channels, bins, `BINS`)."""
    bits = line.view(np.uint32)
    for i in range(values.shape[0]):
        for c in range(values.shape[1]):
            line[0] = values[i, c]
            if np.isfinite(line[0]):
                key = _key(bits[0])
                for k in range(leading.shape[1]):
                    if np.int64(key >> np.uint32(16)) == leading[c, k]:
                        counts[c, k, key & np.uint32(0xFFFF)] += 1
