"""Memory for decoding the images of a source, estimated from the headers of a few images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bitesize.decode.decode import decode_nbytes, smaller_eighths
from bitesize.decode.header import read_info
from bitesize.errors import BitesizeError
from bitesize.memory.mapping import aligned
from bitesize.sources.base import Source
from bitesize.sources.sinks import new_buffers
from bitesize.spec import Encoded


class DecodingNeed(NamedTuple):
    """Maximum bytes for an image of a sample: at full size, and if it is rendered much smaller."""

    whole: int
    small: int


def decoding_need(source: Source, rows: int) -> DecodingNeed:
    """Return the memory for decoding evenly spaced rows: files are read one at a time, and nothing is decoded.

    Parameters
    ----------
    source
        A source whose primary field has encoded images. Unreadable rows are left out.
    rows
        Maximum number of rows to read.
    """
    numbers = np.unique(np.linspace(0, len(source) - 1, min(rows, len(source))).astype(np.int64)).tolist()
    largest = DecodingNeed(0, 0)
    for row in numbers:
        try:
            need = _of_row(source, row)
        except BitesizeError:  # reported when the row is read
            continue
        largest = DecodingNeed(*map(max, largest, need))
    return largest


def _of_row(source: Source, row: int) -> DecodingNeed:
    field, into = source.spec[source.primary], new_buffers(source.spec, 1)
    assert isinstance(field, Encoded)
    source.read(np.array([row], np.int64), into)
    data = into[source.primary].files[0]
    info, nbytes = read_info(data), len(data)
    whole, small = (
        aligned(nbytes) + decode_nbytes(info, field.mode, eighths, nbytes) for eighths in (8, smaller_eighths(info, 2) or 8)
    )
    return DecodingNeed(whole, small)
