"""Captions in pictures: rendered if a font has all letters, else numbered, with a legend for the terminal."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

# Fonts with Chinese, Japanese and Korean letters on Linux, Windows and macOS, and a font with Greek and Cyrillic.
_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "msyh.ttc",
    "msgothic.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)
_SIZE = 12
_NOWHERE = "\uffff"  # no font has this character: it is rendered as missing


class Captions:
    """Captions above the rows of a picture.

    Parameters
    ----------
    rows
        Row numbers.
    classes
        Class name of each row; empty for rows without a class.
    numbers
        Number of that class, or None.
    files
        File name of each row.

    Attributes
    ----------
    lines : list of str
        One line per row.
    legend : list of str
        Names behind the numbers in ``lines``, if no installed font has the letters of the names; else empty.
    font
        For `PIL.ImageDraw`.
    """

    def __init__(
        self, rows: Sequence[int], classes: Sequence[str], numbers: Sequence[int | None], files: Sequence[str]
    ) -> None:  # fmt: skip
        self.font = font_with("".join([*classes, *files]))
        self.legend: list[str] = []
        if self.font is not None:
            self.lines = ["  ".join(filter(None, pair)) for pair in zip(classes, files, strict=True)]
            return
        self.font = font_with("")
        self.lines = [
            f"row {row}" if number is None else f"class {number}  row {row}"
            for row, number in zip(rows, numbers, strict=True)
        ]
        named = {number: name for number, name in zip(numbers, classes, strict=True) if number is not None}
        self.legend = [f"class {number}: {named[number]}" for number in sorted(named)]
        self.legend += [f"row {row}: {file}" for row, file in zip(rows, files, strict=True)]


@functools.cache
def font_with(text: str) -> Any:
    """Return a font of Pillow that has all letters of a text, or None."""
    from PIL import ImageFont

    plain = ImageFont.load_default()
    if text.isascii():
        return plain
    letters = sorted({letter for letter in text if not letter.isascii()})
    for name in _FONTS:
        try:
            font = ImageFont.truetype(name, _SIZE)
        except OSError:  # this font is not installed
            continue
        missing = bytes(font.getmask(_NOWHERE))
        if all(bytes(font.getmask(letter)) != missing for letter in letters):
            return font
    return None
