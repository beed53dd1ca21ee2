"""Place and direction: flipping, turning, shearing, moving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from bitesize.errors import BadSetting
from bitesize.transforms.base import Padded, Size, Transform, between, probability_setting, range_setting
from bitesize.transforms.view import View


@dataclass(frozen=True, repr=False)
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
    needs_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("horizontal", "vertical"):
            probability_setting("Flip", name, getattr(self, name))

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Mirror, upend, both or neither."""
        if u[0] < self.horizontal:
            view.mirror()
        if u[1] < self.vertical:
            view.upend()


@dataclass(frozen=True, repr=False)
class Rotate90(Transform):
    """Turn by a random number of quarters of a circle, counter-clockwise.

    Parameters
    ----------
    quarters
        The numbers to choose from, each 0 to 3. Odd ones swap height and width.
    """

    quarters: tuple[int, ...] = (0, 1, 2, 3)
    draws: ClassVar[int] = 1
    needs_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.quarters if isinstance(self.quarters, tuple | list) else (self.quarters,)
        if not given or any(not isinstance(k, int) or isinstance(k, bool) or not 0 <= k <= 3 for k in given):
            raise BadSetting(f"Rotate90: quarters are numbers of 0 to 3, not {self.quarters!r}")
        object.__setattr__(self, "quarters", tuple(given))

    def size_after(self, size: Size | None) -> Size | None:
        """Tell the size, which differs from row to row if some are turned sideways and are not square."""
        if size is None or size[0] == size[1]:
            return size
        sideways = {k % 2 for k in self.quarters}
        return None if len(sideways) == 2 else size[::-1] if sideways == {1} else size

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Turn."""
        view.turn(self.quarters[int(u[0] * len(self.quarters))])


@dataclass(frozen=True, repr=False)
class Rotate(Padded):
    """Turn by a random angle about the center; the size stays.

    Parameters
    ----------
    degrees
        The greatest angle to either side, or (least, greatest), counter-clockwise.
    fill, mask_fill
        What is seen where the image does not reach.
    """

    degrees: float | tuple[float, float]
    draws: ClassVar[int] = 1
    non_axis_aligned: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._bounds  # checked at birth

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
    """Slant by a random angle about the center; the size stays.

    Parameters
    ----------
    x, y
        The greatest angle in degrees to either side, or (least, greatest), below 90: of upright lines, and of level ones.
    fill, mask_fill
        What is seen where the image does not reach.
    """

    x: float | tuple[float, float]
    y: float | tuple[float, float] = 0.0
    draws: ClassVar[int] = 2
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
    """Move at random; the size stays.

    Parameters
    ----------
    x, y
        The greatest shift to either side, or (least, greatest), as a share of width and height within -1 to 1; to the
        right, and down.
    fill, mask_fill
        What is seen where the image does not reach.
    """

    x: float | tuple[float, float] = 0.1
    y: float | tuple[float, float] = 0.1
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._bounds  # checked at birth

    @cached_property
    def _bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return range_setting("Translate", "x", self.x, -1, 1, 0), range_setting("Translate", "y", self.y, -1, 1, 0)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Move."""
        x, y = self._bounds
        view.move(between(u[0], x) * view.width, between(u[1], y) * view.height)


@dataclass(frozen=True, repr=False)
class Zoom(Padded):
    """Enlarge or shrink at random about the center; the size of the result stays.

    Parameters
    ----------
    factor
        The greatest deviation from 1, or (least, greatest); above 1 the image is enlarged and its edges are cut off.
    fill, mask_fill
        What is seen where the image does not reach.
    """

    factor: float | tuple[float, float] = 0.2
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._bounds  # checked at birth

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        return range_setting("Zoom", "factor", self.factor, 0.01, 100, 1)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Enlarge; evenly in the logarithm, so that twice and half are as likely."""
        low, high = self._bounds
        factor = low * (high / low) ** u[0]
        view.bend(factor, 0.0, 0.0, factor)
