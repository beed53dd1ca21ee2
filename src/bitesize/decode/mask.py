"""Masks: label images, decoded to class numbers instead of colors."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import as_stored
from bitesize.decode.header import ImageInfo, explained
from bitesize.decode.raw import KIND as RAW
from bitesize.decode.raw import raw_pixels
from bitesize.errors import BadFile


def mask_dtype(data: memoryview, info: ImageInfo) -> np.dtype[Any]:
    """Return the dtype of the numbers of a mask: 8 or 16 bits."""
    if info.kind == RAW:
        return np.dtype(np.uint16 if info.bits > 8 else np.uint8)
    try:
        with _opened(data, info) as image:
            return np.dtype(np.uint16 if _is_wide(image.mode) else np.uint8)
    except Exception as error:  # Pillow's plugins raise many types for damaged files
        raise BadFile(f"damaged {info.kind}: {explained(error)}") from error


def mask_nbytes(info: ImageInfo, file_nbytes: int) -> int:
    """Return the total bytes for decoding a mask: Pillow's copy of the file, its image, and our array."""
    return info.width * info.height * 2 if info.kind == RAW else file_nbytes + info.width * info.height * 16


def decode_mask(data: memoryview, info: ImageInfo, dtype: np.dtype[Any], buffer: NDArray[np.uint8]) -> NDArray[Any]:
    """Decode a mask as stored: palette indices and 16-bit values are unchanged, 1-bit masks become 0 and 1.

    Parameters
    ----------
    data
        The encoded file.
    info
        Its header.
    dtype
        uint8 or uint16.
    buffer
        uint8, at least width * height * dtype.itemsize.

    Returns
    -------
    ndarray, shape (height, width, 1)
        A view on ``buffer``.

    Raises
    ------
    BadFile
        If the mask is damaged, has colors, or has numbers that ``dtype`` cannot hold.
    """
    if info.kind == "JPEG":
        raise BadFile("a JPEG changes the numbers of a mask: save masks as PNG")
    out = buffer[: info.width * info.height * dtype.itemsize].view(dtype).reshape(info.height, info.width, 1)
    try:
        values = _numbers(data, info)
        for number in (int(values.min()), int(values.max())):
            if not 0 <= number <= np.iinfo(dtype).max:
                raise BadFile(f"the mask contains {number}, which the dtype of the first mask, {dtype}, cannot hold")
        out[..., 0] = values
    except (BadFile, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise many types for damaged files
        raise BadFile(f"damaged {info.kind}: {explained(error)}") from error
    return out


def _numbers(data: memoryview, info: ImageInfo) -> NDArray[Any]:
    if info.kind == RAW:
        if info.channels != 1:
            raise BadFile(f"a mask needs one number per pixel, but these pixels have {info.channels} channels")
        return raw_pixels(data, info)[..., 0]
    with _opened(data, info) as image:
        if image.mode not in ("1", "L", "P") and not _is_wide(image.mode):
            raise BadFile(
                f"a mask needs one number per pixel, but this image has mode {image.mode}: save class numbers as 8-bit gray, not colors"
            )
        return np.asarray(as_stored(image, info))


def _opened(data: memoryview, info: ImageInfo) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data), formats=[info.kind])


def _is_wide(mode: str) -> bool:
    return mode.startswith("I")
