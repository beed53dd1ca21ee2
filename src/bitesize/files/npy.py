"""The `.npy` format: headers checked against the file's size before anything is allocated; pickles refused."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from bitesize.errors import BadFile, one_line
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into, size_of

T = TypeVar("T")

# How often a header is parsed again after a SystemError.
_ATTEMPTS = 5
_VERSIONS = ((1, 0), (2, 0), (3, 0))
MAX_HEADER = 10_000  # NumPy's own limit: a longer literal could slow down or crash its parser


class HoldsObjects(BadFile):
    """An array of Python objects: a pickle, which is never read."""


@dataclass(frozen=True)
class Header:
    """Header of a `.npy` file.

    Parameters
    ----------
    shape
        Shape of the array.
    dtype
        Dtype of the array, in the byte order of the file.
    fortran
        Whether the first axis varies fastest in the file.
    offset
        Offset of the data in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """Number of bytes of the data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(fd: Handle, path: bytes) -> Header:
    """Return the header of an open `.npy` file, after checking it.

    Raises
    ------
    BadFile
        If the file is not a `.npy` file, holds objects or records, or its size does not match the header.
    """
    size = size_of(fd)
    start = bytearray(min(size, MAX_HEADER + 12))
    read_into(fd, [start], 0, path)
    return parse_header(bytes(start), size, path)


def parse_header(start: bytes, size: int, path: bytes) -> Header:
    """Parse the first bytes of a `.npy` file of ``size`` bytes; see `read_header`."""
    stream = io.BytesIO(start)
    try:
        version = npy_format.read_magic(stream)
        if version not in _VERSIONS:
            raise ValueError(f"its format version is {version[0]}.{version[1]}; versions 1.0, 2.0 and 3.0 are supported")
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran, dtype = _read_again(lambda: read(stream, max_header_size=MAX_HEADER), stream)
    except Exception as error:  # NumPy raises six types for malformed headers
        raise BadFile(f"{show(path)} is not a .npy file: {one_line(error)}") from error
    if dtype.hasobject:
        raise HoldsObjects(f"{show(path)} holds Python objects (a pickle), which could run code when read: refused")
    if dtype.kind == "V" and dtype.name != "bfloat16":
        raise BadFile(f"{show(path)} holds records or raw bytes ({dtype}); an array of plain numbers is needed")
    if len(shape) > 64 or any(isinstance(n, bool) or n < 0 for n in shape):
        raise BadFile(f"{show(path)} has the impossible shape {shape}")
    header = Header(tuple(shape), dtype, bool(fortran), stream.tell())
    if header.offset + header.nbytes != size:
        raise BadFile(
            f"{show(path)} should have {header.offset + header.nbytes:,} bytes according to its header, but has {size:,}"
        )
    return header


def _read_again(read: Callable[[], T], stream: io.BytesIO) -> T:
    """Return what ``read`` returns, at another attempt where Python's parser was disturbed by another thread.

    NumPy parses the header as Python. Python 3.11 counts the depth of all parsers together, and raises SystemError if a thread
    changes it meanwhile (https://github.com/python/cpython/issues/106905).
    """
    start = stream.tell()
    for _ in range(_ATTEMPTS):
        try:
            return read()
        except SystemError:
            stream.seek(start)
    return read()


def read_payload(fd: Handle, header: Header, out: NDArray[Any], path: bytes) -> None:
    """Read the data of an open `.npy` file into ``out``: C-contiguous, of the header's shape, in native byte order.

    Fortran order needs another copy of the array, which the caller's scratch must include.
    """
    if header.fortran and len(header.shape) > 1:
        flat = np.empty(header.shape[::-1], header.dtype)
        read_into(fd, [flat], header.offset, path)
        out[...] = flat.T
    else:
        read_into(fd, [_bytes(out)], header.offset, path)
        if not header.dtype.isnative:
            out.byteswap(inplace=True)


def _bytes(array: NDArray[Any]) -> memoryview:
    # reshape first: a memoryview of dtypes such as float16 or datetime64 cannot be cast
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def header_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the header bytes of a `.npy` file of an array in C order."""
    stream = io.BytesIO()
    described = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(stream, described)
    return stream.getvalue()
