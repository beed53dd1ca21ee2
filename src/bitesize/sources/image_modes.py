"""The mode of images that is chosen when data are opened, and the channels and dtype of images that are decoded unchanged."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from bitesize.decode.header import KINDS_OF_SUFFIXES, read_info, sniff
from bitesize.decode.info import ImageInfo, becomes_rgb, is_usual, stored_pixels
from bitesize.errors import BadRows, BitesizeError, without_frames
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.image_headers import looks_of
from bitesize.sources.row_source import RowSource
from bitesize.sources.sinks import new_buffers
from bitesize.spec import Encoded, Field

# Number of first rows to try. Damaged rows are reported, or skipped, when they are loaded.
_ATTEMPTS = 16
# Rows whose names are looked at, evenly spaced; and how many of them are read.
_NAMES, _LOOKS = 64, 8
_ALWAYS_USUAL = ("JPEG", "GIF", "BMP", "WEBP")


def with_modes(source: Source, unchanged: Encoded | None = None) -> Source:
    """Choose the mode of images whose mode is ``"auto"``, and fill in channels and dtype of images that are decoded unchanged.

    Parameters
    ----------
    source
        A source that was just opened; its spec is replaced.
    unchanged
        Field with channels and dtype for ``mode="unchanged"``, if they are known.

    Raises
    ------
    BitesizeError
        With ``mode="unchanged"``, the error of the first row, if none of the first rows can be read.
    """
    spec = dict(source.spec)
    for name, field in source.spec.items():
        if not isinstance(field, Encoded) or field.pixels is not None:
            continue
        if field.mode == "auto":
            wide = info = _wide_info(source, name) if field.kind == "image" else None
            if wide is None or info is None:
                spec[name] = replace(field, mode="RGB")
                continue
            with suppress(BitesizeError):
                info = _first_info(source, name)
            spec[name] = _unchanged(field, info)
            other = 'mode="RGB"' if becomes_rgb(info) and becomes_rgb(wide) else ""
            source.choices = (*source.choices, Choice(f"images are unchanged: {stored_pixels(info)}", other))
        else:
            spec[name] = (
                _unchanged(field, _first_info(source, name))
                if unchanged is None
                else replace(field, pixels=unchanged.pixels, bands=unchanged.bands)
            )
    if spec != source.spec:
        changed = {old: spec[name] for name, old in source.spec.items() if isinstance(old, Encoded)}
        source.spec = spec
        _settle_inner(source, changed)
    return source


def _unchanged(field: Encoded, info: ImageInfo) -> Encoded:
    """Return the field of images that are decoded unchanged, all like one of them."""
    return replace(field, mode="unchanged", pixels=stored_pixels(info), bands=info.banded or info.inks)


def _settle_inner(source: RowSource, changed: Mapping[Encoded, Field | Encoded]) -> None:
    """Replace the fields of the sources that a source consists of, whose spec is part of its fingerprint."""
    for inner in source.derived_from:
        inner.spec = {
            name: changed.get(field, field) if isinstance(field, Encoded) else field for name, field in inner.spec.items()
        }
        _settle_inner(inner, changed)


def _wide_info(source: Source, name: str) -> ImageInfo | None:
    """Return the header of the first of a few images with other values than 8-bit gray, RGB or RGBA; None if there is none."""
    known = _known_info(source, name)
    if known is not None:
        return None if known == "usual" or is_usual(known) else known
    for row in _rows_to_read(source):
        try:
            if not is_usual(info := _info(source, name, row)):
                return info
        except BitesizeError:  # reported when the row is loaded
            continue
    return None


def _rows_to_read(source: Source) -> Iterator[int]:
    """Yield evenly spaced rows whose images may be wide by their names and the beginnings of their files."""
    count = len(source)
    if not count:
        return
    rows = np.unique(np.linspace(0, count - 1, min(_NAMES, count)).astype(np.int64)).tolist()
    if source.path(rows[0]) is None:  # within a file, which may be read in large parts
        yield from rows[:1]
        return
    named = [(row, path) for row in rows if (path := source.path(row)) is not None and _kind(path) not in _ALWAYS_USUAL]
    chosen = np.unique(np.linspace(0, max(len(named) - 1, 0), min(_LOOKS, len(named))).astype(np.int64)).tolist()
    for row, usual in looks_of([named[i] for i in chosen]):
        if usual is not True:
            yield row


def _kind(path: bytes) -> str | None:
    return KINDS_OF_SUFFIXES.get(os.path.splitext(os.fsdecode(path))[1].lower())


def _known_info(source: RowSource, name: str) -> ImageInfo | Literal["usual"] | None:
    """Return the header of an image whose beginning is known, or only that its format has 8 bits; None if it is not known."""
    start = source.first_images.get(name)
    if start is None:
        return next((found for inner in source.derived_from if (found := _known_info(inner, name))), None)
    try:
        return read_info(memoryview(start))
    except BitesizeError:  # more than the beginning is needed
        return "usual" if sniff(start[:16]) in _ALWAYS_USUAL else None


def _first_info(source: Source, name: str) -> ImageInfo:
    """Return the header of the first image that can be read."""
    known = _known_info(source, name)
    if isinstance(known, ImageInfo):
        return known
    first: Exception | None = None
    for row in range(min(_ATTEMPTS, len(source))):
        try:
            return _info(source, name, row)
        except BitesizeError as error:
            first = first or without_frames(error)
    assert first is not None
    raise first


def _info(source: Source, name: str, row: int) -> ImageInfo:
    into: dict[str, Any] = new_buffers(source.spec, 1)
    try:
        source.read(np.array([row], np.int64), into)
        return read_info(into[name].files[0])
    except BadRows as error:
        raise next(iter(error.causes.values())) from None
    except BitesizeError as error:
        raise type(error)(f"{source.describe(row)}: {error}") from error
