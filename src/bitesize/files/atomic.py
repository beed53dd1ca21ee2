"""Writing files atomically: after a crash, either the old or the new file is complete."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from bitesize.errors import DiskFull
from bitesize.memory.sizes import format_size

# What systems say when a disk, a user's share of it, or the largest size of a file is used up.
NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# What file systems say that cannot flush folders, such as some network shares.
_NO_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
_NUMBERS = itertools.count()  # of this process, whose threads may write the same file at the same time
_watchers: list[tuple[Path, Callable[[], None]]] = []


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces ``path`` when the block ends without an error.

    The temporary file has the same suffix (Keras selects the format by it) and folder, since a rename
    is atomic only within one file system. After the rename the folder is flushed too.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    target = Path(path)
    # The name includes the host, because process numbers of machines that share a folder may be equal; it is truncated.
    begin, end = f".{target.stem[:80]}.{platform.node()[:40]}-", f".tmp{target.suffix}"
    temporary = target.with_name(f"{begin}{os.getpid()}-{next(_NUMBERS)}{end}")
    _remove_leftovers(target.parent, begin, end)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(target.parent)
    for folder, changed in tuple(_watchers):
        if target.is_relative_to(folder):
            changed()


def watch(folder: Path, changed: Callable[[], None]) -> Callable[[], None]:
    """Call a function whenever `replacing` has completed a file below a folder; return a function that ends this.

    It is called in the thread that wrote the file, and must return soon.

    Examples
    --------
    >>> import tempfile
    >>> folder, seen = Path(tempfile.mkdtemp()), []
    >>> end = watch(folder, lambda: seen.append("changed"))
    >>> write_text(folder / "notes.txt", "whole")
    >>> end()
    >>> write_text(folder / "notes.txt", "again")
    >>> seen
    ['changed']
    """
    watcher = (folder, changed)
    _watchers.append(watcher)

    def end() -> None:
        if watcher in _watchers:
            _watchers.remove(watcher)

    return end


def flush_folder(folder: str | os.PathLike[str]) -> None:
    """Flush the names in a folder to the disk, where the system and the file system can."""
    if hasattr(os, "O_DIRECTORY"):  # folders cannot be flushed on Windows, where a rename is journalled
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in _NO_FLUSH:
                raise
        finally:
            os.close(fd)


@contextlib.contextmanager
def replacing_large(path: str | os.PathLike[str], nbytes: int, advice: str = "") -> Iterator[Path]:
    """Be `replacing`, for a file of this many bytes: there must be room for them.

    Raises
    ------
    DiskFull
        If there is too little space, before or during writing; nothing is kept then.
    """
    target = Path(path)
    free = shutil.disk_usage(target.parent).free
    if nbytes > free:
        raise DiskFull(
            f"{target} needs {format_size(nbytes)}, but the disk has {format_size(free)} free. Free some space, choose "
            f"a folder on another disk{advice}"
        )
    try:
        with replacing(target) as temporary:
            yield temporary
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFull(f"no space on the disk for {target} ({error.strerror}); nothing was written") from error


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove temporary files of killed processes of this host from a folder, which need not exist."""
    host = re.escape(platform.node()[:40])
    for path in Path(folder).glob(".*.tmp*"):
        process = re.search(rf"\.{host}-(\d+)-\d+\.tmp(\.\w+)?$", path.name)
        if process is not None and not psutil.pid_exists(int(process[1])):
            path.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, begin: str, end: str) -> None:
    """Remove temporary files of killed processes of this host with names of this pattern."""
    for entry in os.listdir(folder):
        middle = entry.removeprefix(begin).removesuffix(end)
        process = middle.partition("-")[0]
        if entry == f"{begin}{middle}{end}" and process.isdigit() and not psutil.pid_exists(int(process)):
            (folder / entry).unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON, atomically; undecodable bytes in names are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole text file in UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
