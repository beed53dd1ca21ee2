"""Size transforms: resizing and cropping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.transforms.base import (
    KINDS,
    Interpolation,
    Padded,
    Sides,
    Size,
    Transform,
    between,
    both_sides,
    interpolation_setting,
    range_setting,
    size_setting,
)
from bitesize.transforms.view import View
from bitesize.transforms.volume import VolumeView

_MODES = ("stretch", "cover", "pad", "shorter")


@dataclass(frozen=True, repr=False)
class _Sized(Transform):
    """Step that sets the size of rows: a side in pixels, (height, width), or for volumes (depth, height, width)."""

    size: Sides
    needs_image: ClassVar[bool] = True
    moves_voxels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", size_setting(type(self).__name__, self.size, self.moves_voxels))

    def size_after(self, size: Size | None) -> Size | None:
        """Return the size."""
        return self._sides

    def depth_after(self, depth: int) -> int:
        """Return the depth of the size."""
        return self._depth or depth

    def for_rows(self, volumes: bool) -> Transform:
        """Return the step with three sides for volumes, and check that it has two for images."""
        super().for_rows(volumes)
        name = type(self).__name__
        if not volumes:
            if self._depth is not None:
                raise BadSetting(
                    f"{name}({self.size}) is for volumes (depth, height, width), but rows are images: pass (height, width), or open rows with "
                    'three axes with axes="DHW"'
                )
            return self
        if self._depth is None and isinstance(self.size, tuple):
            raise BadSetting(f"{name}: rows are volumes: pass one side, or (depth, height, width), not {self.size}")
        return self if self._depth is not None else replace(self, size=(self.size,) * 3)  # type: ignore[arg-type]

    @cached_property
    def _sides(self) -> Size:
        return both_sides(self.size)

    @cached_property
    def _depth(self) -> int | None:
        return self.size[0] if isinstance(self.size, tuple) and len(self.size) == 3 else None


@dataclass(frozen=True, repr=False)
class Resize(_Sized, Padded):
    """Resize with antialiasing.

    Parameters
    ----------
    size
        A side in pixels, or (height, width); for volumes, a side or (depth, height, width).
    mode
        Treatment of another aspect ratio:

        - ``"stretch"``: stretch the image;
        - ``"cover"``: keep the ratio and cover the size; both ends are cut off equally;
        - ``"pad"``: keep the ratio and fit into the size; the rest is filled with ``fill``;
        - ``"shorter"``: the shorter side becomes ``size``. Rows then differ in size: a crop must follow.
    interpolation
        ``"bilinear"`` or ``"bicubic"``, both antialiased when shrinking, as in Pillow; or ``"nearest"``.
    fill, mask_fill
        With ``"pad"``, the values around the image and around its mask.

    Raises
    ------
    BadSetting
        If a setting is not valid, or ``mode="shorter"`` is combined with (height, width).

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
            raise BadSetting(f"Resize: mode must be {', '.join(map(repr, _MODES))}, not {self.mode!r}")
        if self.mode == "shorter" and isinstance(self.size, tuple):
            raise BadSetting(f'Resize: mode="shorter" takes one side in pixels, not {self.size}')
        interpolation_setting("Resize", self.interpolation)

    @property
    def shows_surroundings(self) -> bool:
        """Return whether the image is padded."""
        return self.mode == "pad"

    def size_after(self, size: Size | None) -> Size | None:
        """Return the size; None with ``"shorter"``, because rows differ."""
        return None if self.mode == "shorter" else self._sides

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Rescale, then crop or pad."""
        view.kind = KINDS[self.interpolation]
        height, width = self._sides
        if isinstance(view, VolumeView):
            self._resize_volume(view)
            return
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

    def for_rows(self, volumes: bool) -> Transform:
        """Return the step for volumes, which have no shorter side."""
        if volumes and self.mode == "shorter":
            raise BadSetting('Resize: mode="shorter" is for images, but rows are volumes: use another mode, or a crop')
        return super().for_rows(volumes)

    def _resize_volume(self, view: VolumeView) -> None:
        assert self._depth is not None
        sizes, sides = (view.depth, view.height, view.width), (self._depth, *self._sides)
        if self.mode == "stretch":
            depth, height, width = sides
        else:
            choose = max if self.mode == "cover" else min
            scale = choose(side / size for side, size in zip(sides, sizes, strict=True))
            depth, height, width = (max(1, round(size * scale)) for size in sizes)
        view.rescale(width, height)
        view.rescale_depth(depth)
        front, top, left = ((size - side) // 2 for size, side in zip((depth, height, width), sides, strict=True))
        view.crop(left, top, sides[2], sides[1])
        view.crop_depth(front, sides[0])

    def _to_shorter(self, height: float, width: float) -> Size:
        side = self._sides[0]
        # The longer side is rounded down, as in torchvision.
        return (side, max(1, int(side * width / height))) if height <= width else (max(1, int(side * height / width)), side)


@dataclass(frozen=True, repr=False)
class CenterCrop(_Sized, Padded):
    """Crop the center.

    Parameters
    ----------
    size
        A side in pixels, or (height, width); for volumes, a side or (depth, height, width).
    fill, mask_fill
        Values around a smaller image, and around its mask.

    Raises
    ------
    BadSetting
        If a setting is not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.CenterCrop(2)]) as loader:
    ...     next(iter(loader))["x"][0, :, :, 0].tolist()
    [[5, 6], [9, 10]]
    """

    whole_pixels: ClassVar[bool] = True

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Crop, at whole pixels."""
        height, width = self._sides
        view.crop(math.floor((view.width - width) / 2), math.floor((view.height - height) / 2), width, height)
        if isinstance(view, VolumeView):
            assert self._depth is not None
            view.crop_depth(math.floor((view.depth - self._depth) / 2), self._depth)


@dataclass(frozen=True, repr=False)
class RandomCrop(_Sized, Padded):
    """Crop at a random position.

    Parameters
    ----------
    size
        A side in pixels, or (height, width); for volumes, a side or (depth, height, width).
    padding
        Number of pixels by which the crop may extend beyond each edge of the image.
    fill, mask_fill
        Values beyond the edges, and around an image that is smaller than the crop.

    Raises
    ------
    BadSetting
        If a setting is not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.ones((1, 4, 4, 3), np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.RandomCrop((2, 3))]) as loader:
    ...     next(iter(loader))["x"].shape
    (1, 2, 3, 3)
    """

    padding: int = 0
    whole_pixels: ClassVar[bool] = True
    random_count: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_whole(self.padding, least=0):
            raise BadSetting(f"RandomCrop: padding must be a number of pixels, at least 0, not {self.padding!r}")
        object.__setattr__(self, "padding", int(self.padding))
        if self._depth is not None:
            object.__setattr__(self, "random_count", 3)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Crop, at whole pixels."""
        height, width = self._sides
        view.crop(self._begin(view.width, width, u[0]), self._begin(view.height, height, u[1]), width, height)
        if isinstance(view, VolumeView):
            assert self._depth is not None
            view.crop_depth(self._begin(view.depth, self._depth, u[2]), self._depth)

    def _begin(self, side: float, part: int, u: float) -> int:
        room = math.floor(side) - part + 2 * self.padding
        return math.floor(u * (room + 1)) - self.padding if room >= 0 else math.floor((side - part) / 2)


@dataclass(frozen=True, repr=False)
class RandomResizedCrop(_Sized):
    """Crop a random part and resize it: the usual augmentation for training from scratch.

    Parameters
    ----------
    size
        Size of the result: a side in pixels, or (height, width).
    scale
        Least and greatest share of the image's area, within (0, 1].
    ratio
        Least and greatest aspect ratio of the part, width to height, log-uniformly distributed.
    interpolation
        As in `Resize`.

    Raises
    ------
    BadSetting
        If a setting is not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.ones((1, 40, 60, 3), np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.RandomResizedCrop(24, scale=(0.3, 1.0))]) as loader:
    ...     next(iter(loader))["x"].shape
    (1, 24, 24, 3)
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"
    random_count: ClassVar[int] = 4
    moves_voxels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", range_setting("RandomResizedCrop", "scale", self.scale, 1e-6, 1, None))
        object.__setattr__(self, "ratio", range_setting("RandomResizedCrop", "ratio", self.ratio, 1e-3, 1e3, None))
        interpolation_setting("RandomResizedCrop", self.interpolation)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Crop, then rescale."""
        area = view.width * view.height * between(u[0], self.scale)
        ratio = math.exp(between(u[1], self._log_ratio))
        # A part larger than the image is limited to it: without resampling, the number of random numbers is fixed.
        width = min(math.sqrt(area * ratio), view.width)
        height = min(math.sqrt(area / ratio), view.height)
        view.crop(u[2] * (view.width - width), u[3] * (view.height - height), width, height)
        view.rescale(self._sides[1], self._sides[0])
        view.kind = KINDS[self.interpolation]

    @cached_property
    def _log_ratio(self) -> tuple[float, float]:
        return math.log(self.ratio[0]), math.log(self.ratio[1])
