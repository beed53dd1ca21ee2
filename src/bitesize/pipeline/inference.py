"""Shapes and dtypes of rows at each stage between source and batch, inferred and checked before rows are read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from bitesize.errors import BadSetting, MissingPackage
from bitesize.packages import pip_install
from bitesize.pipeline.probe import mask_dtype_of_first_row, size_of_first_row
from bitesize.pipeline.stages import TransformStages
from bitesize.sources.base import Source
from bitesize.spec import (
    MOST_CHANNELS,
    Encoded,
    Field,
    axes_of_rows,
    channels_seem_first,
    field_channels,
    image_field,
    is_volume,
)
from bitesize.transforms.base import Size, Transform
from bitesize.transforms.mix import MixUp

Layout = Literal["HWC", "CHW"]

# NumPy types that compiled kernels can read, and names of types that they can write.
READ_TYPES = frozenset(np.dtype(t) for t in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"))
# Rows with more channels may be volumes: a warning says that they are treated as images.
_MANY_CHANNELS = 16
# Rows with two axes are a series if one axis is shorter than _SHORT_SIDE and the other at least _TIMES_AS_LONG times as long.
_SHORT_SIDE, _TIMES_AS_LONG = 8, 4
_WRITE_NAMES = frozenset([*(dtype.name for dtype in READ_TYPES), "float16", "bfloat16"])


def rendered_fields(source: Source, stages: TransformStages, layout: Layout, dtype: DTypeLike | None) -> dict[str, Field]:
    """Return the fields of a row after it was read, rendered and cast.

    Raises
    ------
    BadSetting
        If transforms, layout or dtype do not fit the source.
    """
    if layout not in ("HWC", "CHW"):
        raise BadSetting(f'layout must be "HWC" or "CHW", not {layout!r}')
    if isinstance(stored := source.spec[source.primary], Field) and 0 in stored.shape:
        raise BadSetting(f"rows of {stored} have no values")
    image, sides = _rendered_image(source, stages, layout, dtype)
    _say_fourth_channel(stored, stages)
    rendered: dict[str, Field] = {}
    for name, stored in source.spec.items():
        if name == source.primary:
            rendered[name] = image
        elif is_mask(stored):
            rendered[name] = _mask_field(source, name, stages, sides)
        elif isinstance(stored, Field):
            if stages.needs_image and _looks_like_mask(stored, source.spec[source.primary]):
                raise BadSetting(
                    f"{name!r} is {stored}, one value per pixel, but only masks move with their images: pass them as 8-bit or 16-bit "
                    "integers of shape (n, height, width)"
                )
            rendered[name] = stored
        else:
            raise BadSetting(
                f"the field {name!r} is a second image, but only masks are allowed in addition to {source.primary!r}"
            )
    return rendered


def _say_fourth_channel(stored: Field | Encoded, stages: TransformStages) -> None:
    """Log whether the fourth of four channels is alpha, where the transforms differ for it."""
    if isinstance(stored, Encoded) or field_channels(stored) != 4 or is_volume(stored) or not stages.image_transforms:
        return  # the files say what images are
    if stages.spreads(4, stored):
        said = "the four channels of %s are independent: for colors with alpha, give Normalize three means"
    else:
        said = (
            "the fourth channel of %s is alpha: give Normalize four means, or a transform four fill values, if it is a band"
        )
    logging.getLogger("bitesize").info(said, stored)


def _mask_field(source: Source, name: str, stages: TransformStages, sides: tuple[int, ...]) -> Field:
    """Return shape and dtype of a mask."""
    stored = source.spec[name]
    dtype = stored.dtype if isinstance(stored, Field) else mask_dtype_of_first_row(source, name)
    if stages.needs_image and (dtype.kind not in "iu" or dtype.itemsize > 2):
        raise BadSetting(f"the masks {name!r} are {dtype}, but only masks of 8-bit or 16-bit integers can move with images")
    fill = stages.surroundings[1]
    if stages.needs_image and not np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max:
        raise BadSetting(f"mask_fill is {fill}, but the masks {name!r} are {dtype}, which cannot represent it")
    return Field(sides, dtype, mask=True)


def is_mask(stored: Field | Encoded) -> bool:
    """Return whether a field has a label for each pixel."""
    return stored.mask if isinstance(stored, Field) else stored.kind == "mask"


def _looks_like_mask(stored: Field, image: Field | Encoded) -> bool:
    """Return whether a field that is not a mask has one value for each pixel of the images, or voxel of the volumes."""
    if isinstance(image, Encoded):
        return False
    sides = image.shape[: len(axes_of_rows(image).rstrip("C"))]
    return stored.shape in (sides, (*sides, 1))


def _rendered_image(
    source: Source, stages: TransformStages, layout: Layout, dtype: DTypeLike | None
) -> tuple[Field, tuple[int, ...]]:
    """Return shape and dtype of the primary field, and its sides in pixels; none if its rows are not images or volumes."""
    stored = source.spec[source.primary]
    channels = stages.channels_of(stored)
    sides = _rendered_sides(source, stages, channels)
    final = _rendered_dtype(stored, stages, channels, dtype)
    if isinstance(stored, Field):
        if sides is None:
            return Field(stored.shape, final), ()
        if not axes_of_rows(stored).endswith("C"):
            return Field(sides, final, axes=stored.axes), sides
        channels = stored.shape[-1]
    assert sides is not None
    if layout != "HWC":
        return Field((channels, *sides), final), sides
    shape = (*sides, channels)
    if isinstance(stored, Encoded):
        return image_field(shape, final, stored.bands), sides
    return Field(shape, final, axes=stored.axes, bands=stored.bands), sides


def _rendered_sides(source: Source, stages: TransformStages, channels: int) -> tuple[int, ...] | None:
    """Return height and width of the primary field after the transforms, after the depth of volumes, or None if its rows are neither."""
    stored = source.spec[source.primary]
    depth: tuple[int, ...] = ()
    if isinstance(stored, Encoded):
        size = _size_after(stages.image_transforms, None)
        if size is None:  # no transform sets the size, so all images must have the same size
            size = _size_after(stages.image_transforms, size_of_first_row(source, source.primary))
        if stages.spreads(channels) and stored.mode != "unchanged":
            raise BadSetting(f"Normalize has {channels} means, but the fourth channel of {stored} is alpha: pass 3 means")
    else:
        if stages.needs_image:
            _check_images(stages, stored, channels)
        axes = axes_of_rows(stored)
        if not axes:
            return None
        if axes.startswith("D"):
            depth = (_depth_after(stages.image_transforms, stored.shape[0]),)
        height, width = stored.shape[len(depth) :][:2]
        size = _size_after(stages.image_transforms, (height, width))
    if size is None:
        view = next(view for view in reversed(stages.image_transforms) if view.size_after((7, 5)) is None)
        raise BadSetting(f"{view!r} yields images of different sizes; add bs.CenterCrop or bs.RandomCrop after it")
    return (*depth, *size)


def _rendered_dtype(
    stored: Field | Encoded, stages: TransformStages, channels: int, dtype: DTypeLike | None
) -> np.dtype[Any]:  # fmt: skip
    """Return the dtype of the primary field after the transforms and the cast. Check that both can be computed."""
    before = after = stored.dtype
    for view in stages.image_transforms:
        view.check(channels)
        if view.needs_colors and stages.spreads(channels, stored):
            raise BadSetting(
                f"{type(view).__name__} needs red, green, blue and alpha channels, but other transforms have {channels} numbers, for "
                "independent channels"
            )
        after = view.dtype_after(after)
    final = after if dtype is None else dtype_setting(dtype)
    if stages.needs_image and before not in READ_TYPES:
        way = "use astype(np.uint8) to get 0 and 1" if before.kind == "b" else "convert them to float32 or integers first"
        raise BadSetting(f"images of {before} cannot be transformed: {way}")
    _check_arithmetic(stages, before)
    if (stages.needs_image or isinstance(stored, Encoded)) and final.name not in _WRITE_NAMES:
        raise BadSetting(f"the dtype of images must be an integer type or a float of 16, 32 or 64 bits, not {final}")
    if (final.kind not in "biuf" or before.kind not in "biuf") and final != before and final.name != "bfloat16":
        raise BadSetting(f"dtype: rows of {before} cannot be cast to {final}")
    if stages.needs_image and before.kind in "iu" and before.itemsize > 2:
        raise BadSetting(f"images are transformed in float32, which cannot represent every {before}: convert them first")
    return final


def _check_arithmetic(stages: TransformStages, before: np.dtype[Any]) -> None:
    """Raise `BadSetting` if transforms change values but keep a type that cannot represent the results."""
    number = before.kind in "iuf" or before.name == "bfloat16"
    keeping = next((view for view in stages.image_transforms if view.dtype_after(before) == before), None)
    if number or keeping is None:
        return
    if before.kind == "b":
        raise BadSetting(
            f"{type(keeping).__name__} changes values, but rows of {before} can only be True and False: convert them with "
            "astype(np.float32)"
        )
    raise BadSetting(f"{type(keeping).__name__} changes real numbers, but rows are {before}: convert them first")


def _check_images(stages: TransformStages, stored: Field, channels: int) -> None:
    """Raise `BadSetting` if transforms move pixels, but rows are not images, or may not be images."""
    name = type(next(view for view in stages.image_transforms if view.needs_image)).__name__
    channels_of_rows = field_channels(stored)
    if channels_of_rows is not None:
        if len(stored.shape) == 2 and not stored.axes and looks_like_series(stored.shape):
            raise BadSetting(
                f"{name} needs images, but rows of {stored.shape} look like a series of {min(stored.shape)} values: use bs.Map for "
                f'series; for gray images, pass axes="HW" to bs.open, or open x[..., None], with rows of {(*stored.shape, 1)}'
            )
        if channels_of_rows != channels:
            raise BadSetting(
                f"{name} treats rows of {stored} as images of {channels_of_rows} channels, but Normalize has {channels} means"
            )
        if channels > _MANY_CHANNELS and not stored.axes:
            logging.getLogger("bitesize").warning("rows of %s are treated as images of %d channels", stored, channels)
        return
    if len(stored.shape) in (3, 4):
        raise BadSetting(_unclear(name, stored))
    raise BadSetting(
        f"{name} needs images (height, width) or (height, width, channels), or volumes (depth, height, width, channels), not rows of "
        f"{stored}: use a function with bs.Map"
    )


def _unclear(name: str, stored: Field) -> str:
    """Return the message for rows whose axes do not show in their shape."""
    image, volume = ('axes="HWC"', 'axes="DHW"') if len(stored.shape) == 3 else ("", 'axes="DHWC"')
    if channels_seem_first(stored.shape):
        return (
            f"{name} needs images (height, width, channels), but channels seem to come first in rows of {stored}: save the data with "
            f"np.moveaxis(x, 1, -1); for volumes, pass {volume} to bs.open; else use a function with bs.Map"
        )
    if not image:
        return (
            f"{name} needs images or volumes, but it is not clear which axis of rows of {stored} is the channels: for volumes (depth, "
            f"height, width, channels), pass {volume} to bs.open; else use your own function, with bs.Map"
        )
    return (
        f"{name} needs images of at most {MOST_CHANNELS} channels, but rows of {stored} may be volumes (depth, height, width) or "
        f"images of {stored.shape[2]} channels: pass {volume} or {image} to bs.open, or use your own function, with bs.Map"
    )


def looks_like_series(shape: Sequence[int]) -> bool:
    """Return whether rows with two axes are a time series or a table rather than gray images: one axis is far shorter."""
    return min(shape) < _SHORT_SIDE and max(shape) >= _TIMES_AS_LONG * min(shape)


def _size_after(views: Sequence[Transform], size: Size | None) -> Size | None:
    for view in views:
        size = view.size_after(size)
    return size


def _depth_after(views: Sequence[Transform], depth: int) -> int:
    for view in views:
        depth = view.depth_after(depth)
    return depth


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


def mixed_fields(source: Source, stages: TransformStages, mapped: Mapping[str, Field], layout: Layout) -> dict[str, Field]:
    """Return the fields of a row after pairs were mixed. Labels then are shares of classes.

    Raises
    ------
    BadSetting
        If rows or labels cannot be mixed.
    """
    mixed = dict(mapped)
    name = source.label_name or "y"
    for _, mix in stages.mixes:
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
