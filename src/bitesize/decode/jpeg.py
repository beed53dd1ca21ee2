"""The header of a JPEG, read from its markers (ITU T.81, annex B) without decoding."""

from __future__ import annotations

import re
import struct
from itertools import islice

from bitesize.decode.exif import exif_orientation
from bitesize.decode.info import ImageInfo
from bitesize.errors import BadFile, UnsupportedFile

# A progressive JPEG keeps all coefficients until its last scan; a file of few bytes may have thousands of scans, each
# of which processes all of them, and native decoding cannot be interrupted.
MAX_SCANS = 100
MAX_SCAN_MEGAPIXELS = 2000
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length: TEM, RSTn, SOI, EOI
_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
_LOSSLESS, _HIERARCHICAL = frozenset((0xC3, 0xCB)), frozenset((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF))
_JPEG_LS, _HIERARCHY = 0xF7, 0xDE
# Sampling factors of luma with chroma of 1 x 1: 4:4:4, 4:2:2, 4:4:0, 4:2:0 and 4:1:1.
_LUMA = frozenset((0x11, 0x21, 0x12, 0x22, 0x41))
_CONVERT = "convert it to PNG or TIFF"
_SEGMENT = struct.Struct(">BBH").unpack_from  # 0xFF, marker, length
_SCAN = re.compile(rb"\xff\xda")
_FRAME = struct.Struct(">HHB").unpack_from  # height, width, components


def jpeg_info(data: memoryview) -> ImageInfo:
    """Return the header of a JPEG, from its markers up to the frame header (ITU T.81, annex B)."""
    at, end, orientation = 2, len(data), 1
    while at + 4 <= end:
        escape, marker, length = _SEGMENT(data, at)
        if escape != 0xFF or marker == 0xFF:
            at += 1  # bytes between segments: the decoder judges them
        elif marker in _NO_LENGTH:
            at += 2
        elif marker in (_JPEG_LS, _HIERARCHY):
            raise UnsupportedFile(f"{'JPEG-LS' if marker == _JPEG_LS else 'hierarchical JPEG'} is not supported: {_CONVERT}")
        else:
            if marker in _FRAMES and at + 10 <= end:
                height, width, components = _FRAME(data, at + 5)
                if not (width and height):
                    raise BadFile(f"the JPEG declares a size of {width} x {height} pixels")
                _refuse_unsupported(marker, data[at + 4], components)
                progressive = marker in (0xC2, 0xCA)
                if progressive:
                    _check_scans(data, width, height)
                buffered = progressive or _first_scan_components(data, at + 2 + length) < components
                by_pillow = components == 4 or marker in _LOSSLESS or not _usually_sampled(data, at + 9, components)
                return ImageInfo(
                    "JPEG", width, height, components, orientation, buffered, plain=not by_pillow, by_pillow=by_pillow,
                    inks=components == 4,
                )  # fmt: skip
            if marker == 0xE1 and bytes(data[at + 4 : at + 10]) == b"Exif\0\0":
                orientation = exif_orientation(data[at + 10 : at + 2 + length])
            at += 2 + length
    raise BadFile("the JPEG ends before its frame header")


def _refuse_unsupported(marker: int, bits: int, components: int) -> None:
    """Raise `UnsupportedFile` for valid files that neither libjpeg-turbo nor Pillow decodes."""
    if marker in _HIERARCHICAL:
        raise UnsupportedFile(f"hierarchical JPEG is not supported: {_CONVERT}")
    if bits != 8:
        lossless = "lossless " if marker in _LOSSLESS else ""
        raise UnsupportedFile(f"a {lossless}JPEG of {bits} bits a value is not supported: {_CONVERT}")
    if components not in (1, 3, 4):
        raise UnsupportedFile(f"a JPEG of {components} components is not supported: {_CONVERT}")


def _usually_sampled(data: memoryview, at: int, components: int) -> bool:
    """Return whether libjpeg-turbo's interface has a name for the subsampling; ``at`` is where the frame header counts components."""
    if components != 3:
        return True
    factors = bytes(data[at + 2 : at + 1 + 3 * components : 3])  # of each component: horizontal in the high half
    return len(factors) == components and factors[0] in _LUMA and factors[1:] == b"\x11\x11"


def _first_scan_components(data: memoryview, at: int) -> int:
    """Return the number of components in the first scan header; 0 if there is none."""
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
    # May count markers inside metadata, but never misses any; does not copy the file.
    scans = sum(1 for _ in islice(_SCAN.finditer(data), MAX_SCANS + 1))
    if scans > MAX_SCANS or scans * width * height > MAX_SCAN_MEGAPIXELS * 1_000_000:
        raise BadFile(
            f"the progressive JPEG has at least {scans} scans of {width} x {height} pixels: at most {MAX_SCANS} scans, and "
            f"{MAX_SCAN_MEGAPIXELS} megapixels over all scans, are decoded"
        )
