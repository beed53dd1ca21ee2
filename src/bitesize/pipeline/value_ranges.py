"""Checks that the numbers of transforms fit the range of values of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bitesize.errors import BadSetting, DoesNotFit
from bitesize.memory.budget import Budget
from bitesize.sources.base import Source
from bitesize.sources.value_range import full_brightness, value_range
from bitesize.spec import Encoded, Field, image_channels
from bitesize.transforms.base import Transform
from bitesize.transforms.color import ColorJitter, Contrast
from bitesize.transforms.normalize import Normalize, Scale

# Values beyond these are not on a scale of 0 to 1, or of -1 to 1, even after overshoot of resizing.
_LEAST, _GREATEST = -1.5, 1.5
# If the mean of the data is this many deviations from the given mean, the scales differ, regardless of outliers.
_DEVIATIONS = 30
# If the range of whole-number pixels is this many deviations, the scales also differ.
_LEVELS = 200
# Images whose values reach below this are on a scale of -1 to 1: resizing overshoots by less.
_BELOW_0 = -0.3
# Factors up to this are intended for whole numbers of 8 bits or more.
_FACTOR_OF_BYTES = 1 / 100
# Floats within this range are normalized: no scale of whole numbers is as short.
_NORMALIZED = 10
# Common factors that scale whole numbers to 0 to 1, or to 0 to 2 before 1 is subtracted.
_OF_8_BITS = (1 / 255, 1 / 256, 1 / 127.5, 1 / 128)
_OF_16_BITS = (1 / 4095, 1 / 4096, 1 / 65_535, 1 / 65_536, 1 / 32_767.5, 1 / 32_768)


class _Range(NamedTuple):
    """Values before a step: least, greatest and mean, whether all are whole numbers, and whether 255 is full brightness."""

    least: float
    greatest: float
    mean: float
    integral: bool
    bytes: bool


def check_ranges(source: Source, transforms: Sequence[Any], budget: Budget) -> None:
    """Check that the numbers of transforms fit the values, unlike ``Normalize("imagenet")`` for floats from 0 to 255.

    8-bit values are from 0 to 255. For other types, a few rows are read if a transform expects a range. Rows that cannot be read
    are left out.

    Raises
    ------
    BadSetting
        If values are outside 0 to 1 (with a margin for overshoot of resizing) but a transform expects this range, or if numbers
        were clearly chosen for another range.
    """
    if not isinstance(transforms, Sequence) or not any(
        isinstance(step, Scale) or _expects_unit(step) for step in transforms
    ):
        return
    values = _values(source, budget)
    for step in transforms:
        if values is None or not isinstance(step, Transform):
            return
        if isinstance(step, Scale):
            _check_scale(step, values, source)
            least, greatest, mean = (value * step.factor + step.offset for value in values[:3])
            values = _Range(min(least, greatest), max(least, greatest), mean, False, False)
        elif isinstance(step, Normalize):
            _check_normalize(step, values, source)
            return
        elif _expects_unit(step):
            if not values.bytes:
                _check_unit(type(step).__name__, values, source)
        elif step.dtype_after(np.dtype(np.uint8)) != np.uint8:
            return  # the step changes the values to an unknown range


def _expects_unit(step: Any) -> bool:
    """Return whether a step's result depends on the value of full brightness, as contrast does on the middle gray."""
    return isinstance(step, Normalize | Contrast) or (isinstance(step, ColorJitter) and step.changes_contrast)


def _values(source: Source, budget: Budget) -> _Range | None:
    stored = source.spec[source.primary]
    if stored.dtype == np.uint8:
        return _Range(0.0, 255.0, 127.5, True, True)
    if isinstance(stored, Field) and (
        (stored.dtype.kind not in "biuf" and stored.dtype.name != "bfloat16") or not stored.nbytes
    ):
        return None
    try:
        statistics = value_range(source, memory=budget)
    except DoesNotFit:  # the loader raises this error itself, with all figures
        return None
    return (
        None
        if np.isnan(statistics.minimum)
        else _Range(statistics.minimum, statistics.maximum, statistics.mean, statistics.integral, False)
    )


def _check_scale(step: Scale, values: _Range, source: Source) -> None:
    """Raise `BadSetting` if a factor for whole numbers is used for values that are already small, or far outside its range."""
    described, code = _described(values, source), _as_code(step)
    boolean = source.spec[source.primary].dtype.kind == "b"
    if 0 < step.factor <= _FACTOR_OF_BYTES and (boolean or not values.integral):
        if values.least >= -1 and values.greatest <= 1:
            raise BadSetting(f"{described} already: leave out {code}")
        if (
            _is_one_of(step.factor, (*_OF_8_BITS, *_OF_16_BITS))
            and -_NORMALIZED <= values.least < 0
            and values.greatest <= _NORMALIZED
        ):
            raise BadSetting(f"{described}, which are normalized already: leave out {code}")
    if values.bytes and _is_one_of(step.factor, _OF_16_BITS):
        raise BadSetting(f"{described}, but {code} is for 16-bit values: use bs.Scale(1 / 255)")
    if not _is_one_of(step.factor, _OF_8_BITS):
        return
    least, greatest = (value * step.factor + step.offset for value in (values.least, values.greatest))
    if greatest > _GREATEST or least < _LEAST:
        full = full_brightness(values.greatest) if values.least >= 0 else None
        ways = 'bs.Normalize("data")' if full is None else f'bs.Scale(1 / {full}) or bs.Normalize("data")'
        raise BadSetting(
            f"{described}, but {code} is for values from 0 to 255: the result would be {least:.4g} to {greatest:.4g}; use {ways}"
        )


def _is_one_of(factor: float, factors: Sequence[float]) -> bool:
    """Return whether a factor equals one of ``factors``, up to the rounding of typical decimals."""
    return any(abs(factor - other) <= 2e-3 * other for other in factors)


def _check_normalize(step: Normalize, values: _Range, source: Source) -> None:
    if isinstance(step.mean, str):
        if not values.bytes:
            _check_unit(f'Normalize("{step.mean}")', values, source)
        return
    means, deviations = step.numbers
    if values.bytes:
        if max(means) > _GREATEST:
            raise BadSetting(
                f"{step!r} on 8-bit values: Normalize expects numbers for values on a scale of 0 to 1: divide them by 255"
            )
        return
    if values.least >= 0 and values.greatest <= 1 and min(means) > _GREATEST:
        raise BadSetting(f"{_described(values, source)}, but the means of {step!r} are above: divide its numbers by 255")
    # Channels may have different scales, which one mean does not show, unless all numbers are on one scale.
    unit = min(means) >= 0 and max(*means, *deviations) <= 1
    of_one_scale = len(means) == 1 or unit
    away = min(abs(values.mean - mean) / deviation for mean, deviation in zip(means, deviations, strict=True))
    centered = values.greatest - values.least > _LEVELS * max(deviations)  # whole numbers around 0, as images less 128
    if unit and values.integral and centered and _is_image(source.spec[source.primary]):
        _check_unit(repr(step), values, source)
    if of_one_scale and away > _DEVIATIONS:
        raise BadSetting(
            f"{_described(values, source)}, on average {away:,.0f} deviations from the mean of {step!r}: its numbers are for "
            f"another scale{_way(values) if unit else ''}"
        )


def _check_unit(name: str, values: _Range, source: Source) -> None:
    if values.greatest > _GREATEST or values.least < _BELOW_0:
        raise BadSetting(f"{_described(values, source)}, but {name} expects 0 to 1{_way(values, name)}")


def _way(values: _Range, name: str = "it") -> str:
    """Return text about how to scale values to 0 to 1."""
    if values.least < 0 and values.least >= -1 and values.greatest <= 1:
        return f": leave out {name}, or scale values of -1 to 1 to 0 to 1 with bs.Scale(1 / 2, 1 / 2) before it"
    if values.bytes or values.least < 0:
        return ": scale them to 0 to 1 with bs.Scale(factor, offset) before it"
    full = full_brightness(values.greatest)
    return f": put bs.Scale(1 / {full if full is not None else f'{values.greatest:g}'}) before it"


def _as_code(step: Scale) -> str:
    """Return the code of a step in its usual form: ``bs.Scale(1 / 255)``."""
    divisor = round(1 / step.factor)
    plain = step.offset == 0 and divisor > 1 and abs(step.factor * divisor - 1) < 1e-9
    return f"bs.Scale(1 / {divisor})" if plain else f"bs.{step!r}"


def _is_image(stored: Field | Encoded) -> bool:
    return isinstance(stored, Encoded) or (len(stored.shape) == 3 and image_channels(stored.shape) is not None)


def _described(values: _Range, source: Source) -> str:
    stored = source.spec[source.primary]
    return f"{source.primary} holds {stored.dtype} values from {values.least:g} to {values.greatest:g}"
