"""Erase a part of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from bitesize.transforms.base import (
    Transform,
    as_color,
    between,
    check_color,
    color_setting,
    probability_setting,
    range_setting,
)
from bitesize.transforms.view import Color, View


@dataclass(frozen=True, repr=False)
class Cutout(Transform):
    """Fill a random rectangle with one color (random erasing). A mask keeps its labels there.

    Parameters
    ----------
    scale
        Least and greatest share of the image's area.
    ratio
        Least and greatest aspect ratio of the rectangle, width to height, log-uniformly distributed.
    p
        Probability, from 0 to 1.
    fill
        Color: one value or one per channel, in the units at this point of the pipeline. After `Normalize`, 0 is the mean.

    Raises
    ------
    BadSetting
        If a setting is not valid. A loader raises it if rows are not images, or the color does not match their channels.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.ones((1, 4, 4, 1), np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Cutout((0.25, 0.25), (1.0, 1.0), p=1.0)]) as loader:
    ...     int(next(iter(loader))["x"].sum())
    12
    """

    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    p: float = 0.5
    fill: float | tuple[float, ...] = 0.0
    whole_pixels: ClassVar[bool] = True
    random_count: ClassVar[int] = 5
    needs_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", range_setting("Cutout", "scale", self.scale, 0, 1, None))
        object.__setattr__(self, "ratio", range_setting("Cutout", "ratio", self.ratio, 1e-3, 1e3, None))
        object.__setattr__(self, "fill", color_setting("Cutout", self.fill))
        probability_setting("Cutout", "p", self.p)

    def check(self, channels: int) -> None:
        """Check the number of fill values against the channels."""
        check_color("Cutout", self.fill, channels)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Erase, at whole pixels."""
        if u[0] >= self.p:
            return
        area = view.width * view.height * between(u[1], self.scale)
        ratio = math.exp(between(u[2], self._log_ratio))
        width = round(min(math.sqrt(area * ratio), view.width))
        height = round(min(math.sqrt(area / ratio), view.height))
        left, top = math.floor(u[3] * (view.width - width + 1)), math.floor(u[4] * (view.height - height + 1))
        view.erase(left, top, width, height, self._color)

    @cached_property
    def _color(self) -> Color:
        return as_color(self.fill)

    @cached_property
    def _log_ratio(self) -> tuple[float, float]:
        return math.log(self.ratio[0]), math.log(self.ratio[1])
