"""What lazy arrays are made of at the bottom: `.npy` files, members of `.npz` archives, memmaps, arrays in memory."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError, NotFound
from bitesize.files.archives import DAMAGED
from bitesize.files.deflate import Deflated
from bitesize.files.names import show
from bitesize.files.npy import MAX_HEADER, Header, HoldsObjects, parse_header, read_header
from bitesize.files.pread import read_into, with_file
from bitesize.files.state import FileState
from bitesize.lazy.nodes import Node, Stretch, Turned
from bitesize.lazy.select import SCRATCH, Select, choose, gather, part_of, tiles

# Stands between an archive's path and the name of a member.
MEMBER = "::"


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
        self._seen = None if written_to else FileState.of(path)
        self.shape, self.dtype = shape, dtype.newbyteorder("=")

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read by position; the file is open only meanwhile."""
        if not out.size:
            return

        def work(fd: int) -> None:
            """Read while it is open."""
            if self._seen is not None:
                self._seen.check(self.path, fd)
            gather(self.shape, select, out, lambda first, flat: self._read_run(fd, first, flat))

        with_file(self.path, work)

    def _read_run(self, fd: int, first: int, flat: NDArray[Any]) -> None:
        read_into(fd, [memoryview(flat.view(np.uint8))], self._offset + first * self.dtype.itemsize, self.path)  # type: ignore[arg-type]
        if not self._stored.isnative:
            flat.byteswap(inplace=True)

    def check_unchanged(self) -> None:
        """Look at the file."""
        if self._seen is not None:
            self._seen.check(self.path)

    def stretches(self) -> list[Stretch] | None:
        """All of it."""
        plain = self._stored.isnative and bool(self.shape)
        return [Stretch(self.path, self._offset, self.shape[0])] if plain else None


class Compressed(Node):
    """A compressed member of an archive: any part can be read, at the cost of what lies before it in its stretch."""

    on_disk = True

    def __init__(self, stream: Deflated, header: Header) -> None:
        self.path, self._stream, self._header, self._seen = stream.path, stream, header, FileState.of(stream.path)
        self.shape, self.dtype = header.shape, header.dtype.newbyteorder("=")
        self.own_run_nbytes, self.own_held_nbytes = stream.apart, stream.nbytes

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Decompress what is asked for, and what is before it in its stretch."""
        if not out.size:
            return

        def work(fd: int) -> None:
            """Read while it is open."""
            self._seen.check(self.path, fd)
            gather(self.shape, select, out, lambda first, flat: self._read_run(fd, first, flat))

        with_file(self.path, work)

    def _read_run(self, fd: int, first: int, flat: NDArray[Any]) -> None:
        self._stream.read(fd, self._header.offset + first * self.dtype.itemsize, flat.view(np.uint8))
        if not self._header.dtype.isnative:
            flat.byteswap(inplace=True)


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
    header = with_file(name, lambda fd: read_header(fd, name))
    return _in_order(name, header.offset, header)


def _in_order(path: bytes, offset: int, header: Header) -> Node:
    if not header.fortran:
        return OnDisk(path, offset, header.shape, header.dtype)
    turned = OnDisk(path, offset, header.shape[::-1], header.dtype)
    return Turned(turned, tuple(range(len(header.shape)))[::-1]) if len(header.shape) > 1 else turned


def members(path: bytes) -> dict[str, Node | HoldsObjects]:
    """Give all arrays of an archive, by name; the error in place of those that hold Python objects, which others need not suffer.

    Raises
    ------
    BadFile
        If it is damaged, or one of them is no array.
    """
    found: dict[str, Node | HoldsObjects] = {}
    with _archive(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                try:
                    found[info.filename.removesuffix(".npy")] = _member(path, archive, info)
                except HoldsObjects as error:
                    found[info.filename.removesuffix(".npy")] = error
    return found


def _of_archive(path: bytes, member: str) -> Node:
    with _archive(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        found = [name for name in names if name in (member, f"{member}.npy")] if member else names
        if len(found) != 1:
            known = ", ".join(name.removesuffix(".npy") for name in names[:20])
            problem = f"has no member {member!r}" if member else f"has {len(names)} members"
            raise NotFound(f'{show(path)} {problem}: name one, as "{show(path)}{MEMBER}NAME"; there are {known or "none"}')
        return _member(path, archive, archive.getinfo(found[0]))


def _member(path: bytes, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Node:
    where = os.fsencode(f"{os.fsdecode(path)}{MEMBER}{info.filename}")
    with archive.open(info) as start_of:
        header = parse_header(start_of.read(MAX_HEADER + 12), info.file_size, where)
    start = _data_of(path, info)
    if info.compress_type == zipfile.ZIP_STORED:
        return _in_order(path, start + header.offset, header)
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise BadFile(f"{show(where)} is compressed by method {info.compress_type}: NumPy writes none but deflate")
    stream = Deflated(path, start, info.compress_size, info.file_size, info.CRC)
    if not header.fortran or len(header.shape) < 2:
        return Compressed(stream, header)
    backwards = Header(header.shape[::-1], header.dtype, False, header.offset)
    return Turned(Compressed(stream, backwards), tuple(range(len(header.shape)))[::-1])


def _data_of(path: bytes, info: zipfile.ZipInfo) -> int:
    """Find where the bytes of a member begin: its local header may be longer than the directory says."""
    local = bytearray(30)
    with_file(path, lambda fd: read_into(fd, [local], info.header_offset, path))
    return info.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")


@contextmanager
def _archive(path: bytes) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(os.fsdecode(path)) as archive:
            yield archive
    except BitesizeError:
        raise
    except DAMAGED as error:
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
