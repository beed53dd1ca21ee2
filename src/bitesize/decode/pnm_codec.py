"""PPM of 16 bits, which Pillow reduces to 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import read_info
from bitesize.decode.info import ImageInfo
from bitesize.decode.pnm import header_nbytes
from bitesize.errors import BadFile


def read_header(data: memoryview) -> ImageInfo:
    """Return the header."""
    return read_info(data)


def decode_into(data: memoryview, info: ImageInfo, out: NDArray[Any]) -> None:
    """Copy the pixels into ``out``: two bytes for each value, the greater one first."""
    start = header_nbytes(data)
    if len(data) - start < out.nbytes:
        raise BadFile(f"damaged PPM: it has {max(0, len(data) - start):,} of {out.nbytes:,} bytes")
    out[...] = np.frombuffer(data, ">u2", out.size, start).reshape(out.shape)
