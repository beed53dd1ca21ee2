"""The only door to bytes on disk: positioned reads that need no shared file offset and no mapping.

Mapped pages would count as this process's memory, and a truncated file would kill it with SIGBUS.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError, FileChanged, NoPermission
from bitesize.files.names import show

# Windows has neither; there a file is opened for one reader at a time, and seek does the positioning.
HAS_PREADV = hasattr(os, "preadv")
# Without waiting: a pipe in the place of a file would otherwise hang whoever opens it.
READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
# What a network file system says when a handle has gone stale or a server is away for a moment; opened again, the file is often
# there. Tried again after so many seconds, each longer than the last.
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}
_PAUSES = (0.1, 1.0)

# Some systems say that a folder, in whose place a file was, has this size: Python finds out what it is.
_IMPOSSIBLE = 1 << 50

T = TypeVar("T")
Buffer = Any  # anything writable with the buffer protocol


def open_file(path: bytes) -> int:
    """Open a file for reading and return its descriptor, which the caller closes.

    Raises
    ------
    FileChanged
        If the file is gone.
    NoPermission
        If it may not be read.
    """
    try:
        return os.open(path, READ_FLAGS)
    except OSError as error:
        raise explain(error, path) from error


def with_file(path: bytes, work: Callable[[int], T]) -> T:
    """Open a file, do some work with its descriptor, and close it; anew, up to three times, where its handle goes stale.

    Raises
    ------
    BitesizeError
        As `open_file`, and what the work raises.
    """
    for pause in (*_PAUSES, None):
        try:
            fd = open_file(path)
            try:
                return work(fd)
            finally:
                os.close(fd)
        except FileChanged as error:
            if pause is None or not passing(error):
                raise
            time.sleep(pause)
    raise AssertionError  # the last try returns or raises


def passing(error: BaseException) -> bool:
    """Tell whether an error of ours comes from a network file system, and may pass when the file is opened again."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _PASSING


def read_into(fd: int, buffers: Sequence[Buffer], offset: int, path: bytes) -> None:
    """Fill all buffers, one behind the other, from the bytes at ``offset``.

    Safe from several threads at once where the system has ``preadv``; elsewhere one thread a descriptor.

    Raises
    ------
    BadFile
        If the file ends earlier.
    """
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    views = [view for view in views if view.nbytes]
    want = sum(view.nbytes for view in views)
    try:
        done = _read_some(fd, views, offset)
        while done < want:
            # A read may come back short (signals, 2 GiB limit of one call): go on where it stopped.
            got = _read_some(fd, _skip(views, done), offset + done)
            if not got:
                raise BadFile(f"{show(path)} ends after {offset + done:,} bytes, {offset + want:,} are needed")
            done += got
    except OSError as error:
        if isinstance(error, BitesizeError):
            raise
        raise explain(error, path) from error


def read_files(paths: Sequence[bytes], put: Callable[[int, int], Buffer]) -> dict[int, Exception]:
    """Read whole files, each into the buffer that ``put(i, nbytes)`` returns for it.

    Where compiled code is loaded, all of them are read by two calls that do not hold the GIL.

    Returns
    -------
    dict
        The error of each file that could not be read, by its index in ``paths``.
    """
    failed: dict[int, Exception] = {}
    libc = compiled()
    again = range(len(paths)) if libc is None else _read_files(libc, paths, put, failed)
    for i in again:
        path = paths[i]
        try:
            with_file(path, partial(_read_whole, i=i, path=path, put=put))
        except BitesizeError as error:
            failed[i] = error
    return failed


def _read_whole(fd: int, i: int, path: bytes, put: Callable[[int, int], Buffer]) -> None:
    read_into(fd, [put(i, os.fstat(fd).st_size)], 0, path)


def _read_files(
    libc: Any, paths: Sequence[bytes], put: Callable[[int, int], Buffer], failed: dict[int, Exception]
) -> list[int]:
    """Read files by compiled code; give those that must be tried again, for their error."""
    count = len(paths)
    files, sizes = np.empty(count, np.int32), np.empty(count, np.int64)
    addresses, good = np.zeros(count, np.int64), np.empty(count, np.bool_)
    libc.open_all(*joined(paths), READ_FLAGS, files, sizes)
    try:
        for i, nbytes in enumerate(sizes.tolist()):
            if 0 < nbytes < _IMPOSSIBLE:
                try:
                    addresses[i] = ctypes.addressof(ctypes.c_char.from_buffer(put(i, nbytes)))
                except BitesizeError as error:
                    failed[i] = error
    finally:  # also closes what was opened if `put` raises
        libc.read_all(files, sizes, addresses, good)
    return [i for i in np.flatnonzero(~good).tolist() if i not in failed]


def read_rows(paths: Sequence[bytes], which: NDArray[np.int64], offsets: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Read rows that lie in files exactly as they are to become.

    Parameters
    ----------
    paths
        Files.
    which, offsets
        For each row its file, by number, and where in it the row begins, in bytes; shape (rows,).
    out
        Shape (rows, ...), C-contiguous.

    Raises
    ------
    BadFile, FileChanged, NoPermission
        If a row cannot be read, the first such.
    """
    if not out.size:
        return
    flat = out.reshape(-1).view(np.uint8).reshape(len(out), -1)
    order = np.argsort(which, kind="stable") if len(paths) > 1 else np.arange(len(which))
    for places in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
        path = paths[int(which[places[0]])]
        with_file(path, partial(_read_some_rows, path=path, places=places, begins=offsets[places], flat=flat))


def _read_some_rows(
    fd: int, path: bytes, places: NDArray[np.int64], begins: NDArray[np.int64], flat: NDArray[np.uint8]
) -> None:
    libc = compiled()
    done = libc.read_rows(fd, begins, places, flat) if libc is not None else 0
    # What compiled code cannot read is tried here, for its error.
    places, begins = places[done:], begins[done:]
    torn = (np.diff(begins) != flat.shape[1]) | (np.diff(places) != 1)
    for first, last in pairwise([0, *(np.flatnonzero(torn) + 1).tolist(), len(places)] if len(places) else []):
        read_into(fd, [flat[places[first] : places[first] + last - first]], int(begins[first]), path)


def compiled() -> Any:
    """Give the compiled readers if they are loaded, and the system has what they need; nobody waits for a compiler here."""
    module = sys.modules.get("bitesize.kernels.libc") if HAS_PREADV else None
    return module if module is not None and getattr(module, "LOADED", False) else None


def joined(paths: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Give paths as compiled readers take them: ended by zero bytes, one behind the other, and where each begins."""
    starts = [0]  # a list, because there are few: eight numbers through NumPy take three times as long
    for path in paths:
        starts.append(starts[-1] + len(path) + 1)
    return np.frombuffer(b"\0".join(paths) + b"\0", np.uint8), np.array(starts[:-1], np.int64)


def explain(error: OSError, path: bytes) -> BitesizeError:
    """Turn a system error into one of ours, with the file's name."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return FileChanged(f"{show(path)} is gone: it was there when the folder was listed")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NoPermission(f"no permission to read {show(path)}")
    return FileChanged(f"{show(path)} could not be read: {error.strerror}")


def _read_some(fd: int, views: Sequence[memoryview], offset: int) -> int:
    if not views:
        return 0
    if HAS_PREADV:
        return os.preadv(fd, views, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    data = os.read(fd, min(views[0].nbytes, 1 << 20))
    views[0][: len(data)] = data
    return len(data)


def _skip(views: Sequence[memoryview], nbytes: int) -> list[memoryview]:
    rest = []
    for view in views:
        rest.append(view[min(nbytes, view.nbytes) :])
        nbytes -= min(nbytes, view.nbytes)
    return [view for view in rest if view.nbytes]
