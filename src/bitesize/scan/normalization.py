"""``Normalize("data")`` and ``Percentiles(per="data")``: replaced by numbers that are measured on the source."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.scan.percentiles import percentiles
from bitesize.scan.statistics import statistics
from bitesize.sources.base import Source
from bitesize.spec import has_alpha
from bitesize.transforms.color import ColorMatrix
from bitesize.transforms.normalize import Normalize, Scale
from bitesize.transforms.window import Percentiles, Window

_log = logging.getLogger("bitesize")


def resolve_normalization(source: Source, transforms: Sequence[Any], budget: Budget) -> Sequence[Any]:
    """Return the transforms with measured numbers in place of ``"data"``.

    ``Normalize("data")`` gets mean and deviation, scaled by any `Scale` before it; ``Percentiles(per="data")`` becomes a `Window`.

    Raises
    ------
    BadSetting
        If another step before one of these changes the values.
    """
    transforms = _with_windows(source, transforms, budget)
    if not _asks(transforms, Normalize):
        return transforms
    found = statistics(source, budget)
    if found.note:
        _log.warning('Normalize("data") has one mean and deviation: %s', found.note)
    mean, std = found.normalization
    factor, offset = 255.0 if found.whole else 1.0, 0.0  # scale the statistics to the values before a step
    out: list[Any] = []
    changed = scaled = None
    for step in transforms:
        if isinstance(step, Normalize) and step.of_data:
            if changed is not None:
                raise BadSetting(
                    f'Normalize("data") is for values as stored, but {changed!r} before it changes them: remove one of the two'
                )
            if scaled:
                mean = tuple(each * factor + offset for each in mean)
                std = tuple(d * abs(factor) if known else 1.0 for d, known in zip(std, found.std, strict=False))
            step = Normalize(mean, std) if len(mean) > 1 else Normalize(mean[0], std[0])
        elif isinstance(step, Scale):
            factor, offset, scaled = factor * step.factor, offset * step.factor + step.offset, step
        if isinstance(step, Normalize | ColorMatrix | Window | Percentiles):
            changed = step
        out.append(step)
    return out


def _with_windows(source: Source, transforms: Sequence[Any], budget: Budget) -> Sequence[Any]:
    """Return the transforms with a `Window` of measured values in place of ``Percentiles(per="data")``."""
    if not _asks(transforms, Percentiles):
        return transforms
    out: list[Any] = []
    changed = None
    for step in transforms:
        if isinstance(step, Percentiles) and step.of_data:
            if changed is not None:
                raise BadSetting(f"put {step!r} before {changed!r}: it measures the values as stored")
            step = measured_window(source, step, budget)
        if isinstance(step, Normalize | Scale | ColorMatrix | Window | Percentiles):
            changed = step
        out.append(step)
    return out


def measured_window(
    source: Source, step: Percentiles, budget: Budget, on_error: Literal["raise", "skip"] = "raise"
) -> Window:  # fmt: skip
    """Return the `Window` between two percentiles of all values of a source, for each channel.

    Raises
    ------
    BitesizeError
        As `percentiles`.
    """
    lows, highs = percentiles(source, (step.low, step.high), budget, on_error=on_error).tolist()
    ranges = [(low, high if high > low else low + 1.0) for low, high in zip(lows, highs, strict=True)]
    ranges = ranges[:3] if has_alpha(source.spec[source.primary]) else ranges
    centers, widths = tuple((a + b) / 2 for a, b in ranges), tuple(b - a for a, b in ranges)
    return Window(centers, widths) if len(ranges) > 1 else Window(centers[0], widths[0])


def _asks(transforms: Sequence[Any], kind: type[Normalize | Percentiles]) -> bool:
    """Return whether a transform of a kind has no numbers yet."""
    return isinstance(transforms, Sequence) and any(isinstance(step, kind) and step.of_data for step in transforms)
