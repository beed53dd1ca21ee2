"""Many reads in one call without the GIL: compiled code calls functions of the system.

Each return from a call can wait 5 ms for the GIL if another Python thread is busy, so the files of a bite are opened in one call
and read in another. Failed reads are only marked. The caller repeats them in Python, which raises the error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from bitesize.kernels.jit import jit

# Pointers are passed as integers. Linux and macOS have all functions, with 64-bit offsets on every machine that Numba supports.
_open = types.ExternalFunction("open", types.int32(types.intp, types.int32))
_lseek = types.ExternalFunction("lseek", types.int64(types.int32, types.int64, types.int32))
_pread = types.ExternalFunction("pread", types.intp(types.int32, types.intp, types.uintp, types.int64))
_close = types.ExternalFunction("close", types.int32(types.int32))
_memcpy = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.uintp))
_END = 2  # SEEK_END
# Largest number of open files in one call. Rows of one file are not always neighbors.
MOST_OPEN = 32

# Set when all functions have been compiled or loaded. Until then, files are read in Python.
LOADED = False


@jit
def open_file(address: int, flags: int) -> Any:
    """Open the file whose zero-terminated name is at an address; return its descriptor, or -1."""
    return _open(address, np.int32(flags))


@jit
def close_file(file: int) -> None:
    """Close a descriptor."""
    _close(np.int32(file))


@jit
def size_of(file: int) -> Any:
    """Return the size of an open file in bytes."""
    return _lseek(np.int32(file), 0, np.int32(_END))


@jit
def read_fully(file: int, address: int, nbytes: int, offset: int) -> bool:
    """Read ``nbytes`` bytes at an offset to an address; return False if there are fewer, or the read fails."""
    done = 0
    while done < nbytes:
        got = _pread(np.int32(file), address + done, np.uintp(nbytes - done), offset + done)
        if got <= 0:
            return False
        done += got
    return True


@jit
def open_all(paths: Any, starts: Any, flags: int, files: Any, sizes: Any) -> None:
    """Open files and get their sizes.

    Parameters
    ----------
    paths
        uint8: all paths, each zero-terminated.
    starts
        (n,) int64: start of each path.
    flags
        Flags of `os.open`.
    files
        (n,) int32, filled with descriptors, which `read_all` closes; -1 for files that cannot be opened.
    sizes
        (n,) int64, filled with sizes in bytes; -1 if unknown.
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
        (n,) int32, from `open_all`.
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
    """Read files that have the same header, and then the bytes of one row of ``out``.

    Parameters
    ----------
    paths, starts, flags
        See `open_all`.
    header
        uint8: expected header of every file.
    seen
        uint8 of the same size: buffer for the header of a file.
    out
        (n, nbytes) uint8, C-contiguous.
    good
        (n,) bool, filled: whether a file has the expected size and header, and was read.
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
    """Read rows of an open file. Rows that are neighbors in the file and in ``out`` are read at once.

    Parameters
    ----------
    file
        Descriptor.
    offsets
        (n,) int64: start of each row in the file, in bytes.
    places
        (n,) int64: index of each row in ``out``.
    out
        (rows, nbytes) uint8, C-contiguous.

    Returns
    -------
    int
        Number of rows that were read before the first failure.
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
def read_pieces(
    paths: Any, starts: Any, flags: int, which: Any, offsets: Any, sizes: Any, addresses: Any, good: Any
) -> None:
    """Read pieces of files to any places in memory.

    Parameters
    ----------
    paths, starts, flags
        See `open_all`.
    which, offsets, sizes
        (n,) int64: the file of each piece, and where in it the piece begins, and its bytes.
    addresses
        (n,) int64: memory for each piece; 0 for a piece that is not read.
    good
        (n,) bool, filled: whether all bytes were read, or none were asked for.
    """
    names, files, opened = paths.ctypes.data, np.full(starts.shape[0], -1, np.int32), 0
    for i in range(which.shape[0]):
        good[i] = addresses[i] == 0
        if good[i]:
            continue
        if files[which[i]] < 0:
            if opened == MOST_OPEN:
                close_all(files)
                opened = 0
            files[which[i]] = open_file(names + starts[which[i]], flags)
            opened += 1
        if files[which[i]] >= 0:
            good[i] = read_fully(files[which[i]], addresses[i], sizes[i], offsets[i])
    close_all(files)


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
