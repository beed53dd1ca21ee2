"""What decoding leaves out of an image, said once for each source: bits beyond 8, and pages after the first."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from bitesize.decode.info import ImageInfo
from bitesize.spec import Mode

# How each kind of loss is said where data is opened, and the setting that decides otherwise.
KEEPS_GRAY = 'mode="I;16"'
COLORS_ARE_REDUCED = "16-bit colors are reduced to 8 bits; to keep them, save the arrays as .npy"


class Described(Protocol):
    """Whatever can name its rows."""

    def describe(self, row: int) -> str:
        """Name a row."""
        ...


_said: weakref.WeakKeyDictionary[Described, set[str]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def is_reduced(info: ImageInfo, mode: Mode) -> bool:
    """Whether decoding keeps 8 bits of more."""
    return info.bits > 8 and mode != "I;16" and not info.floats


def keeps_values(info: ImageInfo) -> bool:
    """Whether ``mode="I;16"`` decodes an image: gray of whole numbers of more than 8 bits."""
    return info.channels == 1 and info.bits > 8 and not info.floats


def gray_is_reduced(bits: int) -> str:
    """Return what is said of gray images of so many bits: of more than 16 the upper half is not used."""
    full = f", where {2**16 - 1} is full brightness" if bits > 16 else ""
    return f"{bits}-bit gray images are reduced to 8 bits{full}"


def log_losses(source: Described, row: int, info: ImageInfo, mode: Mode) -> None:
    """Log one warning a source for each kind of loss, at the first image that has it.

    Parameters
    ----------
    source
        Where the image comes from.
    row
        Its row there.
    info
        Its header.
    mode
        What it is decoded to.
    """
    if info.bits == 8 and info.pages == 1:  # nearly always
        return
    if is_reduced(info, mode):
        gray = f"{gray_is_reduced(info.bits)}: {KEEPS_GRAY} keeps their values"
        _warn(source, "bits", gray if keeps_values(info) else COLORS_ARE_REDUCED, row)
    if info.pages > 1:
        text = f"of a TIFF of {info.pages} pages the first is taken: save each page as a file, or the stack as .npy"
        _warn(source, "pages", text, row)


def _warn(source: Described, kind: str, text: str, row: int) -> None:
    with _lock:
        kinds = _said.setdefault(source, set())
        if kind in kinds:
            return
        kinds.add(kind)
    logging.getLogger("bitesize").warning("%s (%s is the first)", text, source.describe(row))
