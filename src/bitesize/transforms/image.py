"""What can be done to an image on its way into a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bitesize.errors import BadSetting
from bitesize.transforms.base import Size, Transform
from bitesize.transforms.view import View

# Mean and deviation of ImageNet's channels, for pixels of 0 to 1: what models trained on it expect.
_NAMED = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


@dataclass(frozen=True)
class Resize(Transform):
    """Resize to a fixed size, antialiased, without keeping the aspect ratio.

    Parameters
    ----------
    height
        Height in pixels, or (height, width).
    width
        Width in pixels; the height where not given.
    interpolation
        ``"bilinear"`` or ``"bicubic"``, both widened when shrinking, as Pillow does it.

    Examples
    --------
    >>> Resize(224).size((500, 375))
    (224, 224)
    """

    height: int | tuple[int, int]
    width: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    pictorial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.height, tuple):
            if self.width is not None or len(self.height) != 2:
                raise BadSetting(f"Resize takes a size, or a height and a width, not {self.height!r} and {self.width!r}")
            object.__setattr__(self, "width", self.height[1])
            object.__setattr__(self, "height", self.height[0])
        if self.width is None:
            object.__setattr__(self, "width", self.height)
        check_size("Resize", self._height, self._width)
        object.__setattr__(self, "height", int(self._height))
        object.__setattr__(self, "width", int(self._width))
        _check_interpolation("Resize", self.interpolation)

    @property
    def _height(self) -> int:
        return self.height  # type: ignore[return-value]

    @property
    def _width(self) -> int:
        return self.width  # type: ignore[return-value]

    def size(self, size: Size | None) -> Size:
        """Tell the size given."""
        return self._height, self._width

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Rescale."""
        view.rescale(self._width, self._height)
        view.bicubic = self.interpolation == "bicubic"


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """Cut out a random part and resize it: the usual augmentation for training from scratch.

    Parameters
    ----------
    height, width
        Size of the result in pixels; the width is the height where not given.
    scale
        Least and greatest share of the image's area, within (0, 1].
    ratio
        Least and greatest aspect ratio of the part, width to height, drawn evenly in its logarithm.
    interpolation
        As `Resize`.
    """

    height: int
    width: int | None = None
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    draws: ClassVar[int] = 4
    pictorial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.width is None:
            object.__setattr__(self, "width", self.height)
        assert self.width is not None
        check_size("RandomResizedCrop", self.height, self.width)
        _check_interpolation("RandomResizedCrop", self.interpolation)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise BadSetting(f"RandomResizedCrop: scale must be two shares of the area within (0, 1], not {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise BadSetting(f"RandomResizedCrop: ratio must be two positive numbers in order, not {self.ratio}")

    def size(self, size: Size | None) -> Size:
        """Tell the size given."""
        assert self.width is not None
        return self.height, self.width

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Crop, then rescale."""
        assert self.width is not None
        area = view.width * view.height * (self.scale[0] + u[0] * (self.scale[1] - self.scale[0]))
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = math.exp(low + u[1] * (high - low))
        # A part that would stick out is made as wide or high as the image: no second draw, so draws stay countable.
        width = min(math.sqrt(area * ratio), view.width)
        height = min(math.sqrt(area / ratio), view.height)
        view.crop(u[2] * (view.width - width), u[3] * (view.height - height), width, height)
        view.rescale(self.width, self.height)
        view.bicubic = self.interpolation == "bicubic"


@dataclass(frozen=True)
class Flip(Transform):
    """Flip at random.

    Parameters
    ----------
    horizontal, vertical
        Probability of swapping left and right, and top and bottom, within 0 to 1.
    """

    horizontal: float = 0.5
    vertical: float = 0.0
    draws: ClassVar[int] = 2
    pictorial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("horizontal", "vertical"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadSetting(f"Flip: {name} is a probability within 0 to 1, not {getattr(self, name)}")

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Mirror, upend, both or neither."""
        if u[0] < self.horizontal:
            view.mirror()
        if u[1] < self.vertical:
            view.upend()


@dataclass(frozen=True)
class Normalize(Transform):
    """Subtract a mean and divide by a deviation, per channel; the result is float32.

    Parameters
    ----------
    mean
        ``"imagenet"``, one number, or one a channel. For 8-bit data both are meant for values of 0 to 1, as is usual;
        floats are taken as they are.
    std
        The deviation, one number or one a channel; not with a name.
    """

    mean: str | float | tuple[float, ...]
    std: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.mean, str):
            if self.mean not in _NAMED or self.std is not None:
                raise BadSetting(f'Normalize takes "imagenet", or a mean and a std, not {self.mean!r} and {self.std!r}')
            return
        if self.std is None:
            raise BadSetting("Normalize needs a std beside the mean")
        for name in ("mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, int | float):
                object.__setattr__(self, name, tuple(float(v) for v in value))
        mean, std = self._channels(1)
        if not all(map(math.isfinite, (*mean, *std))) or any(s <= 0 for s in std):
            raise BadSetting(f"Normalize: mean must be numbers and std positive ones, not {self.mean} and {self.std}")

    def _channels(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if isinstance(self.mean, str):
            return _NAMED[self.mean]
        assert self.std is not None
        for given in (self.mean, self.std):
            channels = len(given) if isinstance(given, tuple) else channels
        mean = self.mean if isinstance(self.mean, tuple) else (float(self.mean),) * channels
        std = self.std if isinstance(self.std, tuple) else (float(self.std),) * channels
        return mean, std

    def check(self, channels: int) -> None:
        """Compare the numbers of channels; a fourth channel, alpha, stays as it is."""
        mean, std = self._channels(min(channels, 3))
        if len(mean) != len(std) or len(mean) != min(channels, 3):
            raise BadSetting(f"Normalize has {len(mean)} means and {len(std)} deviations for {channels} channels")

    def dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Tell float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Multiply and add per channel; a fourth channel comes to 0 to 1."""
        mean, std = self._channels(1)
        view.per_channel([1 / (view.whole * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)])
        view.alpha /= view.whole
        view.whole = 1.0


@dataclass(frozen=True)
class Scale(Transform):
    """Multiply all values; ``Scale(1 / 255)`` brings 8-bit data to 0 to 1. The result is float32.

    Parameters
    ----------
    factor
        Any number but 0.
    offset
        Added afterwards.
    """

    factor: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.factor == 0 or not math.isfinite(self.factor) or not math.isfinite(self.offset):
            raise BadSetting(f"Scale needs a factor other than 0 and an offset, not {self.factor} and {self.offset}")

    def dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Tell float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Multiply and add, a fourth channel too."""
        view.per_channel((self.factor,), (self.offset,))
        view.alpha *= self.factor
        view.whole = 1.0


@dataclass(frozen=True)
class Colour(Transform):
    """Mix colours by a matrix; the result is float32.

    Parameters
    ----------
    matrix
        12 numbers, row by row: ``out[i] = m[i, 0] * red + m[i, 1] * green + m[i, 2] * blue + m[i, 3]``, on values as they
        are (0 to 255 for 8-bit images).
    """

    matrix: tuple[float, ...]
    pictorial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", tuple(float(value) for value in self.matrix))
        if len(self.matrix) != 12:
            raise BadSetting(f"Colour needs a matrix of 3 x 4 numbers, not {len(self.matrix)}")

    def check(self, channels: int) -> None:
        """Demand colours."""
        if channels < 3:
            raise BadSetting(f"Colour needs images with red, green and blue, not {channels} channel")

    def dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Tell float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Compose with the colour matrix."""
        view.paint(self.matrix)
        view.whole = 1.0


def check_size(what: str, height: object, width: object) -> None:
    """Raise `BadSetting` unless both are whole numbers of at least 1."""
    for side in (height, width):
        if isinstance(side, bool) or not isinstance(side, int | np.integer) or not 1 <= side <= 65_535:
            raise BadSetting(f"{what}: a side must be a whole number of 1 to 65535 pixels, not {side!r}")


def _check_interpolation(what: str, interpolation: str) -> None:
    if interpolation not in ("bilinear", "bicubic"):
        raise BadSetting(f'{what}: interpolation is "bilinear" or "bicubic", not {interpolation!r}')
