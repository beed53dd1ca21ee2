"""What a row is made of: fields of fixed size, and encoded images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bitesize.errors import BadSetting

Mode = Literal["RGB", "L", "RGBA", "I;16"]
CHANNELS: Mapping[str, int] = {"L": 1, "RGB": 3, "RGBA": 4, "I;16": 1}
# Rows of more channels than this are not taken for images.
MOST_CHANNELS = 32


@dataclass(frozen=True)
class Field:
    """A part of a row that has the same shape and dtype in every row.

    Parameters
    ----------
    shape
        Shape of one row's part, without the batch axis.
    dtype
        NumPy dtype in native byte order.
    mask
        Whether it is a label for each pixel of the row's image: then it moves with the image, and is never interpolated.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    mask: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype))

    @property
    def nbytes(self) -> int:
        """Bytes of one row's part."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


@dataclass(frozen=True)
class Encoded:
    """A part of a row that is an encoded image; its size is known only once it is read.

    Parameters
    ----------
    kind
        ``"image"``, or ``"mask"`` for label images that must never be interpolated.
    mode
        The channels it is decoded to: ``"RGB"``, ``"L"`` (gray) or ``"RGBA"``, of 8 bits each; or ``"I;16"``, gray of 16 bits,
        whose values stay what they are.
    orient
        Whether it is turned upright by its EXIF orientation.
    """

    kind: Literal["image", "mask"] = "image"
    mode: Mode = "RGB"
    orient: bool = True

    def __post_init__(self) -> None:
        if self.mode not in CHANNELS:
            raise BadSetting(f'mode must be "RGB", "L", "RGBA" or "I;16", not {self.mode!r}')

    @property
    def channels(self) -> int:
        """Channels of the decoded image."""
        return CHANNELS[self.mode]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the decoded values."""
        return mode_dtype(self.mode)

    def __str__(self) -> str:
        return f"{self.kind} ({self.mode})"


Spec = Mapping[str, Field | Encoded]


def mode_dtype(mode: Mode) -> np.dtype[Any]:
    """Return the type of the values that a mode decodes to: uint16 for ``"I;16"``, else uint8."""
    return np.dtype(np.uint16 if mode == "I;16" else np.uint8)


def image_channels(shape: Sequence[int]) -> int | None:
    """Return the channels of rows that can be taken for images, or None for rows that are no images, or may be none.

    Rows of (height, width) have one channel. Rows of three axes have their channels last, at most `MOST_CHANNELS`; where the
    last axis is as long as the one before it, or the first as short as that of channels, they may as well be volumes
    (depth, height, width), or have their channels first.

    Examples
    --------
    >>> [image_channels(shape) for shape in ((28, 28), (20, 24, 10), (3, 64, 64), (64, 64, 64), (100,))]
    [1, 10, None, None, None]
    """
    if len(shape) == 2:
        return 1
    if len(shape) != 3:
        return None
    channels = shape[2]
    if channels in (1, 3, 4):
        return channels
    return None if channels > MOST_CHANNELS or channels == shape[1] or channels_seem_first(shape) else channels


def channels_seem_first(shape: Sequence[int]) -> bool:
    """Whether the first of three axes is as short as that of channels, and the last is not."""
    return len(shape) == 3 and shape[0] in (1, 3, 4) and shape[1] > 4 and shape[2] > 4
