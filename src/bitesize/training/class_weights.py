"""Weights with which all classes count equally."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.sources.combine.with_fields import WithFields


def weigh_by_class(train: Source, count: int, classes: tuple[str, ...]) -> Source:
    """Multiply sample weights by class weights: Keras takes only one of them."""
    name, labels = train.weight_name, train.labels
    assert name is not None
    assert labels is not None
    by_class = class_weights(labels, classes)
    factors = np.array([by_class[i] for i in range(count)])
    weighed = WithFields(train, {name: train.column(name) * factors[labels]}, train.classes, train.label_name or "y")
    weighed.choices, weighed.weight_name = train.choices, name
    return weighed


def class_weights(labels: NDArray[np.int64], classes: tuple[str, ...]) -> dict[int, float]:
    """Return weights with which all classes count equally.

    Raises
    ------
    BadSetting
        If a class has no rows.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        name = classes[int(np.argmin(counts))]
        raise BadSetting(f"--class-weights: the class {name!r} has no training rows")
    return {i: float(len(labels) / (len(counts) * count)) for i, count in enumerate(counts)}
