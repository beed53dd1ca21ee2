"""Parts of a row: fields of fixed size, and encoded images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from bitesize.errors import BadSetting

Mode = Literal["auto", "RGB", "L", "RGBA", "I;16", "unchanged"]

Pages = Literal["first", "channels", "depth", "rows"]


class Pixels(NamedTuple):
    """Channels and dtype of decoded images."""

    channels: int
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.channels} channel{'s' if self.channels > 1 else ''} of {self.dtype}"


# What images of a mode are decoded to. "unchanged" is as in the files, "auto" is "RGB" or "unchanged": see `sources.image_modes`.
PIXELS: Mapping[str, Pixels] = {
    "L": Pixels(1, np.dtype(np.uint8)),
    "RGB": Pixels(3, np.dtype(np.uint8)),
    "RGBA": Pixels(4, np.dtype(np.uint8)),
    "I;16": Pixels(1, np.dtype(np.uint16)),
}
# Axes of rows that are images or volumes: depth, height, width, channels.
AXES = ("HW", "HWC", "DHW", "DHWC")
# Rows with more channels than this are not treated as images, unless their axes are known.
MOST_CHANNELS = 32


@dataclass(frozen=True)
class Field:
    """A field that has the same shape and dtype in every row.

    Parameters
    ----------
    shape
        Shape of the field in one row, without the batch axis.
    dtype
        NumPy dtype in native byte order.
    mask
        Whether the field has a label for each pixel of the row's image. A mask moves with the image and is never interpolated.
    axes
        What the axes of a row are: ``"HW"``, ``"HWC"``, ``"DHW"`` or ``"DHWC"`` (depth, height, width, channels). Empty where the
        shape decides, as in `axes_of_rows`.
    bands
        Whether four channels of 8 bits are bands, all alike, rather than colors with alpha.

    Raises
    ------
    BadSetting
        If there are no such axes, or their number is not that of the shape.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> field = bs.Field((224, 224, 3), np.uint8)
    >>> field.nbytes, str(field)
    (150528, '(224, 224, 3) uint8')
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    mask: bool = False
    axes: str = ""
    bands: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        if self.axes:
            check_axes(self.axes, len(self.shape))

    def holds(self, shape: Sequence[int], dtype: np.dtype[Any]) -> bool:
        """Return whether a row has the shape and the dtype of the field, in any byte order.

        Parameters
        ----------
        shape, dtype
            Of the row as stored.

        Returns
        -------
        bool
            True if both are equal.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.Field((16, 20, 24), np.int16, axes="DHW").holds((16, 20, 24), np.dtype(">i2"))
        True
        """
        return tuple(shape) == self.shape and dtype.newbyteorder("=") == self.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the field in one row."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


@dataclass(frozen=True)
class Encoded:
    """A field that is an encoded image. Its size is unknown until it is read.

    Parameters
    ----------
    kind
        ``"image"``, or ``"mask"`` for label images, which are never interpolated.
    mode
        Values of the decoded image: ``"RGB"``, ``"L"`` (gray) or ``"RGBA"`` with 8 bits each, ``"I;16"`` (16-bit gray with unchanged
        values), ``"unchanged"`` (channels and dtype of the files), or ``"auto"`` (`bitesize.open` chooses ``"RGB"`` or ``"unchanged"``).
    orient
        Whether the image is rotated upright by its EXIF orientation.
    pixels
        Channels and dtype of all images, for ``mode="unchanged"``: those of the first one, which `bitesize.open` fills in. Other modes
        have their own.
    bands
        Whether four channels of 8 bits are bands, all alike, rather than colors with alpha: of ``mode="unchanged"`` only.

    Raises
    ------
    BadSetting
        If there is no such mode.

    Examples
    --------
    >>> import bitesize as bs
    >>> image = bs.Encoded(mode="L")
    >>> image.channels, image.dtype
    (1, dtype('uint8'))
    """

    kind: Literal["image", "mask"] = "image"
    mode: Mode = "RGB"
    orient: bool = True
    pixels: Pixels | None = None
    bands: bool = False

    def __post_init__(self) -> None:
        check_mode(self.mode)
        if self.mode in PIXELS:
            object.__setattr__(self, "pixels", PIXELS[self.mode])
        elif self.pixels is not None:
            object.__setattr__(self, "pixels", Pixels(int(self.pixels[0]), np.dtype(self.pixels[1])))

    @property
    def channels(self) -> int:
        """Number of channels of the decoded image."""
        return self._known.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the decoded values."""
        return self._known.dtype

    @property
    def _known(self) -> Pixels:
        if self.pixels is None:
            raise BadSetting(
                f"mode={self.mode!r}: the channels of these images are not known yet: bs.open reads them from the first image"
            )
        return self.pixels

    def __str__(self) -> str:
        what = f"{self.mode}, {self.pixels}" if self.mode == "unchanged" and self.pixels else self.mode
        return f"{self.kind} ({what})"


Spec = Mapping[str, Field | Encoded]


def check_mode(mode: object) -> None:
    """Raise `BadSetting` if there is no such mode of images."""
    if mode not in get_args(Mode):
        raise BadSetting(f'mode must be "auto", "RGB", "L", "RGBA", "I;16" or "unchanged", not {mode!r}')


def check_pages(pages: object) -> None:
    """Raise `BadSetting` if there is no such meaning of the pages of a TIFF."""
    if pages is not None and pages not in get_args(Pages):
        raise BadSetting(f'pages must be "first", "channels", "depth" or "rows", not {pages!r}')


def check_axes(axes: object, count: int | None = None) -> None:
    """Raise `BadSetting` if there are no such axes, or if rows have another number of axes."""
    if axes not in AXES:
        raise BadSetting(f"axes must be {', '.join(map(repr, AXES))}, not {axes!r}")
    if count is not None and count != len(str(axes)):
        raise BadSetting(f"axes={axes!r} is for rows with {len(str(axes))} axes, but the rows have {count}")


def image_channels(shape: Sequence[int]) -> int | None:
    """Return the number of channels of rows that are images, or None if the rows are not images or may not be images.

    Rows of shape (height, width) have one channel. Rows with three axes have the channels last, up to `MOST_CHANNELS`. If the
    last two axes have the same length, the rows may also be volumes (depth, height, width). If the first axis is short enough
    for channels, the channels may also come first.

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


def axes_of_rows(field: Field) -> str:
    """Return what the axes of a field's rows are: as the field says, or as its shape shows; empty for rows that are not images or volumes.

    Rows with four axes are volumes with the channels last, under the same conditions as for `image_channels`.

    Examples
    --------
    >>> [axes_of_rows(Field(shape, np.uint8)) for shape in ((28, 28), (20, 24, 10), (16, 20, 24, 2), (16, 20, 64), (100,))]
    ['HW', 'HWC', 'DHWC', '', '']
    >>> axes_of_rows(Field((16, 20, 24), np.uint8, axes="DHW"))
    'DHW'
    """
    if field.axes:
        return field.axes
    if len(field.shape) == 4:
        known = image_channels(field.shape[1:]) is not None or field.shape[3] == 2
        return "DHWC" if known and not channels_seem_first(field.shape) else ""
    return "" if image_channels(field.shape) is None else "HW" if len(field.shape) == 2 else "HWC"


def image_field(shape: Sequence[int], dtype: np.dtype[Any], bands: bool = False) -> Field:
    """Return the field of decoded images, (height, width, channels), which says its axes where the shape does not show them.

    Examples
    --------
    >>> image_field((20, 24, 3), np.dtype(np.uint8)).axes, image_field((20, 24, 40), np.dtype(np.uint8)).axes
    ('', 'HWC')
    """
    field = Field(tuple(shape), dtype, bands=bands)
    return field if axes_of_rows(field) == "HWC" else replace(field, axes="HWC")


def is_volume(field: Field | Encoded) -> bool:
    """Return whether rows have a depth."""
    return isinstance(field, Field) and axes_of_rows(field).startswith("D")


def field_channels(field: Field) -> int | None:
    """Return the number of channels of rows that are images or volumes, or None if they are not, or may not be."""
    axes = axes_of_rows(field)
    return (field.shape[-1] if axes.endswith("C") else 1) if axes else None


def has_alpha(stored: Field | Encoded) -> bool:
    """Return whether the last of four channels is alpha, unless transforms say otherwise: of 8-bit images that are not bands."""
    channels = stored.channels if isinstance(stored, Encoded) else field_channels(stored)
    return channels == 4 and stored.dtype == np.uint8 and not is_volume(stored) and not stored.bands


def channels_seem_first(shape: Sequence[int]) -> bool:
    """Return whether the first of three or four axes is short enough for channels, and the other axes are not."""
    return len(shape) in (3, 4) and shape[0] in (1, 3, 4) and min(shape[1:]) > 4


def one_channel_reason(field: Field) -> str:
    """Return why rows with three or four axes are treated as one channel, as a sentence; "" if their channels are known.

    Examples
    --------
    >>> one_channel_reason(Field((3, 64, 64), np.uint8))
    'channels seem to come first in rows of (3, 64, 64), which count as one channel'
    >>> one_channel_reason(Field((64, 64, 3), np.uint8))
    ''
    """
    shape = field.shape
    if len(shape) not in (3, 4) or shape[0] == 1 or axes_of_rows(field):
        return ""
    why = "channels seem to come first" if channels_seem_first(shape) else "it is not clear which axis is the channels"
    return f"{why} in rows of {shape}, which count as one channel"


# How rows of `one_channel_reason` get a mean and deviation for each channel.
CHANNELS_LAST = "axes=, or np.moveaxis(x, 1, -1) before saving, which puts channels last"
