"""The header of an image, for all formats."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bitesize.errors import BadFile
from bitesize.spec import PIXELS, Mode, Pixels


class ImageInfo(NamedTuple):
    """The header of an image.

    Attributes
    ----------
    kind : str
        ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"BMP"``, ``"TIFF"``, ``"GIF"``, ``"PPM"`` (all of PNM), ``"JPEG2000"``, ``"RAW"``
        (pixels of a packed store), or one of `formats.FORMATS`.
    width, height : int
        Size in pixels as stored, before rotation.
    channels : int
        Components as stored: 1 gray, 2 gray and alpha, 3 color, 4 CMYK or alpha, or any number of bands. Palettes count as colors.
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
        Bytes that the decoder needs beyond the pixels, such as for the tiles of JPEG 2000. Of a codec, all of them.
    floats : bool
        Whether values are floating-point numbers, which only ``mode="unchanged"`` decodes.
    from_jpeg : bool
        Whether raw pixels are those of a JPEG that could be decoded at a fraction of its size.
    dtype : numpy.dtype
        Type of the stored values, in native byte order: what ``mode="unchanged"`` decodes to.
    codec : str
        Name of the entry of `formats.CODECS` that decodes the unchanged values; empty if Pillow or libjpeg-turbo does.
    codec_only : bool
        Whether the codec is needed for all modes, because Pillow does not decode the image.
    banded : bool
        Whether the channels are bands of any meaning, not gray, RGB, RGBA or CMYK.
    inks : bool
        Whether four channels are CMYK.
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
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    codec: str = ""
    codec_only: bool = False
    banded: bool = False
    inks: bool = False


def stored_pixels(info: ImageInfo) -> Pixels:
    """Return channels and dtype of an image as stored."""
    return Pixels(info.channels, info.dtype)


def is_usual(info: ImageInfo) -> bool:
    """Return whether an image is gray, RGB, RGBA or CMYK of 8 bits, or has a palette, so that ``mode="RGB"`` narrows nothing."""
    return info.dtype == np.uint8 and info.channels <= 4 and not info.banded


def becomes_rgb(info: ImageInfo) -> bool:
    """Return whether ``mode="RGB"`` decodes an image, to colors or to gray: other values are refused, and other bands have no colors.

    Pillow decodes four bands that are no RGBA only if they are RGB and another one, which it leaves out.
    """
    colors = not info.banded or (not info.codec_only and info.channels == 4)
    return info.dtype in (np.uint8, np.uint16) and colors


def decoded_pixels(info: ImageInfo, mode: Mode) -> Pixels:
    """Return channels and dtype of a decoded image."""
    return stored_pixels(info) if mode == "unchanged" else PIXELS[mode]


def check_pixels(info: ImageInfo, mode: Mode, expected: Pixels | None) -> None:
    """Raise `BadFile` if an image has other channels or another dtype than the first one, and the mode keeps both."""
    if mode == "unchanged" and expected is not None and (info.channels != expected.channels or info.dtype != expected.dtype):
        raise BadFile(
            f'has {stored_pixels(info)}, but the first image has {expected}: mode="RGB" or "L" makes 8-bit images equal; '
            "otherwise open images of different kinds apart"
        )
