"""Size and time of a file when it was opened, to detect a replaced file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple

from bitesize.errors import FileChanged
from bitesize.files.names import show
from bitesize.files.pread import explain

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
