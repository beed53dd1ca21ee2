"""Whole files from and to addresses: outputs are written on the disk first, and copied when they are complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bitesize.errors import DiskFull, RequestFailed
from bitesize.files.atomic import replacing, replacing_large
from bitesize.memory.sizes import format_size
from bitesize.storage import remote
from bitesize.storage.base import Entry
from bitesize.storage.stores import storage_of
from bitesize.storage.url import is_url, split_url

_PIECE = 8 << 20  # bytes that are in memory at the same time


def objects_below(address: str) -> dict[str, Entry]:
    """Return the current objects below an address, by their names relative to it."""
    url = split_url(address)
    prefix = f"{url.key.rstrip('/')}/" if url.key.rstrip("/") else ""
    pages = storage_of(address).list(prefix)
    return {entry.key[len(prefix) :]: entry for page in pages for entry in page if entry.key != prefix}


def same(one: Entry, other: Entry) -> bool:
    """Return whether two answers about an object are about the same content; servers quote versions in some answers only."""
    if one.version and other.version:
        return one.size == other.size and one.version.strip('"') == other.version.strip('"')
    return (one.size, one.time) == (other.size, other.time)


def upload(path: str | os.PathLike[str], address: str) -> Entry:
    """Copy a file to an address. Nothing is seen there before all of it has arrived.

    Returns
    -------
    Entry
        The object.

    Raises
    ------
    NoPermission, RequestFailed
        If the object cannot be written, or has another size than the file afterwards.
    """
    nbytes = os.path.getsize(path)
    written = storage_of(address).write(split_url(address).key, _pieces(path))
    remote.remember(address, written)
    if written.size != nbytes:
        raise RequestFailed(f"{address} has {written.size:,} bytes, but {nbytes:,} were written: write it again")
    return written


def download(address: str, entry: Entry, path: str | os.PathLike[str]) -> None:
    """Copy an object of a list into a file, which is complete or does not exist.

    Raises
    ------
    DiskFull
        If the disk has too little space.
    FileChanged
        If the object was replaced since it was listed.
    """
    storage, key = storage_of(address), split_url(address).key
    os.makedirs(os.path.dirname(path), exist_ok=True)
    buffer = memoryview(bytearray(min(_PIECE, max(1, entry.size))))
    with replacing_large(path, entry.size) as temporary, open(temporary, "wb") as file:
        for start in range(0, entry.size, _PIECE):
            piece = buffer[: min(_PIECE, entry.size - start)]
            storage.read(key, start, [piece], entry.version)
            file.write(piece)


def remove(address: str) -> None:
    """Remove an object; it need not exist."""
    storage_of(address).remove(split_url(address).key)
    remote.forget(address)


@contextlib.contextmanager
def replacing_at(path: str, nbytes: int = 0) -> Iterator[Path]:
    """Be `replacing`, for a path that may be an address: the file is written on the disk, and copied when it is complete.

    Parameters
    ----------
    path
        Path or address of the file.
    nbytes
        About how many bytes it will have, to check the space on the disk first.

    Raises
    ------
    DiskFull
        If the folder for temporary files has too little space.

    Examples
    --------
    >>> import tempfile
    >>> target = os.path.join(tempfile.mkdtemp(), "notes.txt")
    >>> with replacing_at(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> Path(target).read_text()
    'whole'
    """
    if not is_url(path):
        with replacing(path) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="bitesize-") as folder:
        free = shutil.disk_usage(folder).free
        if nbytes > free:
            raise DiskFull(
                f"{path} needs about {format_size(nbytes)} on the disk before it is copied, but {folder} has {format_size(free)} "
                "free: free some space, or set TMPDIR to a folder on another disk"
            )
        temporary = Path(folder) / f"output{Path(path.rpartition('/')[2]).suffix}"
        yield temporary
        upload(temporary, path)


def _pieces(path: str | os.PathLike[str]) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece
