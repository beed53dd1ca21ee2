"""The header of a TIFF that tifffile decodes: its dtype, and the memory of decoding, checked against the length of the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.decode.info import ImageInfo
from bitesize.decode.tiff import TiffFacts
from bitesize.errors import BadFile, UnsupportedFile

CODEC = "TIFF"
# A segment is in memory as compressed, decompressed, unpacked, with its predictor undone, and in the byte order of the machine.
_COPIES = 6
_LIBRARY_NBYTES = 1 << 20
# Photometric interpretation and number of bands of gray and RGB.
_COLORS = ((0, 1), (1, 1), (2, 3), (6, 3))
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4


def tiff_info(facts: TiffFacts, file_nbytes: int, *, only: bool) -> ImageInfo:
    """Return the header of a page for decoding by tifffile.

    Parameters
    ----------
    facts
        Of the page.
    file_nbytes
        Length of the file.
    only
        Whether Pillow does not decode the file.

    Raises
    ------
    UnsupportedFile
        If values are of a type that arrays of numbers cannot have.
    BadFile
        If the file is too short for its pixels.
    """
    dtype = tiff_dtype(facts)
    height, width, bands = facts.segment
    pixels = facts.width * facts.height * facts.bands
    if not (pixels and height and width):
        raise BadFile(f"damaged TIFF: it declares {facts.width} x {facts.height} pixels of {facts.bands} bands")
    if facts.compression == 1 and pixels * facts.bits // 8 > file_nbytes:
        raise BadFile(
            f"damaged TIFF: {facts.width} x {facts.height} pixels of {facts.bands} bands need {pixels * facts.bits // 8:,} bytes, but the "
            f"file has {file_nbytes:,}"
        )
    segment = height * width * bands * dtype.itemsize
    tags = min(facts.tags_nbytes, 80 * file_nbytes)
    return ImageInfo(
        "TIFF",
        facts.width,
        facts.height,
        facts.bands,
        facts.orientation,
        plain=False,
        bits=max(8, facts.bits),
        pages=facts.pages,
        overhead=_COPIES * segment + tags + _LIBRARY_NBYTES,
        floats=dtype.kind == "f",
        dtype=dtype,
        codec=CODEC,
        codec_only=only,
        banded=not (facts.alpha or (facts.photometric, facts.bands) in _COLORS),
    )


def seems_usual(facts: TiffFacts) -> bool:
    """Return whether values are surely gray, RGB or colors of a palette of up to 8 bits."""
    return (
        facts.bits <= 8
        and facts.sample_format in (_UNSIGNED, _UNDEFINED)
        and (facts.photometric, facts.bands) in (*_COLORS, (3, 1))
    )


def tiff_dtype(facts: TiffFacts) -> np.dtype[Any]:
    """Return the dtype of the values; floats of 16 and 24 bits become 32 bits."""
    sizes = (8, 16, 32, 64)
    if facts.alike and facts.sample_format in (_UNSIGNED, _UNDEFINED) and 1 <= facts.bits <= 64:
        return np.dtype(f"u{next(size for size in sizes if size >= facts.bits) // 8}")
    if facts.alike and facts.sample_format == _SIGNED and facts.bits in sizes:
        return np.dtype(f"i{facts.bits // 8}")
    if facts.alike and facts.sample_format == _FLOAT and facts.bits in (16, 24, 32, 64):
        return np.dtype(f"f{max(4, facts.bits // 8)}")
    bands = "1 band" if facts.bands == 1 else f"{facts.bands} bands"
    raise UnsupportedFile(f"a TIFF of {bands} of {facts.bits} bits ({facts.values}) is not supported: save it as .npy")
