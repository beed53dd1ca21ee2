"""Warnings, once per source, about data lost in decoding: bits beyond 8, and pages after the first."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from bitesize.decode.info import ImageInfo
from bitesize.spec import Mode

# Modes that keep values of more than 8 bits.
KEEPING = ("I;16", "unchanged", "auto")
# Text of each kind of loss when data is opened, and the setting that changes it.
KEEPS_VALUES = 'mode="unchanged"'
COLORS_ARE_REDUCED = "16-bit colors are reduced to 8 bits"


class Described(Protocol):
    """An object that can name its rows."""

    def describe(self, row: int) -> str:
        """Return the name of a row."""
        ...


_said: weakref.WeakKeyDictionary[Described, set[str]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def is_reduced(info: ImageInfo, mode: Mode) -> bool:
    """Return whether decoding reduces values of more than 8 bits to 8 bits."""
    return info.bits > 8 and mode not in KEEPING and not info.floats


def keeps_values(info: ImageInfo) -> bool:
    """Return whether ``mode="I;16"`` decodes an image: gray of whole numbers of more than 8 bits."""
    return info.channels == 1 and info.bits > 8 and not info.floats


def gray_is_reduced(bits: int) -> str:
    """Return the message about gray images of ``bits`` bits; above 16 bits it names the value of full brightness."""
    full = f", where {2**16 - 1} is full brightness" if bits > 16 else ""
    return f"{bits}-bit gray images are reduced to 8 bits{full}"


def log_losses(source: Described, row: int, info: ImageInfo, mode: Mode) -> None:
    """Log one warning per source for each kind of loss, at the first affected image.

    Parameters
    ----------
    source
        Source of the image.
    row
        Row of the image in the source.
    info
        Header of the image.
    mode
        Mode that the image is decoded to.
    """
    if info.bits == 8 and info.pages == 1:  # nearly always
        return
    if is_reduced(info, mode):
        what = gray_is_reduced(info.bits) if keeps_values(info) else COLORS_ARE_REDUCED
        _warn(source, "bits", f"{what}: {KEEPS_VALUES} keeps their values", row)
    if info.pages > 1:
        text = f"only the first of {info.pages} pages of a TIFF is used: pages= of bs.open reads the others of TIFF files"
        _warn(source, "pages", text, row)


def _warn(source: Described, kind: str, text: str, row: int) -> None:
    with _lock:
        kinds = _said.setdefault(source, set())
        if kind in kinds:
            return
        kinds.add(kind)
    logging.getLogger("bitesize").warning("%s (first: %s)", text, source.describe(row))
