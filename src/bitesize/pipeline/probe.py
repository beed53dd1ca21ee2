"""Inspection of the first readable row, for facts that are only in files: the size of images without resizing, and the dtype of masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from bitesize.decode.header import ImageInfo, read_info
from bitesize.decode.mask import mask_dtype
from bitesize.errors import BadFile, BadResult, BadRows, BitesizeError, without_frames
from bitesize.sources.base import Source
from bitesize.sources.sinks import EncodedSink
from bitesize.spec import Encoded, Field

T = TypeVar("T")
# Number of rows to try. Damaged rows are reported, or skipped, when they are loaded, not here.
ATTEMPTS = 16


def ignored(field: Field | Encoded) -> Any:
    """Return a destination for a field of one row whose values are not used."""
    return np.empty((1, *field.shape), field.dtype) if isinstance(field, Field) else EncodedSink()


def size_of_first_row(source: Source, name: str) -> tuple[int, int]:
    """Return height and width of the first image, which all images must have."""
    stored = source.spec[name]
    info, _ = first_readable_row(source, lambda row: _read_header(source, name, row))
    rotated = isinstance(stored, Encoded) and stored.orient and info.orientation >= 5
    return (info.width, info.height) if rotated else (info.height, info.width)


def info_of_row(source: Source, name: str, row: int) -> ImageInfo | None:
    """Return the header of an image, or None if it cannot be read."""
    try:
        info, _ = _read_header(source, name, row)
    except BitesizeError:
        return None
    return info


def mask_dtype_of_first_row(source: Source, name: str) -> np.dtype[Any]:
    """Return the dtype of the first mask, of 8 or 16 bits."""

    def dtype_of(row: int) -> np.dtype[Any]:
        """Return the dtype of one mask."""
        info, data = _read_header(source, name, row)
        try:
            return mask_dtype(data, info)
        except BadFile as error:
            raise BadFile(f"the field {name!r} of {source.describe(row)} (row {row}): {error}") from error

    return first_readable_row(source, dtype_of)


def first_readable_row(source: Source, inspect: Callable[[int], T]) -> T:
    """Return ``inspect(row)`` of the first row that can be read. If none of the first rows can be read, raise the first error."""
    first: BitesizeError | None = None
    for row in range(min(ATTEMPTS, len(source))):
        try:
            return inspect(row)
        except BadResult:  # the user's function is wrong, not the row
            raise
        except BitesizeError as error:
            first = first or without_frames(error)
    assert first is not None
    raise first


def _read_header(source: Source, name: str, row: int) -> tuple[ImageInfo, memoryview]:
    into = {other: EncodedSink() if other == name else ignored(field) for other, field in source.spec.items()}
    prefix = "" if name == source.primary else f"the field {name!r} of "
    try:
        source.read(np.array([row], np.int64), into)
        data = into[name].files[0]
        return read_info(data), data
    except BadRows as error:
        raise next(iter(error.causes.values())) from None
    except BadFile as error:
        raise type(error)(f"{prefix}{source.describe(row)} (row {row}): {error}") from error
