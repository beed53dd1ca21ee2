"""Size and time of a file when it was opened, to detect a replaced file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from bitesize.errors import BitesizeError, FileChanged
from bitesize.files.names import show
from bitesize.files.pread import Handle, explain, joined, open_object
from bitesize.storage import remote
from bitesize.storage.base import Entry
from bitesize.storage.remote_file import RemoteFile
from bitesize.storage.url import is_url

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: neighboring sizes get distant numbers
_MASK = (1 << 64) - 1
_seen: ContextVar[list[tuple[bytes, FileState]] | None] = ContextVar("_seen", default=None)


class FileState(NamedTuple):
    """Size and time of a file, to detect a replaced file: offsets of the old file would read garbage from the new one.

    A copy on another machine counts as the same file if it has the same time.

    Attributes
    ----------
    size, time : int
        Size in bytes, and time of the last modification in nanoseconds.
    """

    size: int
    time: int

    @classmethod
    def of(cls, path: bytes, fd: Handle | None = None) -> FileState:
        """Return the state of a file, or of an open file.

        Raises
        ------
        FileChanged, NoPermission
            If the file cannot be read.
        """
        if not isinstance(fd, int) and is_url(path):  # a descriptor is of the disk
            return cls.of_entry((fd if isinstance(fd, RemoteFile) else open_object(path)).entry)
        try:
            status = os.stat(path if fd is None else fd)  # type: ignore[arg-type]  # only objects have other handles
        except OSError as error:
            raise explain(error, path) from error
        return cls(status.st_size, status.st_mtime_ns)

    @classmethod
    def of_entry(cls, entry: Entry) -> FileState:
        """Return the state of an object: its version, as a number, takes the place of the time."""
        return cls(entry.size, xxh3_64_intdigest(entry.version.encode()) >> 1 if entry.version else entry.time)

    def check(self, path: bytes, fd: Handle | None = None) -> None:
        """Raise `FileChanged` if the file has changed."""
        seen = _seen.get()
        if seen is not None:
            seen.append((path, self))
        if FileState.of(path, fd) != self:
            raise FileChanged(f"{show(path)} has changed since it was opened: open it again")

    @property
    def version(self) -> int:
        """Return one number of 64 bits for size and time, never 0."""
        return ((self.size * _GOLDEN) ^ self.time) & _MASK or 1


def combined_versions(paths: Sequence[Sequence[bytes]]) -> NDArray[np.uint64]:
    """Return one number for the files of each row, made of their `FileState.version`; 0 if one of them cannot be read.

    All rows have the same number of files.
    """
    versions = _versions([path for of_row in paths for path in of_row]).reshape(len(paths), -1)
    combined = np.zeros(len(paths), np.uint64)
    for column in versions.T:
        combined = combined * np.uint64(3) + column
    combined[combined == 0] = 1
    combined[(versions == 0).any(axis=1)] = 0
    return combined


def _versions(paths: Sequence[bytes]) -> NDArray[np.uint64]:
    """Return `FileState.version` of each file, or 0 if it cannot be read; if compiled code is loaded, in one call without the GIL."""
    sizes, times = np.full(len(paths), -1, np.int64), np.full(len(paths), -1, np.int64)
    statx = sys.modules.get("bitesize.kernels.statx")
    if any(map(is_url, paths)):  # others may be on the disk, such as masks
        for i, path in enumerate(paths):
            with contextlib.suppress(BitesizeError):  # raised when the row is read
                sizes[i], times[i] = (
                    FileState.of_entry(remote.entry(os.fsdecode(path))) if is_url(path) else FileState.of(path)
                )
    elif statx is not None and getattr(statx, "LOADED", False):  # not while another thread imports it
        statx.states(*joined(paths), sizes, times)
    else:
        for i, path in enumerate(paths):
            with contextlib.suppress(OSError):  # raised when the row is read
                status = os.stat(path)
                sizes[i], times[i] = status.st_size, status.st_mtime_ns
    versions = sizes.view(np.uint64) * np.uint64(_GOLDEN) ^ times.view(np.uint64)
    versions[versions == 0] = 1
    versions[sizes < 0] = 0
    return versions


def checked_states(check: Callable[[], None]) -> list[tuple[bytes, FileState]]:
    """Call a function that checks files, and return the path and the state of each that it checked.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     path = file.name.encode()
    ...     state = FileState.of(path)
    ...     checked_states(lambda: state.check(path)) == [(path, state)]
    True
    """
    seen: list[tuple[bytes, FileState]] = []
    token = _seen.set(seen)
    try:
        check()
    finally:
        _seen.reset(token)
    return seen
