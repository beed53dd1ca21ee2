"""A lock on a folder, held by one process; the system frees it when the process ends for any reason."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import IO

NAME = ".lock"
# Error numbers of file systems without locks, such as some network shares.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class FolderLock:
    """A lock on a folder, held until `release` or the end of the process.

    Attributes
    ----------
    is_real : bool
        Whether other processes are kept out; False on file systems without locks.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> lock = FolderLock.take(folder)
    >>> FolderLock.take(folder) is None
    True
    >>> lock.release()
    """

    def __init__(self, path: Path, file: IO[bytes], is_real: bool = True) -> None:
        self._path, self._file, self.is_real = path, file, is_real

    @classmethod
    def take(cls, folder: str | os.PathLike[str]) -> FolderLock | None:
        """Lock an existing folder; return None if it is already locked, by this or another process."""
        path = Path(folder) / NAME
        while True:
            file, is_real = path.open("ab"), True
            try:
                _lock(file)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    file.close()
                    return None
                is_real = False
            if _is_at(file, path):
                return cls(path, file, is_real)
            file.close()  # its last holder has removed it in the meantime

    def release(self) -> None:
        """Unlock the folder and remove the lock file."""
        if self._file.closed:
            return
        if (
            sys.platform != "win32"
        ):  # while locked: later it may belong to another process; Windows cannot remove an open file
            self._path.unlink(missing_ok=True)
        self._file.close()


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
