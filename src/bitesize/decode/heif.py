"""HEIC images, decoded by pillow-heif: upright as the file says, which is not its EXIF orientation, with all bits of their values."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray

from bitesize.decode.info import ImageInfo
from bitesize.errors import BadFile, UnsupportedFile, one_line

# Values of more than 8 bits are those of the file times a power of two, so that the greatest is that of 16 bits.
_MODES = {"L": (1, np.uint8), "RGB": (3, np.uint8), "RGBA": (4, np.uint8),
          "I;16": (1, np.uint16), "RGB;16": (3, np.uint16), "RGBA;16": (4, np.uint16)}  # fmt: skip
# Bytes for a pixel in planes of the decoder, reference frames and two copies, for values of one byte.
_BESIDE_A_PIXEL = 24
_OBJECTS = 4 << 20


def read_header(data: memoryview) -> ImageInfo:
    """Return the header of a HEIC image; see `formats.Decoder`."""
    file = _opened(data)
    known = _MODES.get(file.mode)
    if known is None:
        raise UnsupportedFile(f"a HEIC image of the mode {file.mode} is not supported: convert it to PNG")
    channels, dtype = known[0], np.dtype(known[1])
    width, height = file.size
    if width < 1 or height < 1:
        raise BadFile(f"damaged HEIC: {width} x {height} pixels are impossible")
    overhead = _OBJECTS + 2 * len(data) + width * height * _BESIDE_A_PIXEL * dtype.itemsize
    bits, plain = 8 * dtype.itemsize, dtype == np.uint8 and channels != 4
    return ImageInfo(
        "HEIC",
        width,
        height,
        channels,
        plain=plain,
        bits=bits,
        overhead=overhead,
        dtype=dtype,
        codec="HEIC",
        codec_only=True,
    )


def decode_into(data: memoryview, info: ImageInfo, out: NDArray[Any]) -> None:
    """Decode the primary image into ``out``; see `formats.Decoder`."""
    file = _opened(data)  # which owns the memory of the array
    out[...] = np.asarray(file).reshape(out.shape)


def _opened(data: memoryview) -> Any:
    try:
        return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    except MemoryError:
        raise
    except Exception as error:  # libheif raises many types for damaged files
        raise BadFile(f"damaged HEIC: {one_line(error)}") from error
