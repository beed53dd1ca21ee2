"""Transform: one step of a pipeline."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Literal

import numpy as np

from bitesize.checks import is_whole, refuse_renamed
from bitesize.errors import BadSetting
from bitesize.kernels.filters import BICUBIC, BILINEAR, NEAREST
from bitesize.spec import MOST_CHANNELS
from bitesize.transforms.view import Color, View

Size = tuple[int, int]  # height, width
Sides = int | Size | tuple[int, int, int]  # all sides, or (height, width), or (depth, height, width)
Interpolation = Literal["bilinear", "bicubic", "nearest"]
KINDS: Mapping[str, int] = {"bilinear": BILINEAR, "bicubic": BICUBIC, "nearest": NEAREST}
# Modules of the built-in transforms, imported when a transform is read from JSON.
_MODULES = ("color", "crop", "erase", "geometry", "map", "mix", "normalize")
_BY_NAME: dict[str, type[Step]] = {}
# Names of transforms in run folders of earlier versions.
_RENAMED = {"Colour": "ColorMatrix"}
# Names that attributes of transforms had before, which classes of users may still define.
_RENAMED_ATTRIBUTES = {"draws": "random_count", "pictorial": "needs_image", "slants": "non_axis_aligned"}


class Step:
    """Base of all elements of a list of transforms: it can be printed, compared, and saved."""

    def __init_subclass__(cls) -> None:
        refuse_renamed(cls, _RENAMED_ATTRIBUTES)
        _BY_NAME[cls.__name__] = cls

    def __post_init__(self) -> None:
        """Convert NumPy scalars and short arrays to Python numbers; subclasses then check their settings."""
        for part in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, part.name)
            if isinstance(value, np.generic):
                object.__setattr__(self, part.name, value.item())
            elif isinstance(value, np.ndarray):
                object.__setattr__(self, part.name, tuple(value.reshape(-1).tolist()))
            elif isinstance(value, tuple | list) and any(isinstance(item, np.generic) for item in value):
                plain = (item.item() if isinstance(item, np.generic) else item for item in value)
                object.__setattr__(self, part.name, tuple(plain))

    def to_dict(self) -> dict[str, Any]:
        """Return the step's name and settings as a dict for JSON; `from_dict` reads it.

        Returns
        -------
        dict
            Name and settings, of types that JSON has.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Flip(0.25).to_dict()
        {'name': 'Flip', 'horizontal': 0.25, 'vertical': 0.0, 'depth': 0.0}
        """
        return {"name": type(self).__name__, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}}  # type: ignore[arg-type]

    def __repr__(self) -> str:
        shown = []
        for part in sorted(dataclasses.fields(self), key=lambda part: part.kw_only is True):  # type: ignore[arg-type]
            value = getattr(self, part.name)
            if part.default is dataclasses.MISSING:
                shown.append(repr(value))
            elif value != part.default:
                shown.append(f"{part.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Transform(Step, ABC):
    """Step that adjusts the View of each row: geometry and color by arithmetic, without pixels.

    Attributes
    ----------
    random_count : int
        Number of random numbers in [0, 1) that `adjust` gets for a row.
    needs_image : bool
        Whether rows must be images, because the step moves pixels or mixes colors; else it works on single values.
    non_axis_aligned : bool
        Whether lines of the image may no longer be parallel to lines of the batch after this step.
    whole_pixels : bool
        Whether the step moves pixels by whole pixels, if at all, and resamples nothing. If all random steps do, a cache keeps
        resized images instead of decoded ones (see `bitesize.Cache`).
    moves_voxels : bool
        Whether the step also works on volumes, although it moves pixels. Steps that work on single values always do.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> class Invert(bs.Transform):
    ...     def adjust(self, view, u):
    ...         view.per_channel((-1, -1, -1), (255, 255, 255))
    >>> images = bs.open(np.full((1, 2, 2, 3), 250, np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[Invert()]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].tolist()
    [5, 5, 5]
    """

    random_count: ClassVar[int] = 0
    needs_image: ClassVar[bool] = False
    non_axis_aligned: ClassVar[bool] = False
    whole_pixels: ClassVar[bool] = False
    moves_voxels: ClassVar[bool] = False

    @abstractmethod
    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Adjust one row's view.

        Parameters
        ----------
        view
            View of the row, changed in place.
        u
            `random_count` random numbers in [0, 1), keyed by seed, epoch, position and transform.

        Examples
        --------
        >>> import bitesize as bs
        >>> from bitesize.transforms.view import View
        >>> view = View(40, 30)
        >>> bs.Resize((10, 20)).adjust(view, ())
        >>> view.width, view.height
        (20, 10)
        """

    def size_after(self, size: Size | None) -> Size | None:
        """Return (height, width) after this step, from the size before it; None if rows differ.

        Parameters
        ----------
        size
            Height and width in pixels before this step, or None if rows differ.

        Returns
        -------
        (int, int) or None
            Height and width in pixels after this step; None if rows differ.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Rotate90((1,)).size_after((20, 30))
        (30, 20)
        """
        return size

    def depth_after(self, depth: int) -> int:
        """Return the number of slices of a volume after this step.

        Parameters
        ----------
        depth
            Number of slices before this step.

        Returns
        -------
        int
            Number of slices after this step.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.CenterCrop((8, 20, 30)).depth_after(16)
        8
        """
        return depth

    def for_rows(self, volumes: bool) -> Transform:
        """Return the step for rows that are volumes, or for all others.

        Parameters
        ----------
        volumes
            Whether rows are volumes: (depth, height, width) or (depth, height, width, channels).

        Returns
        -------
        Transform
            The step itself, or one with the settings that it has for volumes.

        Raises
        ------
        BadSetting
            If the step is not for such rows.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.RandomCrop(64).for_rows(volumes=True)
        RandomCrop((64, 64, 64))
        """
        if volumes and self.needs_image and not self.moves_voxels:
            raise BadSetting(
                f"{type(self).__name__} is for images, but rows are volumes (depth, height, width): use CenterCrop, RandomCrop, Resize, "
                "Flip or Rotate90, or a function with bs.Map"
            )
        return self

    def dtype_after(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype after this step, from the dtype before it.

        Parameters
        ----------
        dtype
            Dtype of ``x`` before this step.

        Returns
        -------
        numpy.dtype
            Dtype of ``x`` after this step.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.Normalize("imagenet").dtype_after(np.dtype(np.uint8))
        dtype('float32')
        """
        return dtype

    def check(self, channels: int) -> None:
        """Raise `BadSetting` if the step does not fit images with a number of channels.

        Parameters
        ----------
        channels
            Number of channels of the images.

        Raises
        ------
        BadSetting
            If the step does not fit such images.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Hue().check(3)
        """

    @property
    def needs_colors(self) -> bool:
        """Return whether the step mixes red, green and blue, so that channels must be colors."""
        return False


@dataclass(frozen=True, repr=False)
class Padded(Transform):
    """Step that may show the area around the image.

    Parameters
    ----------
    fill
        Color around the image: one value or one per channel, in units of the image (0 to 255 for 8-bit images).
    mask_fill
        Value around a mask.
    """

    fill: float | tuple[float, ...] = field(default=0.0, kw_only=True)
    mask_fill: int = field(default=0, kw_only=True)
    needs_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "fill", color_setting(type(self).__name__, self.fill))
        if not is_whole(self.mask_fill, 0, 65_535):
            raise BadSetting(
                f"{type(self).__name__}: mask_fill must be a whole number of 0 to 65535, not {self.mask_fill!r}"
            )
        object.__setattr__(self, "mask_fill", int(self.mask_fill))

    def check(self, channels: int) -> None:
        """Check the number of fill values against the channels."""
        check_color(type(self).__name__, self.fill, channels)

    @property
    def shows_surroundings(self) -> bool:
        """Return whether the step can show this area with its settings."""
        return True


def from_dict(settings: Mapping[str, Any]) -> Any:
    """Return the transform from a dict of `Step.to_dict`; user-defined classes must be imported before.

    Raises
    ------
    BadSetting
        If no transform has this name, or it does not take these settings.
    """
    if not isinstance(settings, Mapping):
        raise BadSetting(f"a transform must be a dict with its name and settings, not {settings!r}")
    for module in _MODULES:
        import_module(f"bitesize.transforms.{module}")
    rest = dict(settings)
    name = rest.pop("name", None)
    name = _RENAMED.get(name, name) if isinstance(name, str) else name
    if not isinstance(name, str) or name not in _BY_NAME:
        raise BadSetting(f"there is no transform {name!r}: import the module that defines it first")
    try:
        return _BY_NAME[name](**{key: tuple(value) if isinstance(value, list) else value for key, value in rest.items()})
    except TypeError as error:
        raise BadSetting(f"{name} cannot be created from {rest}: {error}") from error


# --- settings that several steps have --------------------------------------------------------------------------------


def check_size(owner: str, *sides: object) -> None:
    """Raise `BadSetting` unless all sides are whole numbers of at least 1."""
    for side in sides:
        if not is_whole(side, 1, 65_535):
            raise BadSetting(f"{owner}: a side must be a whole number of 1 to 65535 pixels, not {side!r}")


def size_setting(owner: str, size: Any, volumes: bool = False) -> Sides:
    """Check a size: a side in pixels, or (height, width), or for ``volumes`` (depth, height, width)."""
    if isinstance(size, tuple | list):
        if len(size) != 2 and not (volumes and len(size) == 3):
            more = ", or (depth, height, width) for volumes" if volumes else ""
            raise BadSetting(f"{owner} takes one side in pixels or (height, width){more}, not {size!r}")
        check_size(owner, *size)
        return tuple(int(side) for side in size)  # type: ignore[return-value]
    check_size(owner, size)
    return int(size)


def both_sides(size: Sides) -> Size:
    """Return (height, width) of a size."""
    return (size[-2], size[-1]) if isinstance(size, tuple) else (size, size)


def interpolation_setting(owner: str, interpolation: str) -> None:
    """Raise `BadSetting` if there is no such interpolation."""
    if not isinstance(interpolation, str) or interpolation not in KINDS:
        raise BadSetting(f"{owner}: interpolation must be {', '.join(map(repr, KINDS))}, not {interpolation!r}")


def is_number(value: Any) -> bool:
    """Return whether a setting is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def probability_setting(owner: str, name: str, value: Any) -> None:
    """Raise `BadSetting` unless a setting is a probability."""
    if not is_number(value) or not 0 <= value <= 1:
        raise BadSetting(f"{owner}: {name} must be a probability from 0 to 1, not {value!r}")


def range_setting(owner: str, name: str, value: Any, low: float, high: float, center: float | None) -> tuple[float, float]:
    """Convert a setting to (least, greatest): two numbers, or one deviation from ``center``, limited to ``low``."""
    if isinstance(value, tuple | list) and len(value) == 2 and all(map(is_number, value)):
        least, greatest = float(value[0]), float(value[1])
    elif is_number(value) and center is not None and value >= 0:
        least, greatest = max(low, center - value), center + float(value)
    else:
        one = " or one of at least 0" if center is not None else ""
        raise BadSetting(f"{owner}: {name} takes two numbers{one}, not {value!r}")
    if not low <= least <= greatest <= high:
        raise BadSetting(f"{owner}: {name} must be two numbers in order within {low:g} to {high:g}, not {value!r}")
    return least, greatest


def color_setting(owner: str, value: Any) -> float | tuple[float, ...]:
    """Check a color: one number, or one per channel."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not 1 <= len(values) <= MOST_CHANNELS or not all(map(is_number, values)):
        raise BadSetting(f"{owner}: a color must be one finite number, or one per channel, not {value!r}")
    return tuple(map(float, values)) if len(values) > 1 else float(values[0])


def as_color(value: float | tuple[float, ...]) -> Color:
    """Return three numbers for a checked color of one, or those that it has."""
    return value if isinstance(value, tuple) else (value, value, value)


def check_color(owner: str, value: float | tuple[float, ...], channels: int) -> None:
    """Raise `BadSetting` if the number of values of a color does not match the channels; alpha needs no value."""
    fits = {1: (1, 3), 4: (3, 4)}.get(channels, (channels,))
    if isinstance(value, tuple) and len(value) not in fits:
        need = "3, or 4 if none is alpha," if channels == 4 else str(channels)
        raise BadSetting(f"{owner}: a color must be one number, or {need} for images of {channels} channels, not {value!r}")


def between(u: float, bounds: tuple[float, float]) -> float:
    """Map a number in [0, 1) to a range."""
    return bounds[0] + u * (bounds[1] - bounds[0])
