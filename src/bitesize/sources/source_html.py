"""HTML of sources, for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import choose_eighths, decode, decode_nbytes, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.decode.info import check_pixels
from bitesize.errors import BadRows, DoesNotFit
from bitesize.html.notebook import Html, element, images, joined, output
from bitesize.memory.sizes import format_size
from bitesize.pictures.batch_html import label_text
from bitesize.pictures.picture import axes_of_pictures, said_of_pictures
from bitesize.pictures.thumbnails import SIDE, thumbnail
from bitesize.sources.explanation import explain
from bitesize.sources.row import turned
from bitesize.sources.row_source import RowSource
from bitesize.sources.sinks import EncodedSink
from bitesize.spec import Encoded, Field
from bitesize.storage.url import is_url

# Rows that are shown, and the most bytes that reading and decoding one of them may take.
_ROWS, _MOST_NBYTES = 6, 64 << 20
_LEAST_SIDE = 8  # rows with two axes and a shorter side are tables or series, not images


def source_html(source: RowSource) -> str:
    """Return the HTML of a source: its explanation, and thumbnails of a few rows. An error in reading is shown as text."""
    try:
        explanation = explain(source, measure=False)
    except Exception as error:  # noqa: BLE001 - also sources of users, and files that are gone
        return output(type(source).__name__, f"{source!r}", f"{type(error).__name__}: {error}")
    try:
        shown = list(_thumbnails(source))
    except Exception as error:  # noqa: BLE001 - the same
        return explanation.html(f"no images are shown: {error}")
    return explanation.html(*shown)


def _thumbnails(source: RowSource) -> Iterator[Html]:
    """Yield thumbnails of a few rows with their labels, and lines about them; none if rows are no images, or expensive to read."""
    field = source.spec[source.primary]
    axes = axes_of_pictures(field)
    if not axes or not _is_cheap(source, field):
        return
    yield images(_shown(source, row, axes) for row in _rows(source))
    for line in said_of_pictures(field):
        yield Html(element("p", line))


def _is_cheap(source: RowSource, field: Field | Encoded) -> bool:
    """Return whether rows are small images, and on a disk of this machine."""
    if source.extents(np.zeros(1, np.int64)) is not None:  # windows of a series
        return False
    path = source.path(0)
    if path is not None and is_url(path.decode("utf-8", "replace")):
        return False
    if isinstance(field, Encoded):
        return True
    return field.nbytes <= _MOST_NBYTES and (bool(field.axes) or min(field.shape[:2]) >= _LEAST_SIDE)


def _rows(source: RowSource) -> list[int]:
    """Return evenly spaced rows, which have several classes; the first rows if rows are stored in large parts."""
    count = min(_ROWS, len(source))
    if source.chunks() is not None:
        return list(range(count))
    return list(map(int, np.unique(np.linspace(0, len(source) - 1, count).astype(np.int64))))


def _shown(source: RowSource, row: int, axes: str) -> tuple[object, Html]:
    """Return the thumbnail of a row, or the reason why there is none, and its caption."""
    number, label = f"row {row:,}", ""
    try:
        pixels, labels = _read(source, row)
        if labels is not None and labels.ndim < 2:
            label = label_text(labels, source.classes)
        picture: object = thumbnail(pixels, axes, f"{number}, {label}" if label else number)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a row, the other rows and the table are shown
        picture = f"not shown: {error}"
    return picture, joined([part for part in (label, number) if part], "<br>")


def _read(source: RowSource, row: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the image and the label of a row.

    Raises
    ------
    BitesizeError
        If the row cannot be read, or takes too much memory.
    """
    into: dict[str, Any] = {
        name: np.empty((1, *field.shape), field.dtype) if isinstance(field, Field) else EncodedSink(_small)
        for name, field in source.spec.items()
    }
    try:
        source.read(np.array([row], np.int64), into)
    except BadRows as error:
        raise next(iter(error.causes.values())) from None
    field = source.spec[source.primary]
    pixels = _decoded(into[source.primary].files[0], field) if isinstance(field, Encoded) else into[source.primary][0]
    label = into.get(source.label_name or "")
    return pixels, label[0] if isinstance(label, np.ndarray) else None


def _small(i: int, nbytes: int) -> memoryview:
    """Return a buffer for a file, if the file is not too large for a thumbnail."""
    if nbytes > _MOST_NBYTES:
        raise DoesNotFit(f"the file has {format_size(nbytes)}")
    return memoryview(bytearray(nbytes))


def _decoded(data: memoryview, field: Encoded) -> NDArray[Any]:
    """Decode an image, a JPEG at a fraction of its size."""
    info = read_info(data)
    check_pixels(info, field.mode, field.pixels)
    eighths = choose_eighths(info, 2 * SIDE, 2 * SIDE)
    nbytes = decode_nbytes(info, field.mode, eighths, len(data))
    if nbytes > _MOST_NBYTES:
        raise DoesNotFit(f"decoding {info.width:,} x {info.height:,} pixels takes {format_size(nbytes)}")
    pixels = decode(data, info, field.mode, eighths, np.empty(pixels_nbytes(info, field.mode, eighths), np.uint8))
    return np.asarray(turned(pixels, info.orientation) if field.orient else pixels)
