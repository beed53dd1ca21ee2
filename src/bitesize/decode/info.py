"""The header of an image, for all formats."""

from __future__ import annotations

from typing import NamedTuple


class ImageInfo(NamedTuple):
    """The header of an image.

    Attributes
    ----------
    kind : str
        ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"BMP"``, ``"TIFF"``, ``"GIF"``, ``"PPM"`` (all of PNM), ``"JPEG2000"`` or ``"RAW"``
        (pixels of a packed store).
    width, height : int
        Size in pixels as stored, before rotation.
    channels : int
        Components as stored: 1 gray, 3 color, 4 CMYK or alpha.
    orientation : int
        EXIF orientation, 1 to 8; 1 is upright.
    buffered : bool
        Whether it is a JPEG of several scans (progressive, or separate colors), which needs memory for all coefficients.
    plain : bool
        Whether it is gray or RGB of 8 bits without transparency, so that decoding needs no conversion.
    bits : int
        Bits of a value as stored, at least 8.
    pages : int
        Number of full-size pages of a TIFF; 1 for other formats. The first page is decoded.
    by_pillow : bool
        Whether only Pillow decodes this JPEG: CMYK, lossless, or of unusual subsampling.
    overhead : int
        Bytes that the decoder needs for any number of pixels, such as for the tiles of JPEG 2000.
    floats : bool
        Whether values are floating-point numbers, which are not supported.
    from_jpeg : bool
        Whether raw pixels are those of a JPEG that could be decoded at a fraction of its size.
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
    from_jpeg: bool = False
