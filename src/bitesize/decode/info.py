"""The contents of an image's header, for every kind of image."""

from __future__ import annotations

from typing import NamedTuple


class ImageInfo(NamedTuple):
    """The contents of an image's header.

    Attributes
    ----------
    kind : str
        ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"BMP"``, ``"TIFF"``, ``"GIF"``, ``"PPM"`` (all of PNM) or ``"JPEG2000"``.
    width, height : int
        Pixels as stored, before any turning.
    channels : int
        Components as stored: 1 gray, 3 color, 4 CMYK or alpha.
    orientation : int
        EXIF orientation, 1 to 8; 1 is upright.
    buffered : bool
        Whether it is a JPEG of several scans (progressive, or its colors apart), which needs memory for all coefficients.
    plain : bool
        Whether it is gray or RGB of 8 bits without transparency, so that decoding needs no conversion.
    bits : int
        Bits of a value as stored, where there are more than 8; otherwise 8.
    pages : int
        Full-size pages of a TIFF; 1 for other kinds. The first is decoded.
    by_pillow : bool
        Whether a JPEG is one that only Pillow decodes: CMYK, lossless, or of unusual subsampling.
    overhead : int
        Bytes that the decoder takes whatever the number of pixels, such as for the tiles of JPEG 2000.
    floats : bool
        Whether values are floating-point numbers, which are not decoded.
    """

    kind: str
    width: int
    height: int
    channels: int
    orientation: int = 1
    buffered: bool = False
    plain: bool = True
    bits: int = 8
    pages: int = 1
    by_pillow: bool = False
    overhead: int = 0
    floats: bool = False
