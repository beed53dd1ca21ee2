"""Derive the classes for the command line from labels of any kind, or raise with a description of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.open_to_train import WHOLE_NUMBERS
from bitesize.sources.text_labels import AS_TEXT
from bitesize.spec import Encoded, Field

# Text of choices about labels that are whole numbers.
_WHOLE = "different whole numbers"
# More distinct whole numbers than this, in more than half of the rows, are a quantity.
_MOST_CLASSES = 20


def with_classes(source: Source, labels: str | None, where: str) -> Source:
    """Return the source with class labels, which may be stored as whole floats or in a column of shape (n, 1).

    Parameters
    ----------
    source
        Result of `open_to_train`.
    labels
        The option ``--labels``, for messages.
    where
        Name of the data, for messages.

    Raises
    ------
    BadSetting
        If there are no labels, or they are not classes: targets, masks, several per row, or a quantity.
    """
    field = source.spec.get("y")
    if field is None and source.labels is None:
        raise BadSetting(_no_classes(source, where))
    shown = f"the labels of {where}" if labels is None else f"labels={labels} of {where}"
    if isinstance(field, Encoded) or (field is not None and (field.mask or field.shape not in ((), (1,)))):
        raise BadSetting(f"--task classify needs one class per row, but the labels of {where} are {field}")
    if source.labels is None:
        assert isinstance(field, Field)
        source = _numbered(source, field, shown)
    _refuse_quantity(source, shown)
    return source


def _numbered(source: Source, field: Field, shown: str) -> Source:
    """Convert whole floats, and columns of shape (n, 1), to class numbers."""
    values = _all_labels(source, field).reshape(-1)
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        odd = values[~np.isfinite(values) | (values != np.floor(values))][0]
        if np.isfinite(odd):
            raise BadSetting(f"{shown} are numbers such as {odd:g}, but --task classify learns classes: use --task regress")
        raise BadSetting(f"{shown} have values that are {odd:g}: replace them, or remove those rows")
    numbers, places = np.unique(values.astype(np.int64), return_inverse=True)
    names = tuple(map(str, numbers.tolist()))
    taken = WithFields(source, {"y": places.astype(np.int64).reshape(-1)}, names, "y")
    stored = f"{field.dtype} numbers" if not field.shape else f"a column of shape (n, 1) of {field.dtype}"
    others = [choice for choice in source.choices if choice.setting != AS_TEXT]  # they were numbers
    taken.choices = (*others, Choice(f"labels: {stored}, {len(numbers):,} {WHOLE_NUMBERS}", "labels="))
    return taken


def _all_labels(source: Source, field: Field) -> Any:
    if not field.shape:
        return source.column("y")
    values = np.empty((len(source), *field.shape), field.dtype)
    at_once = 65_536
    for start in range(0, len(source), at_once):
        rows = np.arange(start, min(start + at_once, len(source)), dtype=np.int64)
        source.read(rows, {"y": values[start : start + len(rows)]})
    return values


def _refuse_quantity(source: Source, shown: str) -> None:
    """Raise if classes are whole numbers, and nearly every row has a different one."""
    classes, labels = source.classes, source.labels
    assert labels is not None
    if classes is None:
        raise BadSetting(f"{shown} have too many distinct numbers to be classes")
    if is_quantity(source):
        raise BadSetting(
            f"{shown} have {len(np.unique(labels)):,} distinct whole numbers in {len(labels):,} rows: that is a quantity to predict, not a "
            "class: use --task regress"
        )


def is_quantity(source: Source) -> bool:
    """Return whether classes are whole numbers, and nearly every row has a different one."""
    labels = source.labels
    if labels is None or not any(_WHOLE in choice.chosen and "classes" in choice.chosen for choice in source.choices):
        return False
    return are_quantity(len(np.unique(labels)), len(labels))


def are_quantity(distinct: int, rows: int) -> bool:
    """Return whether numbers are a quantity, because nearly every row has a different one."""
    return distinct > _MOST_CLASSES and distinct > rows / 2


def _no_classes(source: Source, where: str) -> str:
    """Return a message with the contents of the data, and the setting that chooses the labels."""
    left = "; ".join(f"left out: {count:,} {why}" for why, count in source.left_out.items())
    columns = [name for name in source.column_names if name not in ("x", "y", source.weight_name)]
    if source.feature_names:
        columns = list(dict.fromkeys([*columns, *source.feature_names]))
    if columns:
        names = ", ".join(columns[:30]) + (", ..." if len(columns) > 30 else "")
        return f"{where} has no column recognized as labels. Its columns are {names}: choose one with labels=NAME" + (
            f" ({left})" if left else ""
        )
    if source.path(0) is not None:
        advice = (
            "put the files of each class in a separate folder, or list them in a CSV with the columns path and label "
            "(labels=labels.csv)"
        )
    else:
        advice = "its only field is x. Labels are found in a field y or label, or by labels=NAME"
    return f"{where} has no classes" + (f" ({left})" if left else "") + f": {advice}"


def largest_class(source: Source | None, classes: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the largest class of validation data, as ``class`` and ``share``: the accuracy of always predicting it."""
    if source is None or source.labels is None or not len(source):
        return None
    counts = np.bincount(source.labels, minlength=len(classes))
    return {"class": classes[int(counts.argmax())], "share": round(float(counts.max() / counts.sum()), 6)}


def match_classes(source: Source, classes: tuple[str, ...], where: str) -> Source:
    """Map the classes of a source, by name, to the class numbers of a run.

    Raises
    ------
    BadSetting
        If the source has no classes, or a class that is unknown to the run.
    """
    if source.classes is None:
        raise BadSetting(_no_classes(source, where))
    unknown = [name for name in source.classes if name not in classes]
    if unknown:
        known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        raise BadSetting(f"{where}: class {unknown[0]!r} is unknown to this model; its classes are {known}")
    choices = source.choices
    matched = source.renumber(classes)
    matched.choices = choices
    return matched
