"""Transforms by the stage at which they run: views of images, functions of rows, mixing of pairs, functions of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bitesize.errors import BadSetting
from bitesize.spec import Encoded, Field, field_channels, has_alpha, is_volume
from bitesize.transforms.base import Padded, Step, Transform, as_color
from bitesize.transforms.erase import Cutout
from bitesize.transforms.map import Map
from bitesize.transforms.mix import PairMix
from bitesize.transforms.normalize import Normalize
from bitesize.transforms.view import BLACK, PLAIN, Color, View
from bitesize.transforms.window import Percentiles, Window


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

    def for_rows(self, volumes: bool) -> TransformStages:
        """Return the stages for rows that are volumes, or for all others; see `Transform.for_rows`."""
        return replace(self, image_transforms=tuple(view.for_rows(volumes) for view in self.image_transforms))

    def spreads(self, channels: int, stored: Field | Encoded | None = None) -> bool:
        """Return whether ``channels`` channels are independent, rather than colors or colors with alpha.

        Four channels are colors with alpha if one of the transforms has three numbers for them, or mixes colors; they are independent if
        one has four. Otherwise the data decide, as in `has_alpha`: 8-bit images of four channels are RGBA unless they are bands, others
        have four bands.

        Parameters
        ----------
        channels
            Number of channels.
        stored
            The field as stored; None for 8-bit images.
        """
        if channels != 4 or (stored is not None and is_volume(stored)):
            return channels not in (1, 3)
        counts = {len(fill) for v in self.image_transforms if isinstance(fill := getattr(v, "fill", None), tuple)}
        counts |= {view.count for view in self.image_transforms if isinstance(view, Normalize | Window)}
        if 4 in counts:
            return True
        if stored is None or 3 in counts or any(v.needs_colors for v in self.image_transforms):
            return False
        return not has_alpha(stored)

    def channels_of(self, field: Field | Encoded) -> int:
        """Return the number of channels: that of images, or the length of the last axis if `Normalize` has as many means."""
        if isinstance(field, Encoded):
            return field.channels
        counts = {
            view.count
            for view in self.image_transforms
            if isinstance(view, Window) or (isinstance(view, Normalize) and not view.of_data)
        }
        if not field.axes and field.shape and field.shape[-1] in counts:
            return field.shape[-1]
        return field_channels(field) or 1

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
    _check_clipping(views)
    padded = [view for view in views if isinstance(view, Padded) and view.shows_surroundings]
    for view in padded[1:]:
        if (view.fill, view.mask_fill) != (padded[0].fill, padded[0].mask_fill):
            raise BadSetting(
                f"{padded[0]!r} and {view!r} have different fill colors: use the same fill and mask_fill for both"
            )


def _check_clipping(views: Sequence[Transform]) -> None:
    """Raise `BadSetting` if colors are mixed after values are clipped, or values are changed before their percentiles are measured."""
    clipping: Transform | None = None
    for number, view in enumerate(views):
        if clipping is not None and view.needs_colors:
            raise BadSetting(f"put {view!r} before {clipping!r}: values that were clipped cannot be mixed")
        if isinstance(view, Percentiles):
            changed = next((other for other in views[:number] if _changes_values(other)), None)
            if changed is not None:
                raise BadSetting(f"put {view!r} before {changed!r}: it measures the values as stored")
        if isinstance(view, Percentiles | Window):
            clipping = view


def _changes_values(step: Transform) -> bool:
    """Return whether a transform changes values, for some random numbers."""
    if isinstance(step, Normalize | Percentiles | Window):
        return True
    view = View(64, 48)
    step.adjust(view, (0.0,) * step.random_count)
    return view.color != PLAIN or bool(view.erased)
