"""All reading of bytes: positioned reads, without shared file offsets and without memory mapping; of objects, requests for ranges.

Mapped pages would count as memory of this process, and a truncated file would kill it with SIGBUS.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadRows, BitesizeError, FileChanged, NoPermission, NotFound
from bitesize.files.names import show
from bitesize.storage.blocks import BlockFile, opened
from bitesize.storage.remote_file import RemoteFile
from bitesize.storage.requests import Piece, read_all
from bitesize.storage.url import is_url

# Windows has neither: there each reader opens the file, and seeks.
HAS_PREADV = hasattr(os, "preadv")
# Non-blocking: opening a pipe in place of a file would otherwise hang.
READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
# Errors of network file systems for stale handles or servers that are briefly unavailable; opened again, the file is often
# readable. Delays between tries, in seconds.
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}
_PAUSES = (0.1, 1.0)

_STREAM = 256 << 10  # bytes of an object that a stream requests at a time

# Some systems report this size for a folder that replaced a file: Python then raises the proper error.
_IMPOSSIBLE = 1 << 50

T = TypeVar("T")
Buffer = Any  # anything writable with the buffer protocol
# An open file: a descriptor of the system, or an object.
Handle = int | RemoteFile


def open_file(path: bytes) -> int:
    """Open a file for reading and return its descriptor, which the caller closes.

    Raises
    ------
    FileChanged
        If the file no longer exists.
    NoPermission
        If reading the file is not permitted.
    """
    try:
        return os.open(path, READ_FLAGS)
    except OSError as error:
        raise explain(error, path) from error


def with_file(path: bytes, work: Callable[[Handle], T]) -> T:
    """Call a function with an open file; retry up to three times if the handle becomes stale. Small reads of objects are requested in blocks.

    Raises
    ------
    BitesizeError
        As `open_file`, and any error of the function.
    """
    if is_url(path):
        return work(open_object(path))
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


def check_readable(path: bytes) -> None:
    """Raise the error of a file that cannot be opened: libraries that open files have none as helpful. No request is made for a listed object.

    Raises
    ------
    FileChanged
        If the file no longer exists.
    NoPermission
        If reading the file is not permitted.
    """
    if is_url(path):
        open_object(path)
    else:
        os.close(open_file(path))


def open_object(path: bytes) -> BlockFile:
    """Return an object, open for reading.

    Raises
    ------
    FileChanged
        If the object no longer exists.
    """
    try:
        return opened(os.fsdecode(path))
    except NotFound as error:
        raise FileChanged(f"{show(path)} no longer exists: it existed when it was listed") from error


def size_of(file: Handle) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file).st_size if isinstance(file, int) else file.size


def stream_from(file: Handle, offset: int) -> io.BufferedIOBase | io.RawIOBase:
    """Return a file object of its own that reads an open file from an offset on; the caller closes it."""
    if isinstance(file, int):
        stream: Any = os.fdopen(os.dup(file), "rb", buffering=0)
    else:
        stream = io.BufferedReader(RemoteFile(file.address), _STREAM)
    stream.seek(offset)
    return stream  # type: ignore[no-any-return]


def passing(error: BaseException) -> bool:
    """Return whether an error comes from a network file system and may disappear when the file is opened again."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _PASSING


def read_into(file: Handle, buffers: Sequence[Buffer], offset: int, path: bytes) -> None:
    """Fill consecutive buffers with the bytes from ``offset``.

    Thread-safe if the system has ``preadv``; elsewhere a descriptor must be used by one thread at a time.

    Raises
    ------
    BadFile
        If the file ends too early.
    """
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    views = [view for view in views if view.nbytes]
    if not isinstance(file, int):
        file.read_at(offset, views)
        return
    want = sum(view.nbytes for view in views)
    try:
        done = _read_some(file, views, offset)
        while done < want:
            # A read may return fewer bytes (signals, 2 GiB limit of one call): continue after them.
            got = _read_some(file, _skip(views, done), offset + done)
            if not got:
                raise BadFile(f"{show(path)} ends after {offset + done:,} bytes; {offset + want:,} are needed")
            done += got
    except OSError as error:
        if isinstance(error, BitesizeError):
            raise
        raise explain(error, path) from error


def read_files(paths: Sequence[bytes], put: Callable[[int, int], Buffer]) -> dict[int, Exception]:
    """Read whole files, each into the buffer that ``put(i, nbytes)`` returns.

    If compiled code is loaded, two calls without the GIL read all files.

    Returns
    -------
    dict
        The error of each file that could not be read, by its index in ``paths``.
    """
    failed: dict[int, Exception] = {}
    if paths and is_url(paths[0]):
        return _read_objects(paths, put)
    libc = compiled()
    again = range(len(paths)) if libc is None else _read_files(libc, paths, put, failed)
    for i in again:
        path = paths[i]
        try:
            with_file(path, partial(_read_whole, i=i, path=path, put=put))
        except BitesizeError as error:
            failed[i] = error
    return failed


def _read_whole(fd: Handle, i: int, path: bytes, put: Callable[[int, int], Buffer]) -> None:
    read_into(fd, [put(i, size_of(fd))], 0, path)


def _read_objects(paths: Sequence[bytes], put: Callable[[int, int], Buffer]) -> dict[int, Exception]:
    """Read whole objects, with many requests at the same time."""
    failed: dict[int, Exception] = {}
    pieces: dict[int, Piece] = {}
    for i, path in enumerate(paths):
        try:
            if not is_url(path):
                with_file(path, partial(_read_whole, i=i, path=path, put=put))
                continue
            file = open_object(path)
            pieces[i] = Piece(file, 0, memoryview(put(i, file.size)).cast("B"))
        except BitesizeError as error:
            failed[i] = error
    numbers = list(pieces)
    return failed | {numbers[k]: error for k, error in read_all(list(pieces.values())).items()}


def _read_files(
    libc: Any, paths: Sequence[bytes], put: Callable[[int, int], Buffer], failed: dict[int, Exception]
) -> list[int]:
    """Read files with compiled code; return the files that failed and must be read again to raise their error."""
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
    finally:  # also closes open files if `put` raises
        libc.read_all(files, sizes, addresses, good)
    return [i for i in np.flatnonzero(~good).tolist() if i not in failed]


def read_rows(
    paths: Sequence[bytes], which: NDArray[np.int64], offsets: NDArray[np.int64], out: NDArray[Any], places: NDArray[np.int64] | None = None
) -> None:  # fmt: skip
    """Read rows that lie in files exactly unchanged to become.

    Parameters
    ----------
    paths
        Files.
    which, offsets
        Number of the file of each row, and offset of the row in the file, in bytes; shape (rows,).
    out
        Shape (rows, ...), C-contiguous.
    places
        Index of each row in ``out``, if they are not in order.

    Raises
    ------
    BadFile, FileChanged, NoPermission
        If a row of files on disk cannot be read; the error of the first such row.
    BadRows
        If rows of objects cannot be read: the others were read, since one request of many may fail.
    """
    if not out.size or not len(which):
        return
    flat = out.reshape(-1).view(np.uint8).reshape(len(out), -1)
    places = np.arange(len(which)) if places is None else places
    if is_url(paths[0]):
        buffers = [memoryview(flat[place]) for place in places.tolist()]
        if failed := read_pieces(paths, which, offsets, buffers):
            raise BadRows(failed)
        return
    order = np.argsort(which, kind="stable") if len(paths) > 1 else np.arange(len(which))
    for some in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
        path = paths[int(which[some[0]])]
        with_file(path, partial(_read_some_rows, path=path, positions=places[some], begins=offsets[some], flat=flat))


def read_pieces(
    paths: Sequence[bytes], which: NDArray[np.int64], offsets: NDArray[np.int64], buffers: Sequence[Buffer | None]
) -> dict[int, Exception]:  # fmt: skip
    """Read pieces of files, each into a buffer of its own; if compiled code is loaded, in one call without the GIL.

    Parameters
    ----------
    paths
        Files.
    which, offsets
        Number of the file of each piece, and where in it the piece begins, in bytes; shape (pieces,).
    buffers
        Writable buffer for each piece, or None for a piece that is not read.

    Returns
    -------
    dict
        The error of each piece that could not be read, by its index.
    """
    if paths and is_url(paths[0]):
        return _read_ranges(paths, which, offsets, buffers)
    libc = compiled()
    again: Sequence[int] = range(len(buffers))
    if libc is not None:
        sizes, addresses = np.zeros(len(buffers), np.int64), np.zeros(len(buffers), np.int64)
        for i, buffer in enumerate(buffers):
            if buffer is not None:
                sizes[i], addresses[i] = buffer.nbytes, ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        good = np.empty(len(buffers), np.bool_)
        libc.read_pieces(*joined(paths), READ_FLAGS, which, offsets, sizes, addresses, good)
        again = np.flatnonzero(~good).tolist()
    failed: dict[int, Exception] = {}
    for i in again:
        path, buffer = paths[int(which[i])], buffers[i]
        if buffer is not None:
            try:
                with_file(path, partial(read_into, buffers=[buffer], offset=int(offsets[i]), path=path))
            except BitesizeError as error:
                failed[i] = error
    return failed


def _read_ranges(
    paths: Sequence[bytes], which: NDArray[np.int64], offsets: NDArray[np.int64], buffers: Sequence[Buffer | None]
) -> dict[int, Exception]:
    """Read pieces of objects, with many requests at the same time; neighbors in one request."""
    failed: dict[int, Exception] = {}
    files: dict[int, RemoteFile] = {}
    pieces: dict[int, Piece] = {}
    for i, (number, offset, buffer) in enumerate(zip(which.tolist(), offsets.tolist(), buffers, strict=True)):
        if buffer is not None:
            try:
                if not is_url(paths[number]):  # some files of a joined array may be on the disk
                    with_file(paths[number], partial(read_into, buffers=[buffer], offset=offset, path=paths[number]))
                    continue
                if number not in files:
                    files[number] = open_object(paths[number])
                pieces[i] = Piece(files[number], offset, memoryview(buffer).cast("B"))
            except BitesizeError as error:
                failed[i] = error
    numbers = list(pieces)
    return failed | {numbers[k]: error for k, error in read_all(list(pieces.values())).items()}


def _read_some_rows(
    fd: Handle, path: bytes, positions: NDArray[np.int64], begins: NDArray[np.int64], flat: NDArray[np.uint8]
) -> None:
    libc = compiled()
    done = libc.read_rows(fd, begins, positions, flat) if libc is not None and isinstance(fd, int) else 0
    # Rows that compiled code cannot read are read again here, to raise their error.
    positions, begins = positions[done:], begins[done:]
    torn = (np.diff(begins) != flat.shape[1]) | (np.diff(positions) != 1)
    for first, last in pairwise([0, *(np.flatnonzero(torn) + 1).tolist(), len(positions)] if len(positions) else []):
        read_into(fd, [flat[positions[first] : positions[first] + last - first]], int(begins[first]), path)


def compiled() -> Any:
    """Return the compiled readers if they are loaded and supported by the system; never waits for the compiler."""
    module = sys.modules.get("bitesize.kernels.libc") if HAS_PREADV else None
    return module if module is not None and getattr(module, "LOADED", False) else None


def joined(paths: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return paths for the compiled readers: null-terminated, concatenated, and the start of each."""
    starts = [0]  # a list, because there are few: NumPy takes three times as long for eight numbers
    for path in paths:
        starts.append(starts[-1] + len(path) + 1)
    return np.frombuffer(b"\0".join(paths) + b"\0", np.uint8), np.array(starts[:-1], np.int64)


def explain(error: OSError, path: bytes) -> BitesizeError:
    """Return the bitesize error for a system error, with the name of the file."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return FileChanged(f"{show(path)} no longer exists: it existed when the folder was listed")
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
