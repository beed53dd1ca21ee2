"""A look at the first row, for what only a file can tell: the size of images that stay as they are, the type of masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.decode.header import ImageInfo, read_info
from bitesize.decode.mask import mask_dtype
from bitesize.errors import BadFile, BadRows
from bitesize.sources.base import Source
from bitesize.spec import Encoded, Field


class OneFile:
    """Takes the bytes of one file, whatever its size: for a look at its header."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, i: int, nbytes: int) -> memoryview:
        """Give a buffer."""
        self.data = bytearray(nbytes)
        return memoryview(self.data)


def ignored(field: Field | Encoded) -> Any:
    """Give something for a source to read a field of one row into that nobody looks at."""
    return np.empty((1, *field.shape), field.dtype) if isinstance(field, Field) else OneFile()


def size_of_first_row(source: Source, name: str) -> tuple[int, int]:
    """Learn height and width of the images from the first; later ones must have the same."""
    what = source.spec[name]
    info, _ = _first(source, name)
    turned = isinstance(what, Encoded) and what.orient and info.orientation >= 5
    return (info.width, info.height) if turned else (info.height, info.width)


def mask_dtype_of_first_row(source: Source, name: str) -> np.dtype[Any]:
    """Learn whether masks have 8 or 16 bits from the first."""
    info, data = _first(source, name)
    try:
        return mask_dtype(data, info)
    except BadFile as error:
        raise BadFile(f"{source.describe(0)} (row 0): {error}") from error


def _first(source: Source, name: str) -> tuple[ImageInfo, memoryview]:
    into = {field: OneFile() if field == name else ignored(what) for field, what in source.spec.items()}
    try:
        source.read(np.zeros(1, np.int64), into)
        data = memoryview(into[name].data)
        return read_info(data), data
    except BadRows as error:
        raise next(iter(error.causes.values())) from None
    except BadFile as error:
        raise BadFile(f"{source.describe(0)} (row 0): {error}") from error
