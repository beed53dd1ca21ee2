"""Sizes and times of many files in one call without the GIL, on Linux.

`statx` has the same structure on every processor (linux/stat.h), unlike `stat`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from bitesize.kernels.jit import jit

_statx = types.ExternalFunction(
    "statx", types.int32(types.int32, types.intp, types.int32, types.uint32, types.intp)
)  # fmt: skip
_HERE = -100  # AT_FDCWD
_SIZE_AND_TIME = 0x200 | 0x40  # STATX_SIZE | STATX_MTIME
# Of the structure, in bytes, and offsets of 64-bit values in it: the size, and the seconds of the last modification; nanoseconds follow.
_NBYTES, _SIZE, _SECONDS = 256, 40, 112

# Set when the function has been compiled or loaded.
LOADED = False


@jit
def states(paths: Any, starts: Any, sizes: Any, times: Any) -> None:
    """Get size and time of files.

    Parameters
    ----------
    paths, starts
        See `libc.open_all`.
    sizes, times
        (n,) int64, filled: bytes, and nanoseconds since 1970; -1 for both if a file cannot be found.
    """
    buffer = np.empty(_NBYTES, np.uint8)
    numbers, halves = buffer.view(np.int64), buffer.view(np.uint32)
    for i in range(starts.shape[0]):
        sizes[i] = times[i] = -1
        address = paths.ctypes.data + starts[i]
        if _statx(np.int32(_HERE), address, np.int32(0), np.uint32(_SIZE_AND_TIME), buffer.ctypes.data) == 0:
            sizes[i] = numbers[_SIZE // 8]
            times[i] = numbers[_SECONDS // 8] * 1_000_000_000 + np.int64(halves[_SECONDS // 4 + 2])
