"""Size and time of a file when it was opened, to detect a replaced file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import FileChanged
from bitesize.files.names import show
from bitesize.files.pread import explain

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: neighboring sizes get distant numbers
_MASK = (1 << 64) - 1


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
        if FileState.of(path, fd) != self:
            raise FileChanged(f"{show(path)} has changed since it was opened: open it again")

    @property
    def version(self) -> int:
        """Return one number of 64 bits for size and time, never 0."""
        return ((self.size * _GOLDEN) ^ self.time) & _MASK or 1


def file_versions(paths: Sequence[bytes]) -> NDArray[np.uint64]:
    """Return `FileState.version` of each file, or 0 for a file that cannot be read."""
    versions = np.zeros(len(paths), np.uint64)
    for i, path in enumerate(paths):
        try:
            status = os.stat(path)
        except OSError:
            continue  # whoever reads the file raises the error
        versions[i] = FileState(status.st_size, status.st_mtime_ns).version
    return versions
