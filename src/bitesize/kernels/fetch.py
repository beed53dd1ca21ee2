"""From disk to batch in one call without the GIL: read rows of files piece by piece, and cast them while they are in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.kernels.cast import cast_directly, cast_row, is_direct
from bitesize.kernels.jit import jit
from bitesize.kernels.libc import MOST_OPEN, close_all, copy_bytes, open_file, read_fully, size_of


@jit
def fetch_rows(
    paths: Any, starts: Any, flags: int, which: Any, offsets: Any, header: Any, seen: Any, piece: Any, plain: bool,
    factor: Any, offset: Any, line: Any, limits: Any, good: Any, code: int, channels: int, out: Any, step: int, apart: int
) -> None:  # fmt: skip
    """Read rows, multiply, add, cast and store them.

    Parameters
    ----------
    paths, starts, flags
        Files; see `libc.open_all`.
    which, offsets
        (rows,) int64: the file of each row, and the start of the row in the file.
    header
        uint8: if not empty, each file must have exactly this header and one row; other files are not read.
    seen
        uint8 of the same size: buffer for the header of a file.
    piece
        One-dimensional, of the stored type: buffer to read into, a multiple of ``factor.shape[1]`` values.
    good
        (rows,) bool, filled: whether a row was read.
    plain, factor, offset, line, limits, code, channels, out, step, apart
        See `cast.cast_rows`; ``out`` defines the number of values.
    """
    values, width = out.shape[1], piece.itemsize
    nbytes, size = values * width, header.shape[0]
    names, place = paths.ctypes.data, piece.ctypes.data
    direct = values <= piece.shape[0] and is_direct(limits, code, channels, values, step, apart)
    row = piece[: min(values, piece.shape[0])].reshape(1, -1)
    files = np.full(starts.shape[0], -1, np.int32)
    opened = 0
    for i in range(which.shape[0]):
        good[i] = False
        if files[which[i]] < 0:
            if opened == MOST_OPEN:
                close_all(files)
                opened = 0
            files[which[i]] = open_file(names + starts[which[i]], flags)
            opened += 1
        file = files[which[i]]
        if file < 0:
            continue
        if size > 0:
            if size_of(file) != size + nbytes or not read_fully(file, seen.ctypes.data, size, 0):
                continue
            same = True
            for j in range(size):
                same &= seen[j] == header[j]
            if not same:
                continue
        k = i if factor.shape[0] > 1 else 0
        if direct:
            good[i] = read_fully(file, place, nbytes, offsets[i])
            if good[i]:
                cast_directly(row, 0, plain, factor, offset, k, out, i)
            continue
        done = True
        for start in range(0, values, piece.shape[0]):
            count = min(piece.shape[0], values - start)
            done = done and read_fully(file, place, count * width, offsets[i] + start * width)
            if done:
                cast_row(
                    piece[:count], start, plain, factor[k], offset[k], line, limits, code, channels, out[i], step, apart
                )  # fmt: skip
        good[i] = done
    close_all(files)


@jit
def fetch_held(
    addresses: Any, piece: Any, plain: bool, factor: Any, offset: Any, line: Any, limits: Any, code: int, channels: int,
    out: Any, step: int, apart: int
) -> None:  # fmt: skip
    """Multiply, add, cast and store rows in memory, at (rows,) int64 addresses. For all other parameters see `fetch_rows`."""
    values, width = out.shape[1], piece.itemsize
    direct = values <= piece.shape[0] and is_direct(limits, code, channels, values, step, apart)
    row = piece[: min(values, piece.shape[0])].reshape(1, -1)
    for i in range(addresses.shape[0]):
        k = i if factor.shape[0] > 1 else 0
        if direct:
            copy_bytes(piece.ctypes.data, addresses[i], values * width)
            cast_directly(row, 0, plain, factor, offset, k, out, i)
            continue
        for start in range(0, values, piece.shape[0]):
            count = min(piece.shape[0], values - start)
            copy_bytes(piece.ctypes.data, addresses[i] + start * width, count * width)
            cast_row(piece[:count], start, plain, factor[k], offset[k], line, limits, code, channels, out[i], step, apart)
