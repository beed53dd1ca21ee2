"""``Normalize("data")``: replaced by the mean and deviation of the source."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.scan.statistics import statistics
from bitesize.sources.base import Source
from bitesize.transforms.color import ColorMatrix
from bitesize.transforms.normalize import Normalize, Scale

_log = logging.getLogger("bitesize")


def resolve_normalization(source: Source, transforms: Sequence[Any], budget: Budget) -> Sequence[Any]:
    """Return the transforms with the statistics of the source in ``Normalize("data")``, scaled by any `Scale` before it.

    Raises
    ------
    BadSetting
        If another step before ``Normalize("data")`` changes the values.
    """
    if not isinstance(transforms, Sequence) or not any(isinstance(step, Normalize) and step.of_data for step in transforms):
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
        if isinstance(step, Normalize | ColorMatrix):
            changed = step
        out.append(step)
    return out
