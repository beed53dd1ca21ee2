"""JPEG 2000 of several components of more than 8 bits, of other numbers of components, or signed, by imagecodecs."""

from __future__ import annotations

from typing import Any

import imagecodecs
from numpy.typing import NDArray

from bitesize.decode.info import ImageInfo
from bitesize.decode.jpeg2000 import codestream, jpeg2000_info
from bitesize.errors import BadFile


def read_header(data: memoryview) -> ImageInfo:
    """Return the header."""
    return jpeg2000_info(codestream(data), len(data), only=True)


def decode_into(data: memoryview, info: ImageInfo, out: NDArray[Any]) -> None:
    """Decode the pixels into ``out``."""
    pixels = imagecodecs.jpeg2k_decode(bytes(data))
    if pixels.size != out.size or pixels.dtype != out.dtype:
        raise BadFile(f"damaged JPEG 2000: it decodes to {pixels.shape} {pixels.dtype}, not {out.shape} {out.dtype}")
    out[...] = pixels.reshape(out.shape)
