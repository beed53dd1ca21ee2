"""What DICOM files hold before pydicom reads them: the transfer syntax, and the sizes in their compressed frames."""

from __future__ import annotations

import struct
from typing import Any

from bitesize.decode.jpeg import MAX_SCANS
from bitesize.decode.jpeg2000 import codestream
from bitesize.errors import BadFile

MAGIC, MAGIC_AT = b"DICM", 128
# Types of values whose length has four bytes.
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_TRANSFER_SYNTAX = (2, 0x10)
_MOST_ELEMENTS = 100
_FRAMES_OF_JPEG = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7))
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))


def transfer_syntax(file: Any) -> list[str]:
    """Return the transfer syntax of a DICOM file, or all of them if a damaged file has several.

    Parameters
    ----------
    file
        File object, at its start.

    Raises
    ------
    BadFile
        If the file does not have the magic number of DICOM.
    """
    if file.read(MAGIC_AT + 4)[MAGIC_AT:] != MAGIC:
        raise BadFile("not a DICOM file: DICM is missing at byte 128")
    found = []
    for _ in range(_MOST_ELEMENTS):
        head = file.read(8)
        if len(head) < 8:
            break
        group, element, kind, length = struct.unpack("<HH2sH", head)
        if group != 2:
            break
        if kind in _LONG:
            more = file.read(4)
            if len(more) < 4:
                break
            length = struct.unpack("<I", more)[0]
        if (group, element) == _TRANSFER_SYNTAX:
            found.append(file.read(min(length, 64)).decode("ascii", "replace").rstrip("\0 "))
        else:
            file.seek(length, 1)
    return found


def check_codestream(data: memoryview, width: int, height: int) -> None:
    """Raise `BadFile` if a compressed frame has another size than the header, whose memory alone is charged.

    Frames that are neither JPEG, JPEG-LS nor JPEG 2000 are not checked: they cannot become more than the header declares.
    """
    start = bytes(data[:12])
    if start.startswith(b"\xff\xd8"):
        size = _jpeg_size(data)
    elif start.startswith(b"\xff\x4f\xff\x51") or start[4:8] == b"jP  ":
        stream = codestream(data)
        size = (stream.width, stream.height)
    else:
        return
    if size != (width, height):
        raise BadFile(f"damaged DICOM: its header declares {width} x {height}, but its frame {size[0]} x {size[1]}")


def _jpeg_size(data: memoryview) -> tuple[int, int]:
    """Return width and height of a JPEG or JPEG-LS stream."""
    size, at = (0, 0), 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            break
        if marker in _FRAMES_OF_JPEG:
            if size != (0, 0) or at + 9 > len(data):
                raise BadFile("damaged DICOM: its JPEG frame has no single header")
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    if bytes(data[at:]).count(b"\xff\xda") > MAX_SCANS:
        raise BadFile(f"damaged DICOM: its JPEG frame has more than {MAX_SCANS} scans")
    return size
