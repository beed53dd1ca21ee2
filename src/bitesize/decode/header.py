"""What an image is, without decoding it: kind by magic bytes, size, and how it must be turned."""

from __future__ import annotations

import io
import re
import struct
from itertools import islice
from typing import Any, NamedTuple

from bitesize.errors import BadFile

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
# What their files are called; what they are, their bytes tell.
KINDS_OF_SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF",
}  # fmt: skip
SUFFIXES = tuple(KINDS_OF_SUFFIXES)
# A progressive JPEG keeps all coefficients until its last scan; a file of few bytes may have thousands of scans, each
# of which goes over all of them, and native decoding cannot be interrupted.
MAX_SCANS = 100
MAX_SCAN_MEGAPIXELS = 2000
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length: TEM, RSTn, SOI, EOI
_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
_EXIF_ORIENTATION = 0x0112
_SEGMENT = struct.Struct(">BBH").unpack_from  # 0xFF, marker, length
_SCAN = re.compile(rb"\xff\xda")
_FRAME = struct.Struct(">HHB").unpack_from  # height, width, components


class ImageInfo(NamedTuple):
    """What the header of an image tells.

    Attributes
    ----------
    kind : str
        ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"BMP"``, ``"TIFF"`` or ``"GIF"``.
    width, height : int
        Pixels as stored, before any turning.
    channels : int
        Components as stored: 1 gray, 3 colour, 4 CMYK or alpha.
    orientation : int
        EXIF orientation, 1 to 8; 1 is upright.
    buffered : bool
        Whether it is a JPEG of several scans (progressive, or its colours apart), which needs memory for all coefficients.
    plain : bool
        Whether it is gray or RGB of 8 bits without transparency, so that decoding needs no conversion.
    """

    kind: str
    width: int
    height: int
    channels: int
    orientation: int = 1
    buffered: bool = False
    plain: bool = True


def read_info(data: memoryview) -> ImageInfo:
    """Read the header of an encoded image.

    Raises
    ------
    BadFile
        If it is none of the kinds that are known, or its header is damaged.
    """
    start = bytes(data[:16])
    if start.startswith(_MAGIC[0][0]):  # nearly always
        return _jpeg_info(data)
    kind = sniff(start)
    return _pillow_info(data, kind)


def sniff(start: bytes) -> str:
    """Tell the kind of an image by its first 16 bytes.

    Examples
    --------
    >>> sniff(bytes.fromhex("ffd8ffe000104a464946"))
    'JPEG'
    """
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if not start:
        raise BadFile("the file is empty (0 bytes)")
    raise BadFile(f"not an image: it is neither JPEG, PNG, WebP, BMP, TIFF nor GIF, and starts with {start!r}")


def _jpeg_info(data: memoryview) -> ImageInfo:
    """Walk the markers up to the frame header (ITU T.81, annex B)."""
    at, end, orientation = 2, len(data), 1
    while at + 4 <= end:
        escape, marker, length = _SEGMENT(data, at)
        if escape != 0xFF or marker == 0xFF:
            at += 1  # bytes between segments: the decoder judges them
        elif marker in _NO_LENGTH:
            at += 2
        else:
            if marker in _FRAMES and at + 10 <= end:
                height, width, components = _FRAME(data, at + 5)
                if not (width and height):
                    raise BadFile(f"the JPEG says it is {width} x {height} pixels")
                progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
                if progressive:
                    _check_scans(data, width, height)
                buffered = progressive or _first_scan_components(data, at + 2 + length) < components
                return ImageInfo("JPEG", width, height, components, orientation, buffered, components != 4)
            if marker == 0xE1 and bytes(data[at + 4 : at + 10]) == b"Exif\0\0":
                orientation = _exif_orientation(data[at + 10 : at + 2 + length])
            at += 2 + length
    raise BadFile("the JPEG ends before its frame header")


def _first_scan_components(data: memoryview, at: int) -> int:
    """Find the first scan header and tell how many components it has; 0 if there is none."""
    while at + 5 <= len(data):
        escape, marker, length = _SEGMENT(data, at)
        if escape != 0xFF or marker in (0xFF, 0x00):
            at += 1
        elif marker == 0xDA:
            return data[at + 4]
        else:
            at += 2 + length
    return 0


def _check_scans(data: memoryview, width: int, height: int) -> None:
    # May count too many inside metadata, never too few; and no copy of the file is made for it.
    scans = sum(1 for _ in islice(_SCAN.finditer(data), MAX_SCANS + 1))
    if scans > MAX_SCANS or scans * width * height > MAX_SCAN_MEGAPIXELS * 1_000_000:
        raise BadFile(
            f"the progressive JPEG has at least {scans} scans of {width} x {height} pixels: at most {MAX_SCANS} scans, and "
            f"{MAX_SCAN_MEGAPIXELS} megapixels over all scans, are decoded"
        )


def _exif_orientation(tiff: memoryview) -> int:
    """Find the orientation in the first directory of an EXIF block (TIFF 6.0, section 2); 1 if it is damaged."""
    order: Any = {b"II": "little", b"MM": "big"}.get(bytes(tiff[:2]))
    if order is None:
        return 1
    at = int.from_bytes(tiff[4:8], order)
    for i in range(int.from_bytes(tiff[at : at + 2], order)):
        entry = tiff[at + 2 + 12 * i : at + 14 + 12 * i]
        if len(entry) < 12:
            return 1
        if int.from_bytes(entry[:2], order) == _EXIF_ORIENTATION:
            value = int.from_bytes(entry[8:10], order)
            return value if 1 <= value <= 8 else 1
    return 1


def _tiff_of(exif: bytes) -> memoryview:
    return memoryview(exif.removeprefix(b"Exif\0\0"))


def _pillow_info(data: memoryview, kind: str) -> ImageInfo:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            width, height = image.size
            # Image.getexif would decode a PNG that has none; what stands before the pixels is in `info` already.
            exif = image.info.get("exif", b"")
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if kind == "TIFF" else _exif_orientation(_tiff_of(exif))
            if kind == "TIFF" and orientation >= 5:
                width, height = height, width  # Pillow gives the size after turning
            plain = image.mode in ("L", "RGB") and "transparency" not in image.info
            return ImageInfo(
                kind, width, height, len(image.getbands()), orientation if 1 <= orientation <= 8 else 1, plain=plain
            )
    except Exception as error:  # Pillow's plugins raise many types for damaged files, and its own for bombs
        raise BadFile(f"damaged {kind}: {error}") from error
