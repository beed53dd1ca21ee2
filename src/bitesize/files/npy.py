"""The `.npy` format: headers checked against the file's size before anything is allocated; pickles refused."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.pread import compiled, open_file, read_into

MAX_HEADER = 10_000  # NumPy's own cap: a longer literal could make its parser slow or crash


@dataclass(frozen=True)
class Header:
    """What a `.npy` file holds.

    Parameters
    ----------
    shape
        Shape of the array.
    dtype
        Its dtype, in the file's byte order.
    fortran
        Whether the first axis varies fastest in the file.
    offset
        Where the data begins, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(fd: int, path: bytes) -> Header:
    """Read and check the header of an open `.npy` file.

    Raises
    ------
    BadFile
        If it is no `.npy`, holds objects or records, or its size differs from what the header says.
    """
    size = os.fstat(fd).st_size
    start = bytearray(min(size, MAX_HEADER + 12))
    read_into(fd, [start], 0, path)
    return parse_header(bytes(start), size, path)


def parse_header(start: bytes, size: int, path: bytes) -> Header:
    """Parse the first bytes of a `.npy` file of ``size`` bytes; see `read_header`."""
    stream = io.BytesIO(start)
    try:
        version = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=MAX_HEADER)
    except Exception as error:  # NumPy raises six types for malformed headers
        raise BadFile(f"{show(path)} is not a .npy file: {' '.join(str(error).split())[:200]}") from error
    if dtype.hasobject:
        raise BadFile(f"{show(path)} holds Python objects (a pickle), which could run code when read: refused")
    if dtype.names is not None or dtype.subdtype is not None:
        raise BadFile(f"{show(path)} holds records ({dtype}); an array of plain numbers is needed")
    if len(shape) > 64 or any(isinstance(n, bool) or n < 0 for n in shape):
        raise BadFile(f"{show(path)} has the impossible shape {shape}")
    header = Header(tuple(shape), dtype, bool(fortran), stream.tell())
    if header.offset + header.nbytes != size:
        raise BadFile(f"{show(path)} should have {header.offset + header.nbytes:,} bytes by its header, and has {size:,}")
    return header


def read_payload(fd: int, header: Header, out: NDArray[Any], path: bytes) -> None:
    """Read the data of an open `.npy` file into ``out``: C-contiguous, of the header's shape, in native byte order.

    Fortran order costs one more copy of the array, which the caller's scratch must allow for.
    """
    if header.fortran and len(header.shape) > 1:
        flat = np.empty(header.shape[::-1], header.dtype)
        read_into(fd, [flat], header.offset, path)
        out[...] = flat.T
    else:
        read_into(fd, [_bytes(out)], header.offset, path)
        if not header.dtype.isnative:
            out.byteswap(inplace=True)


@dataclass(frozen=True)
class ArrayFile:
    """An array that stays on disk and is read by rows of its first axis; see `open_array`."""

    path: bytes
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_nbytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read_rows(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows into ``out``, shape (len(rows), *shape[1:]), in native byte order; neighbours in one call."""
        row_bytes = self.row_nbytes
        libc = compiled()
        if libc is not None and row_bytes:
            fd = open_file(self.path)
            try:
                done = libc.read_rows(fd, self.offset, rows, out.reshape(-1).view(np.uint8).reshape(len(rows), row_bytes))
            finally:
                os.close(fd)
            if done < len(rows):
                self._read_rows(rows[done:], out[done:], row_bytes)
        else:
            self._read_rows(rows, out, row_bytes)
        if not self.dtype.isnative:
            out.byteswap(inplace=True)

    def _read_rows(self, rows: NDArray[np.int64], out: NDArray[Any], row_bytes: int) -> None:
        cuts = np.flatnonzero(np.diff(rows) != 1) + 1
        fd = open_file(self.path)
        try:
            for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True):
                read_into(fd, [_bytes(out[first:last])], self.offset + int(rows[first]) * row_bytes, self.path)
        finally:
            os.close(fd)


def open_array(path: str | bytes | os.PathLike[str]) -> ArrayFile:
    """Open one large `.npy` file without reading its data.

    Raises
    ------
    BadFile
        As `read_header`; also for an array without rows, or in Fortran order, whose rows are not together.
    """
    name = os.path.abspath(os.fsencode(path))
    fd = open_file(name)
    try:
        header = read_header(fd, name)
    finally:
        os.close(fd)
    if not header.shape:
        raise BadFile(f"{show(name)} holds a single value, not rows")
    if header.fortran and len(header.shape) > 1:
        raise BadFile(f"{show(name)} is in Fortran order, so its rows are not together: save np.ascontiguousarray(x)")
    return ArrayFile(name, header.offset, header.shape, header.dtype)


def _bytes(array: NDArray[Any]) -> memoryview:
    # reshape first: a memoryview of dtypes such as float16 or datetime64 cannot be cast
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
