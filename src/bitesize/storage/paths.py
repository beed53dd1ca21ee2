"""Questions about paths that may also be addresses: the functions of `os.path` and `os` that sources need, for both.

Names are those of ``os.path``. A path of the disk is passed on to it unchanged; an address is answered from the list of objects, see `remote`.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any, AnyStr, BinaryIO, TextIO, TypeVar

from bitesize.storage import remote, remote_file
from bitesize.storage.blocks import opened
from bitesize.storage.url import is_url, parts_of, split_key, split_url

A = TypeVar("A")
B = TypeVar("B")
AnyPath = str | bytes | os.PathLike[Any]


class PathEntry:
    """One file or folder at an address, as `scandir` returns it; has the methods of `os.DirEntry` that are needed.

    Attributes
    ----------
    name : str or bytes
        Name in the folder.
    """

    __slots__ = ("_folder", "_is_folder", "name")

    def __init__(self, folder: Any, name: Any, is_folder: bool) -> None:
        self.name = name
        self._folder, self._is_folder = folder, is_folder

    @property
    def path(self) -> Any:
        """Whole path."""
        return join(self._folder, self.name)

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self._is_folder

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return not self._is_folder


def isdir(path: AnyPath) -> bool:
    """Return whether a path is an existing folder, or a prefix of objects."""
    path = os.fspath(path)
    return remote.is_folder(_text(path)) if is_url(path) else os.path.isdir(path)


def isfile(path: AnyPath) -> bool:
    """Return whether a path is an existing regular file, or an object."""
    path = os.fspath(path)
    return remote.is_file(_text(path)) if is_url(path) else os.path.isfile(path)


def exists(path: AnyPath) -> bool:
    """Return whether a path exists."""
    path = os.fspath(path)
    if is_url(path):
        return remote.is_file(_text(path)) or remote.is_folder(_text(path))
    return os.path.exists(path)


def getsize(path: AnyPath) -> int:
    """Return the size of a file in bytes.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    path = os.fspath(path)
    return remote.entry(_text(path)).size if is_url(path) else os.path.getsize(path)


def scandir(path: AnyStr) -> Iterator[os.DirEntry[AnyStr] | PathEntry]:
    """Return the files and folders in a folder, in any order.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the folder does not exist, or may not be read.
    """
    return _children(path) if is_url(path) else _scanned(os.scandir(path))


def scanfolders(path: AnyStr) -> Iterator[os.DirEntry[AnyStr] | PathEntry]:
    """Yield the folders in a folder, in any order."""
    if is_url(path):
        for name in remote.subfolders(_text(path)):
            yield PathEntry(path, _same(name, path), True)
    else:
        for entry in scandir(path):
            if entry.is_dir():
                yield entry


def listdir(path: AnyStr) -> list[AnyStr]:
    """Return the names in a folder, in any order."""
    return list(dict.fromkeys(entry.name for entry in scandir(path))) if is_url(path) else os.listdir(path)


def walk(path: AnyStr) -> Iterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
    """Yield each folder from a folder on, with the names of the folders and of the files in it."""
    if not is_url(path):
        yield from os.walk(path)
        return
    entries = list(_children(path))
    folders, files = ([entry.name for entry in entries if entry.is_dir() is kind] for kind in (True, False))
    yield path, folders, files
    for name in folders:
        yield from walk(join(path, name))


def abspath(path: Any) -> Any:
    """Return an absolute path, without a separator at its end."""
    path = os.fspath(path)
    if isinstance(path, bytes):
        return path.removesuffix(b"/") if is_url(path) else os.path.abspath(path)
    return path.removesuffix("/") if is_url(path) else os.path.abspath(path)


def join(folder: AnyStr, *names: AnyStr) -> AnyStr:
    """Return the path of something in a folder. A name that is an address stands alone; in a folder of the disk also an absolute path."""
    at = max((i for i, name in enumerate(names) if is_url(name)), default=-1)
    if at >= 0:
        folder, names = names[at], names[at + 1 :]
    if not is_url(folder):
        return os.path.join(folder, *names)
    slash = _same("/", folder)
    for name in names:
        folder = folder + name if folder.endswith(slash) else folder + slash + name
    return folder


def basename(path: AnyStr) -> AnyStr:
    """Return the last part of a path."""
    return split(path)[1]


def dirname(path: AnyStr) -> AnyStr:
    """Return the folder of a path; that of the top of a bucket is the bucket."""
    return split(path)[0]


def split(path: AnyStr) -> tuple[AnyStr, AnyStr]:
    """Return the folder and the last part of a path; that of a bucket is empty."""
    if not is_url(path):
        return os.path.split(path)
    url = split_url(path)
    if url.key.endswith("/"):
        return _same(f"{url.root}/{url.key.rstrip('/')}", path), _same("", path)
    folder, name = split_key(url.key)
    return _same(f"{url.root}/{folder}" if folder else url.root, path), _same(name, path)


def normpath(path: AnyStr) -> AnyStr:
    """Return a path without redundant parts; of an address, whose keys have no others, without a slash at its end."""
    return path.removesuffix(_same("/", path)) if is_url(path) else os.path.normpath(path)


def relpath(path: AnyStr, start: AnyStr) -> AnyStr:
    """Return a path relative to a folder; an address must be below it."""
    if not is_url(path):
        return os.path.relpath(path, start)
    whole, top = _text(path), _text(start).removesuffix("/") + "/"
    if whole == top[:-1]:
        return _same(".", path)
    if not whole.startswith(top):
        raise ValueError(f"{whole} is not below {top}")
    return _same(whole[len(top) :], path)


def commonpath(paths: Collection[AnyStr]) -> AnyStr:
    """Return the deepest folder that contains all paths.

    Raises
    ------
    ValueError
        If there is none.
    """
    first = next(iter(paths))
    if not any(map(is_url, paths)):
        return os.path.commonpath(paths)
    if not all(map(is_url, paths)) or len({split_url(path).root for path in paths}) > 1:
        raise ValueError("the paths have no common folder")
    levels = zip(*(parts_of(split_url(path).key) for path in paths), strict=False)
    shared: list[str] = [level[0] for level in takewhile(lambda level: len({*level}) == 1, levels)]
    return _same("/".join([split_url(first).root, *shared]), first)


def isabs(path: str | bytes) -> bool:
    """Return whether a path needs no folder before it."""
    return is_url(path) or os.path.isabs(path)


def open(path: AnyPath) -> BinaryIO:  # noqa: A001 - reads as paths.open
    """Return a file, open for reading bytes, with `seek` and `readinto`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    path = os.fspath(path)
    if is_url(path):
        return io.BufferedReader(opened(_text(path)), remote_file.BUFFER)
    return builtins.open(path, "rb")


def open_text(path: AnyPath, newline: str | None = None) -> TextIO:
    r"""Return a text file in UTF-8, open for reading, without a byte order mark.

    Parameters
    ----------
    path
        The file.
    newline
        As for `open`: None translates all ends of lines into ``\n``, an empty text none.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    return io.TextIOWrapper(open(path), encoding="utf-8-sig", newline=newline)


def read_bytes(path: AnyPath) -> bytes:
    """Return the content of a small file."""
    path = os.fspath(path)
    if is_url(path):
        return remote_file.read_bytes(_text(path))
    with builtins.open(path, "rb") as file:
        return file.read()


def read_text(path: AnyPath, errors: str = "strict") -> str:
    """Return the content of a small text file in UTF-8, without a byte order mark, with universal newlines."""
    text = read_bytes(path).decode("utf-8-sig", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def know_folder(path: str) -> None:
    """List the objects below an address, unless they are listed, so that more questions are answered without requests."""
    if is_url(path):
        remote.know_folder(path)


def know_beside(folder: str) -> None:
    """List the folder of a file that names others, where its server has lists: a web server is asked for each of them."""
    if is_url(folder) and not remote.is_web(folder):
        remote.know_folder(folder)


def know_files(paths: Iterable[AnyPath]) -> None:
    """Ask for all addresses among paths at the same time, so that more questions about them are answered without requests."""
    remote.know_files(_text(path) for each in paths if is_url(path := os.fspath(each)))


def for_each(function: Callable[[A], B], paths: Sequence[A]) -> list[B]:
    """Return the results of a function that opens files, for each path, in order; many objects are opened at the same time."""
    return remote.for_each(function, paths) if paths and is_url(paths[0]) else list(map(function, paths))


def _children(path: AnyStr) -> Iterator[PathEntry]:
    for name, is_folder in remote.children(_text(path)):
        yield PathEntry(path, _same(name, path), is_folder)


def _scanned(entries: Any) -> Iterator[os.DirEntry[AnyStr]]:
    with entries:
        yield from entries


def _same(text: str, path: AnyStr) -> AnyStr:
    """Return a text in the type of a path."""
    return text if isinstance(path, str) else os.fsencode(text)


def _text(path: str | bytes) -> str:
    return path if isinstance(path, str) else os.fsdecode(path)
