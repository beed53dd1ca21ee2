"""Raw pixels: decoded images of varying size in the place of encoded ones, as packed stores and caches return them.

A header of 16 bytes in little-endian order (magic ``BSPX``, code of the dtype with orientation, channels, height, width), then the pixels in C order.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.info import ImageInfo, decoded_pixels, stored_pixels
from bitesize.errors import BadFile
from bitesize.spec import Mode

MAGIC = b"BSPX"
KIND = "RAW"
HEADER_NBYTES = 16
_HEADER = struct.Struct("<4sHHII")
# Types of pixels, by their code in headers.
_DTYPES: dict[int, np.dtype[Any]] = {
    code: np.dtype(name)
    for code, name in enumerate(("<u1", "<u2", "<i1", "<i2", "<u4", "<i4", "<f4", "<f8", "<u8", "<i8"), 1)
}
DTYPES = frozenset(_DTYPES.values())
# Bits of the code above the dtype: three for the EXIF orientation, from 0, and one for a JPEG.
_ORIENTATION, _FROM_JPEG = 8, 11
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


def raw_header(shape: tuple[int, ...], dtype: np.dtype[Any], orientation: int = 1, *, from_jpeg: bool = False) -> bytes:
    """Return the header of pixels of shape (height, width, channels), of one of `DTYPES`.

    Parameters
    ----------
    shape, dtype
        Of the pixels.
    orientation
        EXIF orientation, 1 to 8, which was not applied yet.
    from_jpeg
        Whether a JPEG was decoded at its full size that could be decoded at a fraction of it.

    Examples
    --------
    >>> raw_header((480, 640, 3), np.dtype(np.uint8)).hex(" ", 4)
    '42535058 01000300 e0010000 80020000'
    """
    height, width, channels = shape
    code = _CODES[dtype.newbyteorder("<")] | (orientation - 1) << _ORIENTATION | from_jpeg << _FROM_JPEG
    return _HEADER.pack(MAGIC, code, channels, height, width)


def raw_info(data: memoryview) -> ImageInfo:
    """Return the header of raw pixels.

    Raises
    ------
    BadFile
        If the header is impossible, or the number of bytes does not agree with it.
    """
    if len(data) < HEADER_NBYTES:
        raise BadFile(f"damaged raw pixels: {len(data)} bytes are less than a header")
    magic, code, channels, height, width = _HEADER.unpack_from(data)
    code, orientation, from_jpeg = code & 0xFF | code & 0xF000, (code >> _ORIENTATION & 7) + 1, bool(code >> _FROM_JPEG & 1)
    if magic != MAGIC or code not in _DTYPES or not (channels and height and width):
        raise BadFile(f"damaged raw pixels: the header {bytes(data[:HEADER_NBYTES]).hex(' ', 4)} is impossible")
    need = HEADER_NBYTES + height * width * channels * _DTYPES[code].itemsize
    if len(data) != need:
        raise BadFile(f"damaged raw pixels: {need:,} bytes are needed according to the header, not {len(data):,}")
    dtype = _DTYPES[code]
    return ImageInfo(
        KIND, width, height, channels, orientation, plain=channels in (1, 3), bits=8 * dtype.itemsize, floats=dtype.kind == "f",
        from_jpeg=from_jpeg, dtype=dtype.newbyteorder("="),
    )  # fmt: skip


def agrees(info: ImageInfo, mode: Mode) -> bool:
    """Return whether raw pixels have the channels and the dtype of a mode, so that they need no conversion."""
    return info.kind == KIND and stored_pixels(info) == decoded_pixels(info, mode)


def is_viewed(info: ImageInfo, mode: Mode) -> bool:
    """Return whether decoding returns a view of the data; pixels of two bytes may need to be moved to an even address."""
    return info.bits == 8 and agrees(info, mode)


def raw_pixels(data: memoryview, info: ImageInfo) -> NDArray[Any]:
    """Return a view of the pixels, shape (height, width, channels); ``info`` is by `raw_info` of the same data."""
    if raw_info(data) != info:  # the data has been replaced since
        raise BadFile("damaged raw pixels: the header has changed")
    dtype = info.dtype.newbyteorder("<")
    pixels = np.frombuffer(data, dtype, offset=HEADER_NBYTES).reshape(info.height, info.width, info.channels)
    return pixels if sys.byteorder == "little" else pixels.astype(dtype.newbyteorder("="))
