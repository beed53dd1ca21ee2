"""Words in pictures: drawn where a font has their letters, else numbered, with a legend for the terminal."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

# Fonts with Chinese, Japanese and Korean letters, as Linux, Windows and macOS have them, and one with Greek and Cyrillic.
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
_NOWHERE = "\uffff"  # no font has it: it is drawn as what is missing


class Captions:
    """What stands above each row of a picture.

    Parameters
    ----------
    rows
        Row numbers.
    classes
        The class of each row, by name; empty where there is none.
    numbers
        The number of that class, or None.
    files
        The file of each row, by name.

    Attributes
    ----------
    lines : list of str
        One for each row.
    legend : list of str
        What the numbers in them stand for, where no font here has the letters of the names; else empty.
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
        except OSError:  # it is not installed
            continue
        missing = bytes(font.getmask(_NOWHERE))
        if all(bytes(font.getmask(letter)) != missing for letter in letters):
            return font
    return None
