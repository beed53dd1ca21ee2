"""The EXIF orientation of an image."""

from __future__ import annotations

from typing import Any

ORIENTATION = 0x0112  # the tag (JEITA CP-3451)


def exif_orientation(tiff: memoryview) -> int:
    """Return the orientation in the first directory of an EXIF block (TIFF 6.0, section 2); 1 if it is damaged."""
    order: Any = {b"II": "little", b"MM": "big"}.get(bytes(tiff[:2]))
    if order is None:
        return 1
    at = int.from_bytes(tiff[4:8], order)
    for i in range(int.from_bytes(tiff[at : at + 2], order)):
        entry = tiff[at + 2 + 12 * i : at + 14 + 12 * i]
        if len(entry) < 12:
            return 1
        if int.from_bytes(entry[:2], order) == ORIENTATION:
            value = int.from_bytes(entry[8:10], order)
            return value if 1 <= value <= 8 else 1
    return 1
