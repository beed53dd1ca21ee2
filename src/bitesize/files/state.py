"""Size and time of a file when it was opened, to detect a replaced file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import FileChanged
from bitesize.files.names import show
from bitesize.files.pread import explain

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
    def of(cls, path: bytes, fd: int | None = None) -> FileState:
        """Return the state of a file, or of an open file.

        Raises
        ------
        FileChanged, NoPermission
            If the file cannot be read.
        """
        try:
            status = os.stat(path if fd is None else fd)
        except OSError as error:
            raise explain(error, path) from error
        return cls(status.st_size, status.st_mtime_ns)

    def check(self, path: bytes, fd: int | None = None) -> None:
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
    """Return one number for the files of each row, made of their `FileState.version`; 0 if one of them cannot be read."""
    versions = np.zeros(len(paths), np.uint64)
    for i, of_row in enumerate(paths):
        version = 0
        try:
            for path in of_row:
                status = os.stat(path)
                version = (3 * version + FileState(status.st_size, status.st_mtime_ns).version) & _MASK
        except OSError:
            continue  # raised when the row is read
        versions[i] = version or 1
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
