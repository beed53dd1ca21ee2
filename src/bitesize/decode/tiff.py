"""The header of a TIFF: its pages, bands and types, read from its directories (TIFF 6.0, section 2; BigTIFF too)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import NamedTuple

# Limit on chains of directories: a chain in a damaged file may never end.
_MOST_PAGES, _MOST_TAGS = 65_536, 4_096
_NEW_SUBFILE, _SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _BANDS, _FORMAT = 254, 255, 256, 257, 258, 259, 277, 339
_ORIENTATION, _STRIP_ROWS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _DEPTH = 274, 278, 284, 322, 323, 338, 32997
_PHOTOMETRIC = 262
_USED = frozenset(
    (_NEW_SUBFILE, _SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _BANDS, _FORMAT, _ORIENTATION, _STRIP_ROWS, _PLANAR, _TILE_WIDTH,
     _TILE_HEIGHT, _EXTRA, _DEPTH, _PHOTOMETRIC)
)  # fmt: skip
# Values of a tag are numbers of Python in a list, or text.
_NUMBER_NBYTES, _TEXT_TYPES = 80, (1, 2, 6, 7)
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8
# Kinds of pages that are not full images: thumbnails or smaller copies, and transparency masks.
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_FORMATS = {
    1: "whole numbers",
    2: "signed whole numbers",
    3: "floating-point numbers",
    5: "complex numbers",
    6: "complex numbers",
}

Read = Callable[[int, int], bytes]


class TiffFacts(NamedTuple):
    """Contents of the directories of a TIFF.

    Attributes
    ----------
    width, height : int
        Size of the first page in pixels, as stored.
    bands : int
        Values a pixel.
    bits : int
        Bits of a value.
    values : str
        Kind of values, in words.
    compression : int
        Number of the compression scheme in the file.
    pages : int
        Number of full-size pages, without thumbnails, smaller copies and masks.
    sample_format : int
        Kind of values, as its number in the file.
    photometric : int
        What the bands are, as its number in the file: 0 or 1 for gray, 2 for RGB, 3 for a palette.
    segment : tuple of int
        Height, width and bands of a strip or tile.
    orientation : int
        1 to 8; 1 is upright.
    offsets : tuple of int
        Where the directories of the full-size pages are in the file.
    tags_nbytes : int
        Bytes of all tags of a page in memory, at most.
    alike : bool
        Whether all bands have the same bits and kind of values, and there is no third axis.
    alpha : bool
        Whether the fourth band of colors is their alpha, by which they are not multiplied.
    """

    width: int
    height: int
    bands: int
    bits: int
    values: str
    compression: int
    pages: int
    sample_format: int = 1
    photometric: int = 1
    segment: tuple[int, int, int] = (1, 1, 1)
    orientation: int = 1
    offsets: tuple[int, ...] = (0,)
    tags_nbytes: int = 0
    alike: bool = True
    alpha: bool = False

    @property
    def floats(self) -> bool:
        """Return whether values are floating-point numbers."""
        return self.values == _FORMATS[3]


def pages(data: bytes | memoryview | str | os.PathLike[str]) -> int:
    """Return the number of full-size pages of a TIFF; 1 for other files.

    Parameters
    ----------
    data
        Bytes of the file, or its path.

    Raises
    ------
    OSError
        If the file does not exist or cannot be read.

    Examples
    --------
    >>> pages(b"no TIFF at all")
    1
    """
    if isinstance(data, bytes | memoryview):
        facts = tiff_facts(of_bytes(memoryview(data)))
    else:
        with open(data, "rb") as file:

            def read(at: int, size: int) -> bytes:
                """Read a few bytes."""
                file.seek(at)
                return file.read(size)

            facts = tiff_facts(read)
    return 1 if facts is None else facts.pages


def of_bytes(data: memoryview) -> Read:
    """Return a function that reads a part of a file in memory."""
    return lambda at, size: bytes(data[at : at + size])


def tiff_facts(read: Read, only: int | None = None) -> TiffFacts | None:
    """Return the contents of the directories of a TIFF, or of the one at ``only``; None if the first is damaged, or the file is not a TIFF.

    Parameters
    ----------
    read
        Function of offset and size that returns bytes: fewer at the end of the file.
    """
    start = read(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 16:
        return None
    magic = struct.unpack_from(order + "H", start, 2)[0]
    if magic not in (42, 43):
        return None
    large = magic == 43
    at = struct.unpack_from(order + ("Q" if large else "I"), start, 8 if large else 4)[0]
    first: dict[int, tuple[int, ...]] | None = None
    seen: set[int] = set()
    offsets: list[int] = []
    tags_nbytes = 0
    if only is not None:
        at = only
    while at and at not in seen and len(seen) < _MOST_PAGES:
        seen.add(at)
        directory = _directory(read, at, order, large)
        if directory is None:
            break
        here, (tags, nbytes, at) = at, directory
        tags_nbytes = max(tags_nbytes, nbytes)
        if first is None:
            first = tags
            offsets.append(here)  # the first page is read, whatever it is
            if only is not None:
                break
            continue
        kind = tags.get(_NEW_SUBFILE, (0,))[0]
        if not (kind & (_REDUCED | _MASK) or tags.get(_SUBFILE, (0,))[0] == _OLD_REDUCED):
            offsets.append(here)
    if first is None or not {_WIDTH, _HEIGHT} <= first.keys():
        return None
    return TiffFacts(
        first[_WIDTH][0],
        first[_HEIGHT][0],
        first.get(_BANDS, (1,))[0],
        max(first.get(_BITS, (1,))),
        _FORMATS.get(first.get(_FORMAT, (1,))[0], "values of an unknown type"),
        first.get(_COMPRESSION, (1,))[0],
        len(offsets),
        first.get(_FORMAT, (1,))[0],
        first.get(_PHOTOMETRIC, (1,))[0],
        _segment(first),
        orientation if (orientation := first.get(_ORIENTATION, (1,))[0]) in range(1, 9) else 1,
        tuple(offsets),
        tags_nbytes,
        len({*first.get(_BITS, (1,))}) == 1 and len({*first.get(_FORMAT, (1,))}) == 1 and first.get(_DEPTH, (1,))[0] == 1,
        first.get(_PHOTOMETRIC) == (2,) and first.get(_BANDS) == (4,) and first.get(_EXTRA) == (2,),
    )


def _segment(tags: dict[int, tuple[int, ...]]) -> tuple[int, int, int]:
    """Return height, width and bands of a strip or tile."""
    bands = tags.get(_BANDS, (1,))[0] if tags.get(_PLANAR, (1,))[0] == 1 else 1
    if _TILE_WIDTH in tags and _TILE_HEIGHT in tags:
        return tags[_TILE_HEIGHT][0], tags[_TILE_WIDTH][0], bands
    height = tags[_HEIGHT][0]
    return min(height, tags.get(_STRIP_ROWS, (height,))[0]), tags[_WIDTH][0], bands


def _directory(read: Read, at: int, order: str, large: bool) -> tuple[dict[int, tuple[int, ...]], int, int] | None:
    """Return the needed tags of a directory, the bytes of all tags, and the offset of the next one; None if it is damaged."""
    counter, entry, field = ("Q", 20, "Q") if large else ("H", 12, "I")
    head = read(at, struct.calcsize(counter))
    if len(head) < struct.calcsize(counter):
        return None
    count = struct.unpack(order + counter, head)[0]
    if not 0 < count <= _MOST_TAGS:
        return None
    width = struct.calcsize(field)
    body = read(at + len(head), count * entry + width)
    if len(body) < count * entry:
        return None
    tags: dict[int, tuple[int, ...]] = {}
    nbytes = 0
    for i in range(count):
        tag, kind, values = struct.unpack_from(order + "HH" + field, body, i * entry)
        nbytes += values * (8 if kind in _TEXT_TYPES else _NUMBER_NBYTES)
        if tag not in _USED or kind not in _TYPES or not 0 < values <= _MOST_TAGS:
            continue
        size = struct.calcsize("=" + _TYPES[kind]) * values
        entry_at = i * entry + 4 + width
        data = (
            body[entry_at : entry_at + size]
            if size <= width
            else read(struct.unpack_from(order + field, body, entry_at)[0], size)
        )
        if len(data) == size:
            tags[tag] = struct.unpack(f"{order}{values}{_TYPES[kind]}", data)
    rest = body[count * entry :]
    return tags, nbytes, struct.unpack(order + field, rest)[0] if len(rest) == width else 0
