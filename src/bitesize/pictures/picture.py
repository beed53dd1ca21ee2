"""Pictures of images and volumes of any type, for people to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.sizes import counted
from bitesize.spec import Encoded, Field, axes_of_rows

# Pixels that are read for one that is shown, along each side.
_FINER = 4


def axes_of_pictures(field: Field | Encoded) -> str:
    """Return the axes of rows that can be shown: ``"HW"``, ``"HWC"``, ``"DHW"`` or ``"DHWC"``; empty for other rows."""
    return "HWC" if isinstance(field, Encoded) else axes_of_rows(field)


def said_of_pictures(field: Field | Encoded) -> list[str]:
    """Return lines on what a picture leaves out of a row."""
    axes = axes_of_pictures(field)
    channels = field.channels if isinstance(field, Encoded) else field.shape[-1] if axes.endswith("C") else 1
    said = ["volumes: the slice in the middle of the depth is shown"] if axes.startswith("D") else []
    if channels > 4 or (channels == 4 and field.dtype != np.uint8):
        said.append(f"the first 3 of {counted(channels, 'channel')} are shown as red, green and blue")
    elif channels == 2:
        said.append("the first of 2 channels is shown")
    if field.dtype != np.uint8:
        said.append(f"values of {field.dtype} are shown from the lowest of each picture, black, to the highest, white")
    return said


def middle(row: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return the slice in the middle of a volume, or an image unchanged."""
    return row[len(row) // 2] if axes.startswith("D") else row


def thinned(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Return a view of an image, of evenly spaced lines and columns if it is much larger than a picture with this side.

    A picture then takes little memory and time for images of any size.
    """
    step = max(1, max(image.shape[:2]) // (_FINER * side))
    return image[::step, ::step]


def as_picture(row: NDArray[Any], axes: str) -> NDArray[np.uint8]:
    """Return a row as 8-bit colors, shape (height, width, 3); values other than 8 bits are scaled by their range.

    Examples
    --------
    >>> as_picture(np.array([[[0, 400], [800, 1200]]] * 3), "DHW")[..., 0].tolist()
    [[0, 85], [170, 255]]
    """
    values = middle(row, axes)
    if not axes.endswith("C"):
        values = values[..., None]
    values = values[..., : 1 if values.shape[-1] == 2 else 3]
    if values.dtype != np.uint8:
        finite = values[np.isfinite(values)].astype(np.float64)
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        scaled = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low) * (
            255 / (high - low) if high > low else 0
        )
        values = scaled.astype(np.uint8)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values.copy()
