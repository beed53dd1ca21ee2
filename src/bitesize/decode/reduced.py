"""What decoding leaves out of an image, said once for each source: bits beyond 8, and pages after the first."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from bitesize.decode.info import ImageInfo
from bitesize.spec import Mode

# How each kind of loss is said where data is opened, and the setting that decides otherwise.
GRAY_IS_REDUCED, KEEPS_GRAY = "16-bit gray images are reduced to 8 bits", 'mode="I;16"'
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
    return info.bits > 8 and mode != "I;16"


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
        gray = f"{GRAY_IS_REDUCED}: {KEEPS_GRAY} keeps their values"
        _warn(source, "bits", gray if info.channels == 1 else COLORS_ARE_REDUCED, row)
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
