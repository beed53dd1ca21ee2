"""What a file looked like when it was opened, by which one that was replaced meanwhile is noticed."""

from __future__ import annotations

import os
from typing import NamedTuple

from bitesize.errors import FileChanged
from bitesize.files.names import show
from bitesize.files.pread import explain


class FileState(NamedTuple):
    """What tells a file from another in its place: its contents would be read as garbage by what is known of the first.

    A copy of the file on another machine is the same, if it has the same time.

    Attributes
    ----------
    size, time : int
        Bytes; when it was last written to, in nanoseconds.
    """

    size: int
    time: int

    @classmethod
    def of(cls, path: bytes, fd: int | None = None) -> FileState:
        """Look at a file, or at an open one.

        Raises
        ------
        FileChanged, NoPermission
            If it cannot be looked at.
        """
        try:
            found = os.stat(path if fd is None else fd)
        except OSError as error:
            raise explain(error, path) from error
        return cls(found.st_size, found.st_mtime_ns)

    def check(self, path: bytes, fd: int | None = None) -> None:
        """Raise `FileChanged` if it is no longer the same."""
        if FileState.of(path, fd) != self:
            raise FileChanged(f"{show(path)} has changed since it was opened: open it again")
