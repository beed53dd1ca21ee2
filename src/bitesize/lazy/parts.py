"""What lazy arrays are made of at the bottom: `.npy` files, members of `.npz` archives, memmaps, arrays in memory."""

from __future__ import annotations

import lzma
import os
import threading
import weakref
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError, FileChanged, NotFound
from bitesize.files.names import show
from bitesize.files.npy import MAX_HEADER, Header, parse_header, read_header
from bitesize.files.pread import open_file, read_into
from bitesize.lazy.nodes import Node, Stretch, Turned
from bitesize.lazy.select import SCRATCH, Select, choose, gather, part_of, tiles

# Stands between an archive's path and the name of a member.
MEMBER = "::"


# What Python's decompressors raise for damaged data.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError)
# Archives that are open at a time: each takes a descriptor.
_MOST_OPEN = 16
_open_archives: deque[weakref.ref[Compressed]] = deque()
_opening = threading.Lock()


def _keep_open(archive: Compressed) -> None:
    """Note that an archive is used, and close the one that has not been used for longest."""
    own = weakref.ref(archive)
    with _opening:
        if own in _open_archives:
            _open_archives.remove(own)
        _open_archives.append(own)
        rest = [_open_archives.popleft()() for _ in range(len(_open_archives) - _MOST_OPEN)]
    for each in rest:
        if each is not None:
            each.rest()


class _Seen(NamedTuple):
    """What a file looked like when its header was read: another file in its place would be read as garbage."""

    inode: int
    size: int
    time: int

    @classmethod
    def of(cls, file: int | bytes) -> _Seen:
        """Look at a file."""
        found = os.stat(file)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)

    def check(self, file: int | bytes, path: bytes) -> None:
        """Raise `FileChanged` if it is no longer the same."""
        try:
            same = _Seen.of(file) == self
        except FileNotFoundError:
            same = False
        if not same:
            raise FileChanged(f"{show(path)} has changed since the lazy array was made of it: make it again")


class InMemory(Node):
    """An array as it is; not copied, so changing it changes what is read."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype.newbyteorder("=")

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Copy."""
        for tile in tiles(out.shape, out.itemsize, SCRATCH):
            out[tile] = choose(self._array, part_of(select, tile))


class OnDisk(Node):
    """Values that lie in a file one behind the other, in C order.

    Parameters
    ----------
    path
        The file.
    offset
        Where in it the first value begins, in bytes.
    shape, dtype
        What they are; any byte order.
    written_to
        Whether the file may be written to while it is used, by a memmap.
    """

    on_disk = True

    def __init__(
        self, path: bytes, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], written_to: bool = False
    ) -> None:
        self.path, self._offset, self._stored = path, offset, dtype
        self._seen = None if written_to else _Seen.of(path)
        self.shape, self.dtype = shape, dtype.newbyteorder("=")

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read by position; the file is open only meanwhile."""
        if not out.size:
            return
        fd = open_file(self.path)
        try:
            if self._seen is not None:
                self._seen.check(fd, self.path)
            gather(self.shape, select, out, lambda first, flat: self._read_run(fd, first, flat))
        finally:
            os.close(fd)

    def _read_run(self, fd: int, first: int, flat: NDArray[Any]) -> None:
        read_into(fd, [memoryview(flat.view(np.uint8))], self._offset + first * self.dtype.itemsize, self.path)  # type: ignore[arg-type]
        if not self._stored.isnative:
            flat.byteswap(inplace=True)

    def stretches(self) -> list[Stretch] | None:
        """All of it."""
        plain = self._stored.isnative and bool(self.shape)
        return [Stretch(self.path, self._offset, self.shape[0])] if plain else None


class Compressed(Node):
    """A compressed member of an archive: read on from where the last read ended, or again from the beginning."""

    on_disk = True
    hindrance = "rows of a compressed archive can only be read one after the other"

    def __init__(self, path: bytes, member: str, header: Header) -> None:
        self.path, self._member, self._header, self._seen = path, member, header, _Seen.of(path)
        self.shape, self.dtype = header.shape, header.dtype.newbyteorder("=")
        self._open()

    def _open(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._archive: zipfile.ZipFile | None = None
        self._stream: Any = None

    def rest(self) -> None:
        """Close the archive, if nobody reads it now; it is opened again when it is needed."""
        if self._lock.acquire(blocking=False):
            try:
                if self._archive is not None:
                    self._archive.close()
                self._archive = self._stream = None
            finally:
                self._lock.release()

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Decompress what is before, and read; one thread at a time."""
        if self._pid != os.getpid():  # a forked process shares its parent's place in the file
            self._open()
        _keep_open(self)
        with self._lock:
            try:
                if self._stream is None:
                    self._seen.check(self.path, self.path)
                    self._archive = zipfile.ZipFile(os.fsdecode(self.path))
                    self._stream = self._archive.open(self._member)
                gather(self.shape, select, out, self._read_run)
            except BitesizeError:
                raise
            except (*_DAMAGED, EOFError, OSError, KeyError) as error:
                raise BadFile(f"{show(self.path)}{MEMBER}{self._member} is damaged: {error}") from error

    def _read_run(self, first: int, flat: NDArray[Any]) -> None:
        self._stream.seek(self._header.offset + first * self.dtype.itemsize)
        into, done = memoryview(flat.view(np.uint8)), 0  # type: ignore[arg-type]
        while done < len(into):
            got = self._stream.readinto(into[done : done + SCRATCH])
            if not got:
                raise BadFile(f"{show(self.path)}{MEMBER}{self._member} ends too early")
            done += got
        if not self._header.dtype.isnative:
            flat.byteswap(inplace=True)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("path", "_member", "_header", "_seen", "shape", "dtype")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


def node_of(part: Any) -> Node:
    """Make a node of a path, a memmap, or an array.

    Raises
    ------
    NotFound
        If there is no such file, or no such member in an archive.
    BadFile
        If a file is not what its suffix says, or holds Python objects.
    BadSetting
        If it is no array.
    """
    if isinstance(part, str | os.PathLike):
        return _of_path(os.fspath(part))
    if isinstance(part, bytes):
        return _of_path(os.fsdecode(part))
    array = part if isinstance(part, np.ndarray) else np.asarray(part)
    if array.dtype.hasobject or array.dtype.names is not None:
        raise BadSetting(f"arrays of plain numbers or text can be lazy, and this is of {array.dtype}")
    return (_mapped(array) if isinstance(array, np.memmap) else None) or InMemory(np.asarray(array))


def _of_path(path: str) -> Node:
    path, _, member = path.partition(MEMBER)
    if not os.path.isfile(path):
        raise NotFound(f"{path} does not exist" if not os.path.isdir(path) else f"{path} is a folder: give its files")
    name = os.path.abspath(os.fsencode(path))  # it must outlive a change of folder
    if path.lower().endswith(".npz"):
        return _of_archive(name, member)
    if member:
        raise BadSetting(f"{path} is no .npz, and has no member {member!r}")
    fd = open_file(name)
    try:
        header = read_header(fd, name)
    finally:
        os.close(fd)
    return _in_order(name, header.offset, header)


def _in_order(path: bytes, offset: int, header: Header) -> Node:
    if not header.fortran:
        return OnDisk(path, offset, header.shape, header.dtype)
    turned = OnDisk(path, offset, header.shape[::-1], header.dtype)
    return Turned(turned, tuple(range(len(header.shape)))[::-1]) if len(header.shape) > 1 else turned


def _of_archive(path: bytes, member: str) -> Node:
    with _archive(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        found = [name for name in names if name in (member, f"{member}.npy")] if member else names
        if len(found) != 1:
            known = ", ".join(name.removesuffix(".npy") for name in names[:20])
            problem = f"has no member {member!r}" if member else f"has {len(names)} members"
            raise NotFound(f'{show(path)} {problem}: name one, as "{show(path)}{MEMBER}NAME"; there are {known or "none"}')
        info = archive.getinfo(found[0])
        where = os.fsencode(f"{os.fsdecode(path)}{MEMBER}{found[0]}")
        with archive.open(info) as stream:
            header = parse_header(stream.read(MAX_HEADER + 12), info.file_size, where)
        if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
            with open(os.fsdecode(path), "rb") as file:  # the local header may be longer than the directory says
                file.seek(info.header_offset + 26)
                lengths = file.read(4)
            start = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            return _in_order(path, start + header.offset, header)
        if not header.fortran:
            return Compressed(path, found[0], header)
        backwards = Header(header.shape[::-1], header.dtype, False, header.offset)
        return Turned(Compressed(path, found[0], backwards), tuple(range(len(header.shape)))[::-1])


@contextmanager
def _archive(path: bytes) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(os.fsdecode(path)) as archive:
            yield archive
    except BitesizeError:
        raise
    except (*_DAMAGED, NotImplementedError, RuntimeError, OSError) as error:  # damaged; unknown method; encrypted
        raise BadFile(f"{show(path)} cannot be read as an archive: {error}") from error


def _mapped(array: np.memmap[Any, Any]) -> Node | None:
    """Find a contiguous memmap, or a part of one, in its file: reading it there leaves no mapped pages behind."""
    root: Any = array
    while isinstance(root.base, np.memmap):
        root = root.base
    if root.filename is None or root.mode == "c" or not array.flags.c_contiguous:  # copy-on-write lives in memory only
        return None
    if root.mode != "r":
        root.flush()
    first = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    path = os.path.abspath(os.fsencode(root.filename))
    return OnDisk(path, root.offset + first, array.shape, array.dtype, written_to=root.mode != "r")
