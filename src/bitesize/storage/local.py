"""A folder of the disk as storage."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bitesize.errors import BadFile, BadSetting, FileChanged, NoPermission, NotFound
from bitesize.storage.base import Entry, Level

_PAGE = 1000
_TEMPORARY = ".partial-"


class LocalStorage:
    """A folder as storage: keys are paths below it, with ``/`` between their parts on every system.

    Parameters
    ----------
    folder
        An existing folder.
    root
        Beginning of all addresses, for messages; default ``file://`` with the folder.

    Examples
    --------
    >>> import tempfile
    >>> from bitesize.storage.local import LocalStorage
    >>> storage = LocalStorage(tempfile.mkdtemp())
    >>> storage.write("letters/a.txt", [b"a", b"bc"]).size
    3
    >>> into = memoryview(bytearray(2))
    >>> storage.read("letters/a.txt", 1, [into])
    >>> bytes(into)
    b'bc'
    """

    def __init__(self, folder: str | os.PathLike[str], root: str | None = None) -> None:
        self._folder = os.path.abspath(folder)
        self.root = Path(self._folder).as_uri() if root is None else root
        if not os.path.isdir(self._folder):
            raise NotFound(f"{self._folder} is not a folder")

    def list(self, prefix: str) -> Iterator[Sequence[Entry]]:
        """Yield all files whose keys start with a prefix, in pages."""
        page: list[Entry] = []
        for key in self._below(prefix.rpartition("/")[0]):
            if key.startswith(prefix):
                page.append(self._entry(key))
            if len(page) == _PAGE:
                yield page
                page = []
        if page:
            yield page

    def level(self, prefix: str) -> Level:
        """Return what lies directly below a prefix."""
        folders, entries = [], []
        try:
            with os.scandir(self._path(prefix.rstrip("/"))) as found:
                for each in found:
                    if each.is_dir():
                        folders.append(f"{prefix}{each.name}/")
                    elif each.is_file() and _TEMPORARY not in each.name:
                        entries.append(self._entry(prefix + each.name))
        except (FileNotFoundError, NotADirectoryError):
            return Level([], [])
        return Level(sorted(folders), sorted(entries))

    def entry(self, key: str) -> Entry:
        """Return size, version and time of a file."""
        try:
            return self._entry(key)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{self.root}/{key} does not exist") from error
        except PermissionError as error:
            raise NoPermission(f"no permission to read {self.root}/{key}") from error

    def read(self, key: str, offset: int, into: Sequence[memoryview], version: str = "") -> None:
        """Fill consecutive buffers with the bytes of a file from an offset on."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                if version and _version(os.fstat(file.fileno())) != version:
                    raise FileChanged(f"{self.root}/{key} has changed since it was listed")
                file.seek(offset)
                for buffer in into:
                    done = 0
                    while done < buffer.nbytes:
                        count = file.readinto(buffer[done:])
                        if not count:
                            raise BadFile(
                                f"{self.root}/{key} ends after {file.tell():,} bytes; {_end(offset, into):,} are needed"
                            )
                        done += count
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileChanged(f"{self.root}/{key} no longer exists: it existed when it was listed") from error
        except PermissionError as error:
            raise NoPermission(f"no permission to read {self.root}/{key}") from error

    def write(self, key: str, pieces: Iterable[bytes | memoryview]) -> Entry:
        """Write a file: into a temporary file, flushed, which then gets the name."""
        path = self._path(key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            with open(temporary, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
        return self._entry(key)

    def remove(self, key: str) -> None:
        """Remove a file; it need not exist."""
        try:
            os.unlink(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return

    def _path(self, key: str) -> str:
        parts = key.split("/") if key else []
        if any(part in ("", ".", "..") or os.sep in part or (os.altsep or "/") in part for part in parts):
            raise BadSetting(f"{self.root}/{key} cannot be a file: its name has an empty part, or . or ..")
        return os.path.join(self._folder, *parts)

    def _entry(self, key: str) -> Entry:
        status = os.stat(self._path(key))
        if stat.S_ISDIR(status.st_mode):
            raise FileNotFoundError(f"{self.root}/{key} is a folder")
        return Entry(key, status.st_size, _version(status), status.st_mtime_ns)

    def _below(self, folder: str) -> Iterator[str]:
        """Yield the keys of all files in a folder and its subfolders."""
        try:
            level = self.level(f"{folder}/" if folder else "")
        except BadSetting:
            return
        for entry in level.entries:
            yield entry.key
        for each in level.folders:
            yield from self._below(each.rstrip("/"))


def _version(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def _end(offset: int, into: Sequence[memoryview]) -> int:
    return offset + sum(buffer.nbytes for buffer in into)
