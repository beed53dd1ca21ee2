"""Changing the class numbers and class names of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bitesize.errors import BadSetting
from bitesize.files.scan import class_key
from bitesize.sources.base import Source
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.row_source import MOST_CLASSES


def renumber(source: Source, classes: Sequence[str]) -> Source:
    """Return the source with renumbered classes; see `Source.renumber`."""
    if source.classes is None or source.labels is None:
        raise BadSetting(f"{source!r} has no classes")
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise BadSetting(f"renumber needs a list of names, not {classes!r:.100}")
    if not all(isinstance(name, str) for name in classes) or len({*classes}) < len(classes):
        raise BadSetting(f"renumber needs a list of unique names, not {list(classes)!r:.100}")
    there = set(classes)
    unknown = [name for name in source.classes if name not in there]
    if unknown:
        raise BadSetting(f"the class {unknown[0]!r} is not in the list of names: {', '.join(classes[:10])}")
    if tuple(classes) == source.classes:
        return source
    index = {name: i for i, name in enumerate(classes)}
    numbers = np.array([index[name] for name in source.classes], np.int64)
    label = source.label_name or "y"
    return WithFields(source, {label: numbers[source.labels]}, tuple(classes), label)


def map_labels(source: Source, names: Mapping[Any, str] | Callable[[Any], str]) -> Source:
    """Return the source with renamed classes; see `Source.map_labels`."""
    labels = source.labels
    if labels is None:
        raise BadSetting(f"{source!r} has no class labels")
    if not callable(names) and not isinstance(names, Mapping):
        raise BadSetting(f"map_labels needs a mapping of old names to new ones, or a function, not {names!r:.100}")
    old: Sequence[Any] = source.classes if source.classes is not None else range(int(labels.max()) + 1)
    if source.classes is None and (labels.min() < 0 or len(old) > max(MOST_CLASSES, len(labels))):
        numbered, labels = np.unique(labels, return_inverse=True)  # the numbers in use, such as -1
        old = numbered.tolist()
    try:
        new = [names(name) if callable(names) else names[name] for name in old]
    except KeyError as error:
        raise BadSetting(f"map_labels has no new name for the class {error}") from error
    for name, other in zip(old, new, strict=True):
        if not isinstance(other, str | int | np.integer):
            raise BadSetting(f"map_labels maps the class {name!r} to {other!r}, which is neither text nor a whole number")
    new = [str(name) for name in new]
    classes = sorted(set(new), key=class_key)
    index = {name: i for i, name in enumerate(classes)}
    numbers = np.array([index[name] for name in new], np.int64)
    label = source.label_name or "y"
    return WithFields(source, {label: numbers[labels]}, tuple(classes), label)
