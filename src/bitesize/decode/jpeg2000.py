"""The header of a JPEG 2000 codestream (ISO/IEC 15444-1, annexes A and I), which sets the memory of its decoder."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from bitesize.decode.info import ImageInfo
from bitesize.errors import BadFile, UnsupportedFile

_SIZE_MARKER = b"\xff\x4f\xff\x51"  # start of codestream, then its size segment
# The decoder keeps some KB of parameters for every tile, however small.
_TILE_NBYTES = 8 << 10


class Codestream(NamedTuple):
    """Header of a codestream: size in pixels, number of components, bits of a value, bytes for its tiles, and whether values are signed."""

    width: int
    height: int
    components: int
    bits: int
    tiles_nbytes: int
    signed: bool = False


def codestream(data: memoryview) -> Codestream:
    """Return the size segment of a codestream, bare or within the boxes of a JP2 file.

    Raises
    ------
    BadFile
        If the segment is missing or damaged.
    """
    at = 0 if bytes(data[:4]) == _SIZE_MARKER else _in_boxes(data)
    segment = data[at + 6 : at + 44]
    if bytes(data[at : at + 4]) != _SIZE_MARKER or len(segment) < 38:
        raise BadFile("damaged JPEG 2000: it has no codestream")
    _, x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, components = struct.unpack_from(">H8IH", segment)
    bits = data[at + 42 : at + 42 + 3 * components : 3]
    if x1 <= x0 or y1 <= y0 or not (tile_w and tile_h and components) or len(bits) < components:
        raise BadFile("damaged JPEG 2000: the size in its codestream is impossible")
    tiles = -(-(x1 - tile_x) // tile_w) * -(-(y1 - tile_y) // tile_h)
    deepest = max((each & 0x7F) + 1 for each in bits)
    return Codestream(x1 - x0, y1 - y0, components, deepest, tiles * components * _TILE_NBYTES, bool(bits[0] & 0x80))


def jpeg2000_info(stream: Codestream, file_nbytes: int, *, only: bool) -> ImageInfo:
    """Return the header of an image whose values imagecodecs decodes.

    Raises
    ------
    UnsupportedFile
        If values have more than 16 bits.
    """
    if stream.bits > 16:
        raise UnsupportedFile(f"a JPEG 2000 of {stream.bits} bits a value is not supported: save it as .npy")
    dtype = np.dtype(("i" if stream.signed else "u") + ("1" if stream.bits <= 8 else "2"))
    # The decoder has each value as 32-bit numbers, twice.
    overhead = (
        file_nbytes
        + stream.tiles_nbytes
        + stream.width * stream.height * stream.components * (8 + dtype.itemsize)
        + (1 << 20)
    )
    return ImageInfo(
        "JPEG2000", stream.width, stream.height, stream.components, plain=False, bits=max(8, stream.bits), overhead=overhead,
        dtype=dtype, codec="JPEG2000", codec_only=only, banded=stream.components not in (1, 3, 4),
    )  # fmt: skip


def _in_boxes(data: memoryview) -> int:
    """Return the offset of the codestream in the boxes of a JP2 file; -1 if there is none."""
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        if kind == b"jp2c":
            return at + head
        if size < head:
            break
        at += size
    return len(data)
