"""Transforms by the stage at which they run: views of images, functions of rows, mixing of pairs, functions of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bitesize.errors import BadSetting
from bitesize.spec import Encoded, Field, image_channels
from bitesize.transforms.base import Padded, Step, Transform, as_color
from bitesize.transforms.erase import Cutout
from bitesize.transforms.map import Map
from bitesize.transforms.mix import PairMix
from bitesize.transforms.normalize import Normalize
from bitesize.transforms.view import BLACK, Color


@dataclass(frozen=True)
class TransformStages:
    """Transforms in the order in which they run. Each has its number in the list, which is part of the key of its random numbers."""

    image_transforms: tuple[Transform, ...]
    maps: tuple[tuple[int, Map], ...]
    mixes: tuple[tuple[int, PairMix], ...]
    batch_maps: tuple[tuple[int, Map], ...]

    @property
    def needs_image(self) -> bool:
        """Return whether transforms move pixels or mix colors."""
        return any(view.needs_image for view in self.image_transforms)

    @property
    def random(self) -> bool:
        """Return whether transforms use random numbers."""
        return any(view.random_count for view in self.image_transforms)

    @property
    def non_axis_aligned(self) -> bool:
        """Return whether transforms may rotate or shear images."""
        return any(view.non_axis_aligned for view in self.image_transforms)

    def spreads(self, channels: int) -> bool:
        """Return whether ``channels`` channels are independent, rather than colors or colors with alpha."""
        return channels not in (1, 3, 4) or (
            channels == 4 and any(isinstance(v, Normalize) and v.count == 4 for v in self.image_transforms)
        )

    def channels_of(self, field: Field | Encoded) -> int:
        """Return the number of channels: that of images, or the length of the last axis if `Normalize` has as many means."""
        if isinstance(field, Encoded):
            return field.channels
        counts = {view.count for view in self.image_transforms if isinstance(view, Normalize) and not view.of_data}
        if field.shape and field.shape[-1] in counts:
            return field.shape[-1]
        return image_channels(field.shape) or 1

    @property
    def surroundings(self) -> tuple[Color, int]:
        """Fill color around an image, and fill value around its mask."""
        for view in self.image_transforms:
            if isinstance(view, Padded) and view.shows_surroundings:
                return as_color(view.fill), view.mask_fill
        return BLACK, 0


def sort_transforms(transforms: Sequence[Any]) -> TransformStages:
    """Return the transforms by the stage at which they run.

    Raises
    ------
    BadSetting
        If an item is not a transform, or its position in the list is not allowed.
    """
    if not isinstance(transforms, Sequence):
        raise BadSetting(f"transforms must be a list, not {transforms!r}")
    parts: tuple[list[Any], ...] = ([], [], [], [])
    stage = 0
    for number, step in enumerate(transforms):
        if not isinstance(step, Step):
            raise BadSetting(f"transforms must be bitesize transforms such as bs.Resize(224), not {step!r}")
        previous, stage = stage, _stage_of(step)
        if stage < previous:
            raise BadSetting(
                f"{step!r} cannot follow {transforms[number - 1]!r}: the order is transforms of images, then Map of rows, "
                "then MixUp and CutMix, then Map of batches"
            )
        parts[stage].append(step if stage == 0 else (number, step))
    stages = TransformStages(*map(tuple, parts))
    _check_views(stages.image_transforms)
    return stages


def _stage_of(step: Any) -> int:
    """Return the number of the stage at which a step runs."""
    return 0 if isinstance(step, Transform) else 2 if isinstance(step, PairMix) else 3 if step.batch else 1


def _check_views(views: Sequence[Transform]) -> None:
    cutout = next((view for view in views if isinstance(view, Cutout)), None)
    for view in views[views.index(cutout) :] if cutout else ():
        if view.non_axis_aligned:
            raise BadSetting(f"put {view!r} before {cutout!r}: otherwise it would rotate or shear the erased rectangle")
    padded = [view for view in views if isinstance(view, Padded) and view.shows_surroundings]
    for view in padded[1:]:
        if (view.fill, view.mask_fill) != (padded[0].fill, padded[0].mask_fill):
            raise BadSetting(
                f"{padded[0]!r} and {view!r} have different fill colors: use the same fill and mask_fill for both"
            )
