"""Questions about paths that may also be addresses: the functions of `os.path` and `os` that sources need, for both.

Names are those of ``os.path``. A path of the disk is passed on to it unchanged; an address is answered from the list of objects, see `remote`.
"""

from __future__ import annotations

import builtins
import io
import os
import posixpath
from collections.abc import Iterator
from typing import Any, AnyStr, BinaryIO, NamedTuple

from bitesize.storage import remote
from bitesize.storage.url import is_url, split_url


class PathEntry(NamedTuple):
    """What `scandir` returns of one file or folder; has the methods of `os.DirEntry` that are needed.

    Attributes
    ----------
    name, path : str or bytes
        Name in the folder, and whole path.
    folder : bool
        Whether it is a folder.
    """

    name: Any
    path: Any
    folder: bool

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self.folder

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return not self.folder


def isdir(path: str | bytes | os.PathLike[Any]) -> bool:
    """Return whether a path is an existing folder, or a prefix of objects."""
    path = os.fspath(path)
    return remote.is_folder(_text(path)) if is_url(path) else os.path.isdir(path)


def isfile(path: str | bytes | os.PathLike[Any]) -> bool:
    """Return whether a path is an existing regular file, or an object."""
    path = os.fspath(path)
    return remote.is_file(_text(path)) if is_url(path) else os.path.isfile(path)


def exists(path: str | bytes | os.PathLike[Any]) -> bool:
    """Return whether a path exists."""
    path = os.fspath(path)
    if is_url(path):
        return remote.is_file(_text(path)) or remote.is_folder(_text(path))
    return os.path.exists(path)


def getsize(path: str | bytes | os.PathLike[Any]) -> int:
    """Return the size of a file in bytes.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    path = os.fspath(path)
    return remote.entry(_text(path)).size if is_url(path) else os.path.getsize(path)


def scandir(path: AnyStr) -> Iterator[os.DirEntry[AnyStr] | PathEntry]:
    """Yield the files and folders in a folder, in any order."""
    if is_url(path):
        for name, folder in remote.children(_text(path)):
            own = os.fsencode(name) if isinstance(path, bytes) else name
            yield PathEntry(own, join(path, own), folder)
        return
    with os.scandir(path) as entries:
        yield from entries


def listdir(path: AnyStr) -> list[AnyStr]:
    """Return the names in a folder, in any order."""
    return [entry.name for entry in scandir(path)]


def abspath(path: Any) -> Any:
    """Return an absolute path; an address is returned unchanged."""
    path = os.fspath(path)
    return path if is_url(path) else os.path.abspath(path)


def join(folder: AnyStr, *names: AnyStr) -> AnyStr:
    """Return the path of something in a folder. A name that is an address or absolute stands alone."""
    if not is_url(folder):
        for i, name in enumerate(names):
            if is_url(name):
                return join(name, *names[i + 1 :])
        return os.path.join(folder, *names)
    slash: AnyStr = "/" if isinstance(folder, str) else b"/"
    for name in names:
        if is_url(name):
            folder = name
        elif not name:
            folder = folder if folder.endswith(slash) else folder + slash
        else:
            folder = folder + name if folder.endswith(slash) else folder + slash + name
    return folder


def basename(path: AnyStr) -> AnyStr:
    """Return the last part of a path."""
    return posixpath.basename(path) if is_url(path) else os.path.basename(path)


def dirname(path: AnyStr) -> AnyStr:
    """Return the folder of a path; that of the top of a bucket is the bucket."""
    if not is_url(path):
        return os.path.dirname(path)
    url = split_url(path)
    folder = url.root + ("/" + url.key.rpartition("/")[0] if "/" in url.key else "")
    return folder if isinstance(path, str) else os.fsencode(folder)


def split(path: AnyStr) -> tuple[AnyStr, AnyStr]:
    """Return the folder and the last part of a path."""
    return (dirname(path), basename(path)) if is_url(path) else os.path.split(path)


def normpath(path: AnyStr) -> AnyStr:
    """Return a path without redundant parts; an address is returned without slashes at its end, because its keys have no others."""
    if is_url(path):
        return path.rstrip("/") if isinstance(path, str) else path.rstrip(b"/")
    return os.path.normpath(path)


def relpath(path: AnyStr, start: AnyStr) -> AnyStr:
    """Return a path relative to a folder; an address must be below it."""
    if not is_url(path):
        return os.path.relpath(path, start)
    whole, top = _text(path), _text(start).rstrip("/") + "/"
    if whole == top[:-1]:
        inside = "."
    elif whole.startswith(top):
        inside = whole[len(top) :]
    else:
        raise ValueError(f"{whole} is not below {top}")
    return inside if isinstance(path, str) else os.fsencode(inside)


def isabs(path: str | bytes) -> bool:
    """Return whether a path needs no folder before it."""
    return is_url(path) or os.path.isabs(path)


def open(path: str | bytes | os.PathLike[Any]) -> BinaryIO:  # noqa: A001 - reads as paths.open
    """Return a file, open for reading bytes, with `seek` and `readinto`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    path = os.fspath(path)
    if is_url(path):
        return io.BufferedReader(remote.RemoteFile(_text(path)), remote.BUFFER)
    return builtins.open(path, "rb")


def read_bytes(path: str | bytes | os.PathLike[Any]) -> bytes:
    """Return the content of a small file."""
    path = os.fspath(path)
    if is_url(path):
        return remote.read_bytes(_text(path))
    with builtins.open(path, "rb") as file:
        return file.read()


def read_text(path: str | bytes | os.PathLike[Any], errors: str = "strict") -> str:
    """Return the content of a small text file in UTF-8, without a byte order mark, with universal newlines."""
    text = read_bytes(path).decode("utf-8-sig", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _text(path: str | bytes) -> str:
    return path if isinstance(path, str) else os.fsdecode(path)
