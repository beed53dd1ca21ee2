"""One row for inspection: its decoded values, and the path of its file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bitesize.decode.decode import decode, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.decode.info import check_pixels
from bitesize.decode.mask import decode_mask, mask_dtype
from bitesize.errors import BadRows, DoesNotFit
from bitesize.memory.limits import available
from bitesize.sources.row_source import RowSource
from bitesize.sources.sinks import new_buffers
from bitesize.spec import Encoded, Field


def read_row(source: RowSource, row: int) -> dict[str, Any]:
    """Return one row as it is stored.

    Parameters
    ----------
    source
        The source.
    row
        Row number, 0 to n - 1.

    Returns
    -------
    dict of str to ndarray, scalar or str
        Each field; images decoded, shape (height, width, channels) uint8, and masks, shape (height, width), rotated upright if the source
        says so; class names instead of class numbers. ``"path"`` is the path of the row's file, or its name within a file, unless a field has this name.

    Raises
    ------
    BitesizeError
        If the row cannot be read.
    """
    into = new_buffers(source.spec, 1)
    try:
        source.read(np.array([row], np.int64), into)
    except BadRows as error:
        raise next(iter(error.causes.values())) from None
    values: dict[str, Any] = {}
    for name, field in source.spec.items():
        values[name] = _decoded(into[name].files[0], field) if isinstance(field, Encoded) else into[name][0]
        classes = source.classes if name == source.label_name else source.classes_of.get(name)
        if classes is not None and isinstance(field, Field) and not field.shape:
            values[name] = classes[int(values[name])]
        elif isinstance(values[name], np.generic):
            values[name] = values[name].item()
    path = source.path(row)
    values.setdefault("path", source.describe(row) if path is None else os.fsdecode(path))
    return values


def _decoded(data: memoryview, field: Encoded) -> Any:
    info = read_info(data)
    check_pixels(info, field.mode, field.pixels)
    nbytes = pixels_nbytes(info, field.mode, 8)
    limit = available()
    if nbytes > limit.room:
        raise DoesNotFit(
            f"an image of {info.width} x {info.height} needs {nbytes:,} bytes, but {limit.room:,} are available"
        )
    if field.kind == "mask":
        dtype = mask_dtype(data, info)
        out = np.empty(info.width * info.height * dtype.itemsize, np.uint8)
        pixels = decode_mask(data, info, dtype, out)[..., 0]
    else:
        pixels = decode(data, info, field.mode, 8, np.empty(nbytes, np.uint8))
    return upright(pixels, info.orientation) if field.orient else pixels


def upright(pixels: Any, orientation: int) -> Any:
    """Return an image rotated upright according to its EXIF orientation, 1 to 8."""
    return np.ascontiguousarray(turned(pixels, orientation))


def turned(pixels: Any, orientation: int) -> Any:
    """Return a view of an image that is rotated upright according to its EXIF orientation, 1 to 8."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return pixels[::rows, ::columns]
