"""Geometric transforms: flip, rotate, shear, translate, zoom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.transforms.base import Padded, Size, Transform, between, probability_setting, range_setting
from bitesize.transforms.view import View
from bitesize.transforms.volume import VolumeView


@dataclass(frozen=True, repr=False)
class Flip(Transform):
    """Flip at random.

    Parameters
    ----------
    horizontal, vertical
        Probability of swapping left and right, and top and bottom, from 0 to 1.
    depth
        For volumes, probability of swapping front and back.

    Raises
    ------
    BadSetting
        If a probability is not from 0 to 1. A loader raises it if rows are not images or volumes, or if ``depth`` is not 0 for images.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Flip(1.0)]) as loader:
    ...     next(iter(loader))["x"][0, :, :, 0].tolist()
    [[2, 1, 0], [5, 4, 3]]
    """

    horizontal: float = 0.5
    vertical: float = 0.0
    depth: float = 0.0
    whole_pixels: ClassVar[bool] = True
    random_count: ClassVar[int] = 2
    needs_image: ClassVar[bool] = True
    moves_voxels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("horizontal", "vertical", "depth"):
            probability_setting("Flip", name, getattr(self, name))
        if self.depth:
            object.__setattr__(self, "random_count", 3)

    def for_rows(self, volumes: bool) -> Transform:
        """Return the step, if it does not flip the depth of images."""
        if self.depth and not volumes:
            raise BadSetting(
                f"Flip: depth={self.depth} is for volumes (depth, height, width), but rows are images: leave it out, or open rows with "
                'three axes with axes="DHW"'
            )
        return self

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Flip horizontally, vertically, in depth, or not."""
        if isinstance(view, VolumeView) and self.depth and u[2] < self.depth:
            view.mirror_depth()
        if u[0] < self.horizontal:
            view.mirror()
        if u[1] < self.vertical:
            view.upend()


@dataclass(frozen=True, repr=False)
class Rotate90(Transform):
    """Rotate by a random multiple of 90 degrees, counter-clockwise; volumes in the plane of height and width.

    Parameters
    ----------
    quarters
        Multiples to choose from, each 0 to 3. Odd multiples swap height and width.

    Raises
    ------
    BadSetting
        If ``quarters`` are not numbers from 0 to 3. A loader raises it if rows are not images.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Rotate90((1,))]) as loader:
    ...     next(iter(loader))["x"][0, :, :, 0].tolist()
    [[2, 5], [1, 4], [0, 3]]
    """

    quarters: tuple[int, ...] = (0, 1, 2, 3)
    whole_pixels: ClassVar[bool] = True
    random_count: ClassVar[int] = 1
    needs_image: ClassVar[bool] = True
    moves_voxels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.quarters if isinstance(self.quarters, tuple | list) else (self.quarters,)
        if not given or not all(is_whole(k, 0, 3) for k in given):
            raise BadSetting(f"Rotate90: quarters must be numbers from 0 to 3, not {self.quarters!r}")
        object.__setattr__(self, "quarters", tuple(map(int, given)))

    def size_after(self, size: Size | None) -> Size | None:
        """Return the size, which differs between rows if some are rotated by 90 degrees and are not square."""
        if size is None or size[0] == size[1]:
            return size
        sideways = {k % 2 for k in self.quarters}
        return None if len(sideways) == 2 else size[::-1] if sideways == {1} else size

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Turn."""
        view.turn(self.quarters[int(u[0] * len(self.quarters))])


@dataclass(frozen=True, repr=False)
class Rotate(Padded):
    """Rotate by a random angle around the center; the size is unchanged.

    Parameters
    ----------
    degrees
        Largest angle in either direction, or (least, greatest), counter-clockwise.
    fill, mask_fill
        Values where the image does not reach.

    Raises
    ------
    BadSetting
        If an angle is not from -360 to 360, or another setting is not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Rotate((90, 90))]) as loader:
    ...     next(iter(loader))["x"][0, :, :, 0].tolist()
    [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    """

    degrees: float | tuple[float, float]
    random_count: ClassVar[int] = 1
    non_axis_aligned: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._bounds  # checked when created

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        return range_setting("Rotate", "degrees", self.degrees, -360, 360, 0)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Turn."""
        angle = math.radians(between(u[0], self._bounds))
        cos, sin = math.cos(angle), math.sin(angle)
        view.bend(cos, sin, -sin, cos)


@dataclass(frozen=True, repr=False)
class Shear(Padded):
    """Shear by a random angle around the center; the size is unchanged.

    Parameters
    ----------
    x, y
        Largest angle in degrees in either direction, or (least, greatest), below 90: of vertical and of horizontal lines.
    fill, mask_fill
        Values where the image does not reach.

    Raises
    ------
    BadSetting
        If angles are not below 90 degrees together, or another setting is not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.full((1, 3, 3, 1), 9, np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Shear((45, 45))]) as loader:
    ...     next(iter(loader))["x"].shape
    (1, 3, 3, 1)
    """

    x: float | tuple[float, float]
    y: float | tuple[float, float] = 0.0
    random_count: ClassVar[int] = 2
    non_axis_aligned: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(max(map(abs, bounds)) for bounds in self._bounds) >= 90:
            raise BadSetting(f"Shear: x and y must stay below 90 degrees together, not {self.x} and {self.y}")

    @cached_property
    def _bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return range_setting("Shear", "x", self.x, -89, 89, 0), range_setting("Shear", "y", self.y, -89, 89, 0)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Slant."""
        x, y = self._bounds
        view.bend(1.0, math.tan(math.radians(between(u[0], x))), math.tan(math.radians(between(u[1], y))), 1.0)


@dataclass(frozen=True, repr=False)
class Translate(Padded):
    """Translate at random; the size is unchanged.

    Parameters
    ----------
    x, y
        Largest shift in either direction, or (least, greatest), as a fraction of width and height from -1 to 1; to the
        right, and down.
    fill, mask_fill
        Values where the image does not reach.

    Raises
    ------
    BadSetting
        If a shift is not from -1 to 1, or another setting is not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Translate((1 / 3, 1 / 3), 0, fill=9)]) as loader:
    ...     next(iter(loader))["x"][0, :, :, 0].tolist()
    [[9, 0, 1], [9, 3, 4]]
    """

    x: float | tuple[float, float] = 0.1
    y: float | tuple[float, float] = 0.1
    random_count: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._bounds  # checked when created

    @cached_property
    def _bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return range_setting("Translate", "x", self.x, -1, 1, 0), range_setting("Translate", "y", self.y, -1, 1, 0)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Move."""
        x, y = self._bounds
        view.move(between(u[0], x) * view.width, between(u[1], y) * view.height)


@dataclass(frozen=True, repr=False)
class Zoom(Padded):
    """Enlarge or shrink at random around the center; the output size is unchanged.

    Parameters
    ----------
    factor
        Largest deviation from 1, or (least, greatest); above 1 the image is enlarged and its edges are cut off.
    fill, mask_fill
        Values where the image does not reach.

    Raises
    ------
    BadSetting
        If a factor is not from 0.01 to 100, or another setting is not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.full((1, 4, 4, 1), 8, np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Zoom((0.5, 0.5))]) as loader:
    ...     next(iter(loader))["x"][0, :, :, 0].tolist()
    [[0, 0, 0, 0], [0, 8, 8, 0], [0, 8, 8, 0], [0, 0, 0, 0]]
    """

    factor: float | tuple[float, float] = 0.2
    random_count: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._bounds  # checked when created

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        return range_setting("Zoom", "factor", self.factor, 0.01, 100, 1)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Zoom; log-uniformly, so that doubling and halving are equally likely."""
        low, high = self._bounds
        factor = low * (high / low) ** u[0]
        view.bend(factor, 0.0, 0.0, factor)
