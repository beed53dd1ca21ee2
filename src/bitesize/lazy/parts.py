"""Parts of lazy arrays: `.npy` files, members of `.npz` archives, memmaps, open datasets, arrays in memory."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.array_like import refuse_endless
from bitesize.errors import BadFile, BadSetting, BitesizeError, NotFound
from bitesize.files.archives import DAMAGED
from bitesize.files.deflate import SeekableDeflate
from bitesize.files.names import show
from bitesize.files.npy import MAX_HEADER, Header, HoldsObjects, parse_header, read_header
from bitesize.files.pread import open_object, read_into, with_file
from bitesize.lazy.datasets import Dataset, is_dataset, name_of
from bitesize.lazy.disk import Compressed, OnDisk
from bitesize.lazy.mapped import node_of_mapped
from bitesize.lazy.nodes import Node, Turned
from bitesize.lazy.select import SCRATCH, Select, choose, part_of, tiles
from bitesize.storage import paths
from bitesize.storage.blocks import BlockFile, holding
from bitesize.storage.url import is_url

# Separator of an archive's path and the name of a member.
MEMBER = "::"


class InMemory(Node):
    """An array in memory, not copied: modifying it changes the values read."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype.newbyteorder("=")

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Copy the selected values."""
        for tile in tiles(out.shape, out.itemsize, SCRATCH):
            out[tile] = choose(self._array, part_of(select, tile))


def node_of(part: Any) -> Node:
    """Return the node of a part of a lazy array.

    Parameters
    ----------
    part
        A path of a `.npy` file or of a member of an archive, an array, a `numpy.memmap` or any view of one (both are read from
        the file), an open `h5py.Dataset`, `zarr.Array` or `dask.array.Array` (read by slices), or any input of `numpy.asarray`.

    Returns
    -------
    Node
        An `InMemory` if the values are already in memory.

    Raises
    ------
    NotFound
        If the file or the member of an archive does not exist.
    BadFile
        If a file does not have the format of its suffix, or holds Python objects.
    BadSetting
        If it is not an array of plain numbers or text, has masked values, or belongs to a package whose arrays would be loaded whole.
    """
    if isinstance(part, str | os.PathLike):
        return _of_path(os.fspath(part))
    if isinstance(part, bytes):
        return _of_path(os.fsdecode(part))
    if is_dataset(part):
        return Dataset(part, name_of(part))
    if np.ma.is_masked(part):
        raise BadSetting("values of this array are masked, and a lazy array has no mask: pass x.filled(value)")
    refuse_endless(part, "an array to join")
    array = part if isinstance(part, np.ndarray) else np.asarray(part)
    if array.dtype.hasobject or array.dtype.names is not None:
        raise BadSetting(f"a lazy array needs plain numbers or text, but this array has dtype {array.dtype}")
    return node_of_mapped(array) or InMemory(np.asarray(array))


def _of_path(path: str) -> Node:
    path, _, member = path.partition(MEMBER)
    if not paths.isfile(path):
        raise NotFound(
            f'{path} is a folder: pass its files, such as "{paths.join(path, "*.npy")}"'
            if paths.isdir(path)
            else f"{path} does not exist"
        )
    name = paths.abspath(os.fsencode(path))  # must stay valid after a change of the working directory
    if path.lower().endswith(".npz"):
        return _of_archive(name, member)
    if member:
        raise BadSetting(f"{path} is not a .npz file and has no member {member!r}")
    header = with_file(name, lambda fd: read_header(fd, name))
    return _in_order(name, header.offset, header)


def _in_order(path: bytes, offset: int, header: Header) -> Node:
    if not header.fortran:
        return OnDisk(path, offset, header.shape, header.dtype)
    turned = OnDisk(path, offset, header.shape[::-1], header.dtype)
    return Turned(turned, tuple(range(len(header.shape)))[::-1]) if len(header.shape) > 1 else turned


def members(path: bytes) -> dict[str, Node | HoldsObjects]:
    """Return all arrays of an archive, by name; with an error in place of arrays of Python objects, so that others can be read.

    Raises
    ------
    BadFile
        If the archive is damaged, or a member is not an array.
    """
    arrays: dict[str, Node | HoldsObjects] = {}
    with _archive(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                try:
                    arrays[info.filename.removesuffix(".npy")] = _member(path, archive, info)
                except HoldsObjects as error:
                    arrays[info.filename.removesuffix(".npy")] = error
    return arrays


def _of_archive(path: bytes, member: str) -> Node:
    with _archive(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        matches = [name for name in names if name in (member, f"{member}.npy")] if member else names
        if len(matches) != 1:
            known = ", ".join(name.removesuffix(".npy") for name in names[:20])
            problem = f"has no member {member!r}" if member else f"has {len(names)} members"
            raise NotFound(
                f'{show(path)} {problem}: name one, such as "{show(path)}{MEMBER}NAME"; its members are {known or "none"}'
            )
        return _member(path, archive, archive.getinfo(matches[0]))


def _member(path: bytes, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Node:
    where = os.fsencode(f"{os.fsdecode(path)}{MEMBER}{info.filename}")
    with archive.open(info) as start_of:
        header = parse_header(start_of.read(MAX_HEADER + 12), info.file_size, where)
    start = _data_of(path, info)
    if info.compress_type == zipfile.ZIP_STORED:
        return _in_order(path, start + header.offset, header)
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise BadFile(f"{show(where)} is compressed with method {info.compress_type}; only deflate is supported")
    stream = SeekableDeflate(path, start, info.compress_size, info.file_size, info.CRC)
    if not header.fortran or len(header.shape) < 2:
        return Compressed(stream, header)
    backwards = Header(header.shape[::-1], header.dtype, False, header.offset)
    return Turned(Compressed(stream, backwards), tuple(range(len(header.shape)))[::-1])


def _data_of(path: bytes, info: zipfile.ZipInfo) -> int:
    """Return the offset of the bytes of a member: its local header may be longer than the directory says."""
    local = bytearray(30)
    with_file(path, lambda fd: read_into(fd, [local], info.header_offset, path))
    return info.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")


@contextmanager
def _opened(path: bytes) -> Iterator[Any]:
    """Open an archive for `zipfile`: an object as one file for all parts of it, so that none is requested twice."""
    if not is_url(path):
        yield os.fsdecode(path)
        return
    file = open_object(path)
    file.seek(0)
    with holding([file]):
        yield file


@contextmanager
def _failed_reads(file: Any) -> Iterator[None]:
    """Raise the error of an object that cannot be read, where `zipfile` raises one that the archive is damaged."""
    try:
        yield
    except DAMAGED as error:
        hidden = file.failed if isinstance(file, BlockFile) else None
        if isinstance(hidden, BitesizeError) and not isinstance(error, BitesizeError):
            raise hidden from error
        raise


@contextmanager
def _archive(path: bytes) -> Iterator[zipfile.ZipFile]:
    try:
        with _opened(path) as file, _failed_reads(file), zipfile.ZipFile(file) as archive:
            yield archive
    except BitesizeError:
        raise
    except DAMAGED as error:
        raise BadFile(f"{show(path)} cannot be read as an archive: {error}") from error
