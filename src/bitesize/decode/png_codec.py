"""PNG of 16 bits with several channels, which Pillow reduces to 8 bits, by imagecodecs."""

from __future__ import annotations

from typing import Any

import imagecodecs
from numpy.typing import NDArray

from bitesize.decode.header import read_info
from bitesize.decode.info import ImageInfo
from bitesize.errors import BadFile


def read_header(data: memoryview) -> ImageInfo:
    """Return the header."""
    return read_info(data)


def decode_into(data: memoryview, info: ImageInfo, out: NDArray[Any]) -> None:
    """Decode the pixels into ``out``."""
    pixels = imagecodecs.png_decode(bytes(data), out=out)
    if pixels.shape != out.shape or pixels.dtype != out.dtype:
        raise BadFile(f"damaged PNG: it decodes to {pixels.shape} {pixels.dtype}, not {out.shape} {out.dtype}")
    if pixels is not out and pixels.ctypes.data != out.ctypes.data:
        out[...] = pixels
