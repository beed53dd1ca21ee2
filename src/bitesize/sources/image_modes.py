"""Channels and dtype of images that are decoded unchanged: those of the first image of the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitesize.decode.header import read_info
from bitesize.decode.info import stored_pixels
from bitesize.errors import BadRows, BitesizeError, without_frames
from bitesize.sources.base import Source
from bitesize.sources.sinks import new_buffers
from bitesize.spec import Encoded, Pixels

# Number of rows to try. Damaged rows are reported, or skipped, when they are loaded.
_ATTEMPTS = 16


def with_pixels(source: Source) -> Source:
    """Fill in the channels and the dtype of images that are decoded unchanged, from the first image that can be read.

    Raises
    ------
    BitesizeError
        The error of the first row, if none of the first rows can be read.
    """
    spec = dict(source.spec)
    for name, field in source.spec.items():
        if isinstance(field, Encoded) and field.kind == "image" and field.mode == "unchanged" and field.pixels is None:
            spec[name] = replace(field, pixels=_first_pixels(source, name))
    if spec != source.spec:
        source.spec = spec
    return source


def _first_pixels(source: Source, name: str) -> Pixels:
    """Return the channels and the dtype of the first image that can be read."""
    first: Exception | None = None
    for row in range(min(_ATTEMPTS, len(source))):
        into = new_buffers(source.spec, 1)
        try:
            source.read(np.array([row], np.int64), into)
            return stored_pixels(read_info(into[name].files[0]))
        except BadRows as error:
            first = first or without_frames(next(iter(error.causes.values())))
        except BitesizeError as error:
            first = first or without_frames(type(error)(f"{source.describe(row)}: {error}"))
    assert first is not None
    raise first
