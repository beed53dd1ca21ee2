"""The header of PBM, PGM and PPM files (netpbm's ppm(5)): the value of full brightness."""

from __future__ import annotations

import re

# Numbers of the header are separated by blanks, and by comments up to the end of their line.
_HEADER = re.compile(
    rb"P([1-6])((?:\s+|#[^\r\n]*[\r\n])+)(\d+)((?:\s+|#[^\r\n]*[\r\n])+)(\d+)(?:((?:\s+|#[^\r\n]*[\r\n])+)(\d+))?"
)


def full_value(data: memoryview) -> int:
    """Return the value of full brightness; 1 for bitmaps, 255 if the header cannot be read."""
    header = _HEADER.match(bytes(data[:4096]))
    if header is None:
        return 255
    if header[1] in b"14":
        return 1
    return int(header[7]) if header[7] is not None else 255


def header_nbytes(data: memoryview) -> int:
    """Return the length of the header, with the one blank after it."""
    header = _HEADER.match(bytes(data[:4096]))
    return 0 if header is None else header.end() + 1
