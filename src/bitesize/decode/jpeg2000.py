"""The header of a JPEG 2000 codestream (ISO/IEC 15444-1, annexes A and I), which sets the memory of its decoder."""

from __future__ import annotations

import struct
from typing import NamedTuple

from bitesize.errors import BadFile

_SIZE_MARKER = b"\xff\x4f\xff\x51"  # start of codestream, then its size segment
# The decoder keeps some KB of parameters for every tile, however small.
_TILE_NBYTES = 8 << 10


class Codestream(NamedTuple):
    """Header of a codestream: size in pixels, number of components, bits of a value, and bytes for its tiles."""

    width: int
    height: int
    components: int
    bits: int
    tiles_nbytes: int


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
    return Codestream(x1 - x0, y1 - y0, components, deepest, tiles * components * _TILE_NBYTES)


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
