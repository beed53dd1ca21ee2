"""What a row is made of: fields of fixed size, encoded images, and the batch that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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


_NO_ROWS, _NO_MASK = np.empty(0, np.int64), np.empty(0, np.bool_)


class Batch(dict[str, NDArray[Any]]):
    """The arrays of one batch by field name, and which rows they are.

    The arrays are views on memory of the loader. They stay valid for as long as they are referenced; while they are,
    the loader cannot reuse that memory. Copy what is to be kept.

    Attributes
    ----------
    rows : ndarray of int64, shape (batch,)
        Row numbers in the source.
    position : int
        Position in the epoch's order of the batch's first row (of the global batch when sharded).
    epoch : int
        The epoch that the batch belongs to, from 0.
    mask : ndarray of bool, shape (batch,)
        False where a row is padding or could not be read.
    weight : float
        What makes a mean over ranks a mean over rows; 1.0 on a single rank.

    Notes
    -----
    Frameworks that move a batch make another of its type from the arrays alone. That one knows no rows and no mask (both
    are empty), and its epoch and position are -1.
    """

    __slots__ = ("epoch", "mask", "position", "rows", "weight")

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        rows: NDArray[np.int64] = _NO_ROWS,
        mask: NDArray[np.bool_] = _NO_MASK,
        epoch: int = -1,
        position: int = -1,
        weight: float = 1.0,
    ) -> None:
        super().__init__(arrays)
        self.rows = rows
        self.mask = mask
        self.epoch = epoch
        self.position = position
        self.weight = weight

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {array.shape} {array.dtype}" for name, array in self.items())
        return f"Batch({{{fields}}}, epoch={self.epoch}, position={self.position})"


class UnevenBatch(Batch):
    """A batch whose weight matters, because ranks have different numbers of rows: one that a framework made anew knows none.

    Raises
    ------
    BadSetting
        When the weight is asked for, and a framework has made the batch from the arrays alone.
    """

    __slots__ = ("_weight",)

    def __init__(self, arrays: Mapping[str, NDArray[Any]], *, weight: float | None = None, **places: Any) -> None:
        super().__init__(arrays, **places)
        self._weight = weight

    @property
    def weight(self) -> float:
        """What makes a mean over ranks a mean over rows."""
        if self._weight is None:
            raise BadSetting(
                "this batch was made anew by the framework that moved it, and does not know its weight, which differs from rank to "
                'rank here: make all shares even, by a batch_size that is a multiple of the number of ranks and last="drop"'
            )
        return self._weight

    @weight.setter
    def weight(self, weight: float | None) -> None:
        self._weight = weight
