"""Size: resizing and cropping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from bitesize.errors import BadSetting
from bitesize.transforms.base import (
    KINDS,
    Interpolation,
    Padded,
    Size,
    Transform,
    between,
    both_sides,
    interpolation_setting,
    range_setting,
    size_setting,
)
from bitesize.transforms.view import View

_MODES = ("stretch", "cover", "pad", "shorter")


@dataclass(frozen=True, repr=False)
class _Sized(Transform):
    """A step that gives rows a size: a side in pixels, or (height, width)."""

    size: int | Size
    needs_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", size_setting(type(self).__name__, self.size))

    def size_after(self, size: Size | None) -> Size | None:
        """Tell the size given."""
        return self._sides

    @cached_property
    def _sides(self) -> Size:
        return both_sides(self.size)


@dataclass(frozen=True, repr=False)
class Resize(_Sized, Padded):
    """Resize, antialiased.

    Parameters
    ----------
    size
        A side in pixels, or (height, width).
    mode
        What becomes of another aspect ratio:

        - ``"stretch"``: the image is stretched;
        - ``"cover"``: it keeps its ratio and covers the size; what sticks out at both ends is cut off;
        - ``"pad"``: it keeps its ratio and fits into the size; the rest shows ``fill``;
        - ``"shorter"``: its shorter side becomes ``size``. Rows then differ in size: a crop must follow.
    interpolation
        ``"bilinear"`` or ``"bicubic"``, both widened when shrinking, as Pillow does it; or ``"nearest"``.
    fill, mask_fill
        With ``"pad"``, what surrounds the image and its mask.

    Examples
    --------
    >>> Resize(224)
    Resize(224)
    >>> Resize((224, 320), "pad", fill=127.5)
    Resize((224, 320), mode='pad', fill=127.5)
    """

    mode: Literal["stretch", "cover", "pad", "shorter"] = "stretch"
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in _MODES:
            raise BadSetting(f"Resize: mode is {', '.join(map(repr, _MODES))}, not {self.mode!r}")
        if self.mode == "shorter" and isinstance(self.size, tuple):
            raise BadSetting(f'Resize: mode="shorter" takes one side in pixels, not {self.size}')
        interpolation_setting("Resize", self.interpolation)

    @property
    def shows_surroundings(self) -> bool:
        """Whether it pads."""
        return self.mode == "pad"

    def size_after(self, size: Size | None) -> Size | None:
        """Tell the size given; with ``"shorter"`` rows differ."""
        return None if self.mode == "shorter" else self._sides

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Rescale, then cut off or pad."""
        view.kind = KINDS[self.interpolation]
        height, width = self._sides
        if self.mode == "stretch":
            view.rescale(width, height)
            return
        if self.mode == "shorter":
            height, width = self._to_shorter(view.height, view.width)
            view.rescale(width, height)
            return
        choose = max if self.mode == "cover" else min
        scale = choose(width / view.width, height / view.height)
        inner_w, inner_h = max(1, round(view.width * scale)), max(1, round(view.height * scale))
        view.rescale(inner_w, inner_h)
        view.crop((inner_w - width) // 2, (inner_h - height) // 2, width, height)

    def _to_shorter(self, height: float, width: float) -> Size:
        side = self._sides[0]
        # The longer side is rounded down, as torchvision does it.
        return (side, max(1, int(side * width / height))) if height <= width else (max(1, int(side * height / width)), side)


@dataclass(frozen=True, repr=False)
class CenterCrop(_Sized, Padded):
    """Cut out the middle.

    Parameters
    ----------
    size
        A side in pixels, or (height, width).
    fill, mask_fill
        What surrounds an image, and its mask, that is smaller.
    """

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Crop, at whole pixels."""
        height, width = self._sides
        view.crop(math.floor((view.width - width) / 2), math.floor((view.height - height) / 2), width, height)


@dataclass(frozen=True, repr=False)
class RandomCrop(_Sized, Padded):
    """Cut out a part at random.

    Parameters
    ----------
    size
        A side in pixels, or (height, width).
    padding
        Pixels by which the part may reach beyond each edge of the image.
    fill, mask_fill
        What is seen there, and around an image that is smaller than the part.
    """

    padding: int = 0
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.padding, bool) or not isinstance(self.padding, int) or self.padding < 0:
            raise BadSetting(f"RandomCrop: padding is a number of pixels, at least 0, not {self.padding!r}")

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Crop, at whole pixels."""
        height, width = self._sides
        view.crop(self._begin(view.width, width, u[0]), self._begin(view.height, height, u[1]), width, height)

    def _begin(self, side: float, part: int, u: float) -> int:
        room = math.floor(side) - part + 2 * self.padding
        return math.floor(u * (room + 1)) - self.padding if room >= 0 else math.floor((side - part) / 2)


@dataclass(frozen=True, repr=False)
class RandomResizedCrop(_Sized):
    """Cut out a random part and resize it: the usual augmentation for training from scratch.

    Parameters
    ----------
    size
        Size of the result: a side in pixels, or (height, width).
    scale
        Least and greatest share of the image's area, within (0, 1].
    ratio
        Least and greatest aspect ratio of the part, width to height, drawn evenly in its logarithm.
    interpolation
        As `Resize`.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"
    draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", range_setting("RandomResizedCrop", "scale", self.scale, 1e-6, 1, None))
        object.__setattr__(self, "ratio", range_setting("RandomResizedCrop", "ratio", self.ratio, 1e-3, 1e3, None))
        interpolation_setting("RandomResizedCrop", self.interpolation)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Crop, then rescale."""
        area = view.width * view.height * between(u[0], self.scale)
        ratio = math.exp(between(u[1], self._log_ratio))
        # A part that would stick out is made as wide or high as the image: no second draw, so draws stay countable.
        width = min(math.sqrt(area * ratio), view.width)
        height = min(math.sqrt(area / ratio), view.height)
        view.crop(u[2] * (view.width - width), u[3] * (view.height - height), width, height)
        view.rescale(self._sides[1], self._sides[0])
        view.kind = KINDS[self.interpolation]

    @cached_property
    def _log_ratio(self) -> tuple[float, float]:
        return math.log(self.ratio[0]), math.log(self.ratio[1])
