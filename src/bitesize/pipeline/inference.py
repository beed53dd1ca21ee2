"""Shapes and dtypes of rows at each stage between source and batch, inferred and checked before rows are read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from bitesize.errors import BadSetting, MissingPackage
from bitesize.packages import pip_install
from bitesize.pipeline.probe import mask_dtype_of_first_row, size_of_first_row
from bitesize.sources.base import Source
from bitesize.spec import MOST_CHANNELS, Encoded, Field, channels_seem_first, image_channels
from bitesize.transforms.base import Padded, Size, Step, Transform, as_color
from bitesize.transforms.color import Normalize
from bitesize.transforms.erase import Cutout
from bitesize.transforms.map import Map
from bitesize.transforms.mix import MixUp, PairMix
from bitesize.transforms.view import BLACK
from bitesize.transforms.view import ColorMatrix as Color

Layout = Literal["HWC", "CHW"]

# NumPy types that compiled kernels can read, and names of types that they can write.
READ_TYPES = frozenset(np.dtype(t) for t in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"))
# Rows with more channels may be volumes: a warning says that they are treated as images.
_MANY_CHANNELS = 16
# Rows with two axes are a series if one axis is shorter than _SHORT_SIDE and the other at least _TIMES_AS_LONG times as long.
_SHORT_SIDE, _TIMES_AS_LONG = 8, 4
_WRITE_NAMES = frozenset([*(dtype.name for dtype in READ_TYPES), "float16", "bfloat16"])


@dataclass(frozen=True)
class TransformStages:
    """Transforms in the order in which they run. Each has its number in the list, which is part of the key of its random numbers."""

    views: tuple[Transform, ...]
    maps: tuple[tuple[int, Map], ...]
    mixes: tuple[tuple[int, PairMix], ...]
    batch_maps: tuple[tuple[int, Map], ...]

    @property
    def needs_image(self) -> bool:
        """Return whether transforms move pixels or mix colors."""
        return any(view.needs_image for view in self.views)

    @property
    def random(self) -> bool:
        """Return whether transforms use random numbers."""
        return any(view.draws for view in self.views)

    @property
    def non_axis_aligned(self) -> bool:
        """Return whether transforms may rotate or shear images."""
        return any(view.non_axis_aligned for view in self.views)

    def spreads(self, channels: int) -> bool:
        """Return whether ``channels`` channels are independent, rather than colors or colors with alpha."""
        return channels not in (1, 3, 4) or (
            channels == 4 and any(isinstance(v, Normalize) and v.count == 4 for v in self.views)
        )

    def channels_of(self, what: Field | Encoded) -> int:
        """Return the number of channels: that of images, or the length of the last axis if `Normalize` has as many means."""
        if isinstance(what, Encoded):
            return what.channels
        counts = {view.count for view in self.views if isinstance(view, Normalize) and not view.of_data}
        if what.shape and what.shape[-1] in counts:
            return what.shape[-1]
        return image_channels(what.shape) or 1

    @property
    def surroundings(self) -> tuple[Color, int]:
        """Fill color around an image, and fill value around its mask."""
        for view in self.views:
            if isinstance(view, Padded) and view.shows_surroundings:
                return as_color(view.fill), view.mask_fill
        return BLACK, 0


def sort_steps(transforms: Sequence[Any]) -> TransformStages:
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
        own = 0 if isinstance(step, Transform) else 2 if isinstance(step, PairMix) else 3 if step.batch else 1  # type: ignore[attr-defined]
        if own < stage:
            raise BadSetting(
                f"{step!r} cannot follow {transforms[number - 1]!r}: the order is transforms of images, then Map of rows, "
                "then MixUp and CutMix, then Map of batches"
            )
        stage = own
        parts[own].append(step if own == 0 else (number, step))
    steps = TransformStages(*map(tuple, parts))
    _check_views(steps.views)
    return steps


def _check_views(views: Sequence[Transform]) -> None:
    hidden = next((view for view in views if isinstance(view, Cutout)), None)
    for view in views[views.index(hidden) :] if hidden else ():
        if view.non_axis_aligned:
            raise BadSetting(f"put {view!r} before {hidden!r}: otherwise it would rotate or shear the erased rectangle")
    around = [view for view in views if isinstance(view, Padded) and view.shows_surroundings]
    for view in around[1:]:
        if (view.fill, view.mask_fill) != (around[0].fill, around[0].mask_fill):
            raise BadSetting(
                f"{around[0]!r} and {view!r} have different fill colors: use the same fill and mask_fill for both"
            )


def drawn_fields(source: Source, steps: TransformStages, layout: Layout, dtype: DTypeLike | None) -> dict[str, Field]:
    """Return the fields of a row after it was read, rendered and cast.

    Raises
    ------
    BadSetting
        If transforms, layout or dtype do not fit the source.
    """
    if layout not in ("HWC", "CHW"):
        raise BadSetting(f'layout must be "HWC" or "CHW", not {layout!r}')
    if isinstance(what := source.spec[source.primary], Field) and 0 in what.shape:
        raise BadSetting(f"rows of {what} have no values")
    image = _drawn_image(source, steps, layout, dtype)
    last = len(image.shape) == 2 or layout == "HWC"
    height, width = (image.shape[:2] if last else image.shape[1:]) if len(image.shape) in (2, 3) else (0, 0)
    drawn: dict[str, Field] = {}
    for name, what in source.spec.items():
        if name == source.primary:
            drawn[name] = image
        elif is_mask(what):
            of_mask = what.dtype if isinstance(what, Field) else mask_dtype_of_first_row(source, name)
            if steps.needs_image and (of_mask.kind not in "iu" or of_mask.itemsize > 2):
                raise BadSetting(
                    f"the masks {name!r} are {of_mask}, but only masks of 8-bit or 16-bit integers can move with images"
                )
            fill = steps.surroundings[1]
            if steps.needs_image and not np.iinfo(of_mask).min <= fill <= np.iinfo(of_mask).max:
                raise BadSetting(f"mask_fill is {fill}, but the masks {name!r} are {of_mask}, which cannot represent it")
            drawn[name] = Field((height, width), of_mask, mask=True)
        elif isinstance(what, Field):
            if steps.needs_image and _looks_like_mask(what, source.spec[source.primary]):
                raise BadSetting(
                    f"{name!r} is {what}, one value per pixel, but only masks move with their images: pass them as 8-bit or 16-bit "
                    "integers of shape (n, height, width)"
                )
            drawn[name] = what
        else:
            raise BadSetting(
                f"the field {name!r} is a second image, but only masks are allowed in addition to {source.primary!r}"
            )
    return drawn


def is_mask(what: Field | Encoded) -> bool:
    """Return whether a field has a label for each pixel."""
    return what.mask if isinstance(what, Field) else what.kind == "mask"


def _looks_like_mask(what: Field, image: Field | Encoded) -> bool:
    """Return whether a field that is not a mask has one value for each pixel of the images."""
    sides = what.shape[:-1] if len(what.shape) == 3 and what.shape[2] == 1 else what.shape
    return len(sides) == 2 and isinstance(image, Field) and sides == image.shape[:2]


def _drawn_image(source: Source, steps: TransformStages, layout: Layout, dtype: DTypeLike | None) -> Field:
    """Return shape and dtype of the primary field."""
    what = source.spec[source.primary]
    before = what.dtype
    channels = steps.channels_of(what)
    if isinstance(what, Encoded):
        size = _size_after(steps.views, None)
        if size is None:  # no transform sets the size, so all images must have the same size
            size = _size_after(steps.views, size_of_first_row(source, source.primary))
        image = True
        if steps.spreads(channels):
            raise BadSetting(f"Normalize has {channels} means, but the fourth channel of {what} is alpha: pass 3 means")
    else:
        image = image_channels(what.shape) is not None
        if steps.needs_image:
            _check_images(steps, what, channels)
        size = _size_after(steps.views, (what.shape[0], what.shape[1])) if image else None
    if image and size is None:
        view = next(view for view in reversed(steps.views) if view.size_after((7, 5)) is None)
        raise BadSetting(f"{view!r} yields images of different sizes; add bs.CenterCrop or bs.RandomCrop after it")
    after = before
    for view in steps.views:
        view.check(channels)
        if view.needs_colors and steps.spreads(channels):
            raise BadSetting(
                f"{type(view).__name__} needs red, green, blue and alpha channels, but Normalize has {channels} means"
            )
        after = view.dtype_after(after)
    final = after if dtype is None else dtype_setting(dtype)
    if steps.needs_image and before not in READ_TYPES:
        way = "use astype(np.uint8) to get 0 and 1" if before.kind == "b" else "convert them to float32 or integers first"
        raise BadSetting(f"images of {before} cannot be transformed: {way}")
    _check_arithmetic(steps, before)
    if (steps.needs_image or isinstance(what, Encoded)) and final.name not in _WRITE_NAMES:
        raise BadSetting(f"the dtype of images must be an integer type or a float of 16, 32 or 64 bits, not {final}")
    if (final.kind not in "biuf" or before.kind not in "biuf") and final != before and final.name != "bfloat16":
        raise BadSetting(f"dtype: rows of {before} cannot be cast to {final}")
    if steps.needs_image and before.kind in "iu" and before.itemsize > 2:
        raise BadSetting(f"images are transformed in float32, which cannot represent every {before}: convert them first")
    if size is None or (isinstance(what, Field) and len(what.shape) == 2):
        assert isinstance(what, Field)
        return Field(what.shape if size is None else size, final)
    if isinstance(what, Field):
        channels = what.shape[2]
    return Field((*size, channels) if layout == "HWC" else (channels, *size), final)


def _check_arithmetic(steps: TransformStages, before: np.dtype[Any]) -> None:
    """Raise `BadSetting` if transforms change values but keep a type that cannot represent the results."""
    number = before.kind in "iuf" or before.name == "bfloat16"
    keeping = next((view for view in steps.views if view.dtype_after(before) == before), None)
    if number or keeping is None:
        return
    if before.kind == "b":
        raise BadSetting(
            f"{type(keeping).__name__} changes values, but rows of {before} can only be True and False: convert them with "
            "astype(np.float32)"
        )
    raise BadSetting(f"{type(keeping).__name__} changes real numbers, but rows are {before}: convert them first")


def _check_images(steps: TransformStages, what: Field, channels: int) -> None:
    """Raise `BadSetting` if transforms move pixels, but rows are not images, or may not be images."""
    name = type(next(view for view in steps.views if view.needs_image)).__name__
    found = image_channels(what.shape)
    if found is not None:
        if len(what.shape) == 2 and looks_like_series(what.shape):
            raise BadSetting(
                f"{name} needs images, but rows of {what.shape} look like a series of {min(what.shape)} values: use bs.Map for "
                f"series; for gray images, open x[..., None], with rows of {(*what.shape, 1)}"
            )
        if found != channels:
            raise BadSetting(
                f"{name} treats rows of {what} as images of {found} channels, but Normalize has {channels} means"
            )
        if channels > _MANY_CHANNELS:
            logging.getLogger("bitesize").warning("rows of %s are treated as images of %d channels", what, channels)
        return
    if channels_seem_first(what.shape):
        raise BadSetting(
            f"{name} needs images (height, width, channels), but channels seem to come first in rows of {what}: save the data with "
            "np.moveaxis(x, 1, -1), or use a function with bs.Map"
        )
    if len(what.shape) == 3:
        raise BadSetting(
            f"{name} needs images of at most {MOST_CHANNELS} channels, but rows of {what} may be volumes (depth, height, width) or "
            f"images of {what.shape[2]} channels: use your own function, with bs.Map"
        )
    raise BadSetting(
        f"{name} needs images (height, width) or (height, width, channels), not rows of {what}: use a function with bs.Map"
    )


def looks_like_series(shape: Sequence[int]) -> bool:
    """Return whether rows with two axes are a time series or a table rather than gray images: one axis is far shorter."""
    return min(shape) < _SHORT_SIDE and max(shape) >= _TIMES_AS_LONG * min(shape)


def _size_after(views: Sequence[Transform], size: Size | None) -> Size | None:
    for view in views:
        size = view.size_after(size)
    return size


def dtype_setting(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the NumPy dtype of a setting, which may be ``"bfloat16"``."""
    if isinstance(dtype, str) and dtype == "bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError as error:
            raise MissingPackage(f'dtype="bfloat16" needs a package: {pip_install("ml_dtypes")}') from error
        return np.dtype(bfloat16)  # type: ignore[no-any-return, unused-ignore]
    try:
        return np.dtype(dtype)
    except TypeError as error:
        raise BadSetting(f"dtype must be a number type such as float32, not {dtype!r}") from error


def mixed_fields(source: Source, steps: TransformStages, mapped: Mapping[str, Field], layout: Layout) -> dict[str, Field]:
    """Return the fields of a row after pairs were mixed. Labels then are shares of classes.

    Raises
    ------
    BadSetting
        If rows or labels cannot be mixed.
    """
    mixed = dict(mapped)
    name = source.label_name or "y"
    for _, mix in steps.mixes:
        image = mapped[source.primary]
        mix.check(image.shape, image.dtype, layout)
        if any(field.mask for field in mapped.values()):
            raise BadSetting(f"{mix!r} mixes labels of rows, but the source has masks")
        others = [other for other in source.classes_of if other in mapped]
        if others:
            raise BadSetting(
                f"{mix!r} mixes images and one label, but {', '.join(others)} would stay unmixed: leave them out, with fields="
            )
        label = mapped.get(name)
        if label is None:
            continue
        if label.dtype.kind in "f" and (isinstance(mix, MixUp) or len(label.shape) == 1):
            continue  # targets, or already shares: mixed without conversion
        if label != Field((), np.dtype(np.int64)):
            raise BadSetting(f"{mix!r} needs class labels, one per row, but {name!r} is {label}")
        if source.class_count is None:
            raise BadSetting("labels cannot be mixed: they must be class numbers that start at 0")
        mixed[name] = replace(label, shape=(source.class_count,), dtype=np.dtype(np.float32))
    return mixed


def integer_limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the least and greatest value of an integer type; (0, 0) for floats."""
    if dtype.kind not in "iu":
        return 0.0, 0.0
    info = np.iinfo(dtype)
    # The greatest float64 below 2**63 or 2**64: the limit itself would overflow in the cast.
    return float(info.min), float(np.nextafter(float(info.max), 0)) if dtype.itemsize == 8 else float(info.max)
