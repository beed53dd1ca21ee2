"""Normalization on the device: a batch is sent as integers, a quarter of the bytes, and becomes floats where it arrives."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting
from bitesize.pipeline.stages import sort_transforms
from bitesize.pipeline.value_ranges import check_ranges
from bitesize.scan.normalization import resolve_normalization
from bitesize.spec import Encoded, Field, axes_of_rows
from bitesize.transforms.base import Step, Transform
from bitesize.transforms.crop import CenterCrop, RandomCrop
from bitesize.transforms.geometry import Flip, Rotate90
from bitesize.transforms.map import Map
from bitesize.transforms.mix import MixUp
from bitesize.transforms.normalize import Normalize, Scale
from bitesize.transforms.view import View

Steps = Normalize | Scale | Sequence[Normalize | Scale]
_DTYPES = ("float32", "float16", "bfloat16")
# Images that went only through these have the pixels of the source.
_KEEP_PIXELS = (CenterCrop, RandomCrop, Flip, Rotate90)
_ROUNDED = ', or create it with dtype="uint8", which rounds to whole levels'
_log = logging.getLogger("bitesize")


@dataclass(frozen=True, eq=False)
class Normalization:
    """Normalization that a device computes: ``x * factor + offset`` in float32, then a cast.

    Parameters
    ----------
    name
        Field that is normalized.
    steps
        Transforms that the device applies, with the numbers of ``Normalize("data")``.
    dtype
        Name of the dtype of the result.
    factor, offset
        float32 arrays that are broadcast to a row of the batch.
    nbytes
        Bytes of one batch in float32.
    """

    name: str
    steps: tuple[Normalize | Scale, ...]
    dtype: str
    factor: NDArray[np.float32]
    offset: NDArray[np.float32]
    nbytes: int


def device_normalization(loader: Loader, normalize: Steps | None, dtype: Any, who: str) -> Normalization | None:
    """Return what the device computes, or None if it computes nothing.

    Parameters
    ----------
    loader
        Source of the batches, which must yield integers.
    normalize
        Setting of an output: the transforms.
    dtype
        Setting of an output: dtype of the result.
    who
        Name of the output.

    Raises
    ------
    BadSetting
        If the transforms do not fit the batches, or the loader normalizes already.
    """
    if normalize is None:
        if dtype is not None:
            raise BadSetting(f"{who}: dtype= belongs to normalize=; without it, pass dtype= to the loader")
        return None
    steps, name = _checked(normalize, who), loader.source.primary
    field = _checked_field(loader, steps, who)
    resolved = _resolved(loader, field, steps, who)
    factor, offset = _numbers(loader, field, resolved)
    target = _dtype_name(dtype, who)
    nbytes = driver_of(loader).batching.rows_of_rank * Field(field.shape, np.dtype(np.float32)).nbytes
    _say(loader, name, field, resolved, target, who)
    return Normalization(name, resolved, target, factor, offset, nbytes)


def _checked(normalize: Any, who: str) -> tuple[Normalize | Scale, ...]:
    """Return the steps of a setting."""
    steps = tuple(normalize) if isinstance(normalize, list | tuple) else (normalize,)
    wrong = next((step for step in steps if not isinstance(step, Normalize | Scale)), None)
    if wrong is not None or not steps:
        more = ", which belongs into the transforms of the loader" if isinstance(wrong, Step) else ""
        raise BadSetting(
            f"{who}: normalize= takes bs.Normalize(...), bs.Scale(...) or a list of them, not {normalize if wrong is None else wrong!r:.100}{more}"
        )
    return steps


def _checked_field(loader: Loader, steps: Sequence[Normalize | Scale], who: str) -> Field:
    """Return the field that is normalized."""
    name = loader.source.primary
    twice = next((step for step in loader.transforms if isinstance(step, Normalize | Scale)), None)
    if twice is not None:
        raise BadSetting(
            f"{who}: the loader normalizes already, by {twice!r}: remove it from the loader's transforms, which keeps {name!r} as integers "
            "until it is on the device, or leave out normalize="
        )
    field = loader.spec[name]
    if field.dtype.kind not in "iu" or field.dtype.itemsize > 2:
        changed = next((step for step in loader.transforms if _changes_dtype(step)), None)
        since = (
            f"after {changed!r}" if changed is not None else "as stored" if _as_stored(loader, field) else "by its dtype="
        )
        pixels = isinstance(changed, Transform) and loader.source.spec[name].dtype == np.uint8
        raise BadSetting(
            f"{who}: normalize= is for integers of 8 or 16 bits, but {name!r} is {field.dtype} {since}: put {', '.join(map(repr, steps))} into the "
            f"transforms of the loader{_ROUNDED if pixels else ''}"
        )
    return field


def _changes_dtype(step: Step) -> bool:
    return isinstance(step, Map) or (isinstance(step, Transform) and step.dtype_after(np.dtype(np.uint8)) != np.uint8)


def _as_stored(loader: Loader, field: Field) -> bool:
    """Return whether values are on the scale of the source."""
    return not _mapped(loader) and loader.source.spec[loader.source.primary].dtype == field.dtype


def _mapped(loader: Loader) -> bool:
    return any(isinstance(step, Map) for step in loader.transforms)


def _resolved(
    loader: Loader, field: Field, steps: tuple[Normalize | Scale, ...], who: str
) -> tuple[Normalize | Scale, ...]:  # fmt: skip
    """Return the steps with the statistics of the source in ``Normalize("data")``, and check them against its values."""
    if not _as_stored(loader, field):
        if any(isinstance(step, Normalize) and step.of_data for step in steps):
            raise BadSetting(
                f'{who}: Normalize("data") measures the values as stored, but the loader changes them (dtype= or Map): pass a mean and a '
                "std of what it yields"
            )
        return steps
    transforms = resolve_normalization(loader.source, (*loader.transforms, *steps), loader.budget)
    check_ranges(loader.source, transforms, loader.budget)
    return tuple(transforms[len(loader.transforms) :])


def _channel_axis(loader: Loader, field: Field) -> int:
    """Return the axis of the channels in a row of the batch."""
    stored = loader.source.spec[loader.source.primary]
    channels = isinstance(stored, Encoded) or axes_of_rows(stored).endswith("C")
    return 0 if loader.layout == "CHW" and channels and len(field.shape) in (3, 4) else len(field.shape) - 1


def _numbers(
    loader: Loader, field: Field, steps: Sequence[Normalize | Scale]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Compute factor and offset of each channel, with the arithmetic of the loader's own transforms."""
    stages, stored = sort_transforms(steps), loader.source.spec[loader.source.primary]
    at, mapped = _channel_axis(loader, field), _mapped(loader)
    axes = axes_of_rows(stored) if isinstance(stored, Field) and not mapped else ""
    last = Field((*field.shape[:at], *field.shape[at + 1 :], *field.shape[at : at + 1]), field.dtype, axes=axes)
    channels = stages.channels_of(last)
    for step in steps:
        step.check(channels)
    if isinstance(stored, Encoded) and stored.mode != "unchanged" and channels == 4 and stages.spreads(channels):
        raise BadSetting(f"Normalize has {channels} means, but the fourth channel of {stored} is alpha: pass 3 means")
    eight_bit = field.dtype == np.uint8 or (stored.dtype == np.uint8 and not mapped)
    view = View(1, 1, 255.0 if eight_bit else 1.0)
    # Numbers of the loader's transforms also say what the fourth channel is.
    all_stages = sort_transforms([*(each for each in loader.transforms if isinstance(each, Transform)), *steps])
    if all_stages.spreads(channels, last if mapped else stored):
        view.spread(channels)
    for step in steps:
        step.adjust(view, ())
    along = [channels if axis == at else 1 for axis in range(len(field.shape))]
    factor, offset = (np.array(numbers, np.float32).reshape(along) for numbers in view.factors_and_offsets(channels))
    return factor, offset


def _dtype_name(dtype: Any, who: str) -> str:
    """Return the name of a dtype of NumPy, PyTorch or JAX, or of its name."""
    name = str(getattr(dtype, "__name__", dtype)).removeprefix("torch.") if dtype is not None else _DTYPES[0]
    if name not in _DTYPES:
        raise BadSetting(f"{who}: dtype= must be {', '.join(map(repr, _DTYPES))}, not {dtype!r}")
    return name


def _say(
    loader: Loader, name: str, field: Field, steps: Sequence[Normalize | Scale], dtype: str, who: str
) -> None:  # fmt: skip
    """Log what is computed where, and whether values differ from those that the loader would have computed."""
    rounded = [
        step for step in loader.transforms if isinstance(step, Transform | MixUp) and not isinstance(step, _KEEP_PIXELS)
    ]
    _log.info(
        "%s: %r is sent as %s, and the device computes %s of it by %s%s", who, name, field.dtype, dtype, ", ".join(map(repr, steps)),
        f"; {', '.join(map(repr, rounded))} before it round{'s' * (len(rounded) == 1)} to whole levels, unlike in a loader that normalizes"
        if rounded else "",
    )  # fmt: skip
