"""Many reads in one call without the GIL: the system's own functions, called from compiled code.

Each return from such a call beside a busy Python thread can wait 5 ms for the GIL, so a bite's files are opened in one
call and read in another. What fails here is only marked: the caller does it again in Python, which knows why.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from bitesize.kernels.jit import jit

# Pointers are passed as integers. Linux and macOS have all of them, with 64-bit offsets on every machine that numba runs on.
_open = types.ExternalFunction("open", types.int32(types.intp, types.int32))
_lseek = types.ExternalFunction("lseek", types.int64(types.int32, types.int64, types.int32))
_pread = types.ExternalFunction("pread", types.intp(types.int32, types.intp, types.uintp, types.int64))
_close = types.ExternalFunction("close", types.int32(types.int32))
_memcpy = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.uintp))
_END = 2  # SEEK_END

# Set when all of this has been compiled or loaded: until then, files are read from Python.
LOADED = False


@jit
def open_file(address: int, flags: int) -> Any:
    """Open the file whose name, ended by a zero byte, is at an address; -1 if that fails."""
    return _open(address, np.int32(flags))


@jit
def close_file(file: int) -> None:
    """Close a descriptor."""
    _close(np.int32(file))


@jit
def size_of(file: int) -> Any:
    """Tell the bytes of an open file."""
    return _lseek(np.int32(file), 0, np.int32(_END))


@jit
def read_fully(file: int, address: int, nbytes: int, offset: int) -> bool:
    """Read so many bytes at an offset to an address; False if there are fewer, or the system fails."""
    done = 0
    while done < nbytes:
        got = _pread(np.int32(file), address + done, np.uintp(nbytes - done), offset + done)
        if got <= 0:
            return False
        done += got
    return True


@jit
def open_all(paths: Any, starts: Any, flags: int, files: Any, sizes: Any) -> None:
    """Open files and tell their sizes.

    Parameters
    ----------
    paths
        uint8: all paths, each ended by a zero byte.
    starts
        (n,) int64: where each path begins.
    flags
        As `os.open` takes them.
    files
        (n,) int32, filled with descriptors, which `read_all` closes; -1 where a file could not be opened.
    sizes
        (n,) int64, filled with bytes; -1 where there is no size.
    """
    address = paths.ctypes.data
    for i in range(starts.shape[0]):
        files[i] = open_file(address + starts[i], flags)
        sizes[i] = size_of(files[i]) if files[i] >= 0 else -1


@jit
def read_all(files: Any, sizes: Any, addresses: Any, good: Any) -> None:
    """Read open files whole, and close them.

    Parameters
    ----------
    files
        (n,) int32, by `open_all`.
    sizes
        (n,) int64.
    addresses
        (n,) int64: memory of ``sizes`` bytes each; 0 for a file that is only closed.
    good
        (n,) bool, filled: whether all bytes were read.
    """
    for i in range(files.shape[0]):
        good[i] = files[i] >= 0 and sizes[i] >= 0 and addresses[i] != 0 and read_fully(files[i], addresses[i], sizes[i], 0)
        if files[i] >= 0:
            close_file(files[i])


@jit
def read_alike(paths: Any, starts: Any, flags: int, header: Any, seen: Any, out: Any, good: Any) -> None:
    """Read files that are alike: the same header, then as many bytes as a row of ``out`` has.

    Parameters
    ----------
    paths, starts, flags
        See `open_all`.
    header
        uint8: the bytes that every file begins with.
    seen
        uint8 of the same size, for what it does begin with.
    out
        (n, nbytes) uint8, C-contiguous.
    good
        (n,) bool, filled: whether a file has that size and header, and was read.
    """
    address, place = paths.ctypes.data, out.ctypes.data
    nbytes, size = out.shape[1], header.shape[0]
    for i in range(starts.shape[0]):
        good[i] = False
        file = open_file(address + starts[i], flags)
        if file < 0:
            continue
        if size_of(file) == size + nbytes and read_fully(file, seen.ctypes.data, size, 0):
            same = True
            for j in range(size):
                same &= seen[j] == header[j]
            good[i] = same and read_fully(file, place + i * nbytes, nbytes, size)
        close_file(file)


@jit
def close_all(files: Any) -> None:
    """Close all descriptors that are not -1, and set them to -1."""
    for i in range(files.shape[0]):
        if files[i] >= 0:
            close_file(files[i])
            files[i] = np.int32(-1)


@jit
def read_rows(file: int, offsets: Any, places: Any, out: Any) -> int:
    """Read rows of an open file; neighbors that stay neighbors in one read.

    Parameters
    ----------
    file
        Descriptor.
    offsets
        (n,) int64: where each row begins in the file, in bytes.
    places
        (n,) int64: which row of ``out`` it becomes.
    out
        (rows, nbytes) uint8, C-contiguous.

    Returns
    -------
    int
        How many rows were read before one could not be.
    """
    nbytes, place = out.shape[1], out.ctypes.data
    i = 0
    while i < offsets.shape[0]:
        stop = i + 1
        while (
            stop < offsets.shape[0] and offsets[stop] == offsets[stop - 1] + nbytes and places[stop] == places[stop - 1] + 1
        ):
            stop += 1
        if not read_fully(file, place + places[i] * nbytes, (stop - i) * nbytes, offsets[i]):
            return i
        i = stop
    return i


@jit
def copy_bytes(target: int, source: int, nbytes: int) -> None:
    """Copy bytes from one address to another."""
    _memcpy(target, source, np.uintp(nbytes))


@jit
def copy_rows(addresses: Any, out: Any) -> None:
    """Copy rows from memory, (n,) int64 addresses, to ``out``, (n, nbytes) uint8, C-contiguous."""
    nbytes, place = out.shape[1], out.ctypes.data
    for i in range(addresses.shape[0]):
        copy_bytes(place + i * nbytes, addresses[i], nbytes)
