"""Describe the labels of data, for messages about tasks that do not fit them."""

from __future__ import annotations

from bitesize.sources.base import Source
from bitesize.spec import Encoded


def describe_labels(source: Source) -> str:
    """Return what the labels of a source are: classes, tags, numbers or masks.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> x = np.zeros((3, 2))
    >>> [describe_labels(bs.open(x, y)) for y in (["a", "b", "a"], [["a"], ["b"], []], [1.5, 2, 3], np.ones((3, 4)) / 2)]
    ['2 classes, such as a', '2 tags, such as a', 'one number per row (float64)', '4 numbers per row (float64)']
    """
    field = source.spec.get("y")
    if field is None:
        return f"{len(source.classes or ()):,} classes" if source.labels is not None else "missing"
    if isinstance(field, Encoded) or field.mask:
        return f"masks: {field}"
    if source.labels is not None:
        return f"{len(source.classes):,} classes, such as {source.classes[0]}" if source.classes else "whole numbers"
    if len(field.shape) == 1 and source.classes:
        return f"{len(source.classes):,} tags, such as {source.classes[0]}"
    if len(field.shape) <= 1:
        count = field.shape[0] if field.shape else 1
        return f"{'one number' if count == 1 else f'{count:,} numbers'} per row ({field.dtype})"
    return str(field)
