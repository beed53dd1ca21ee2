"""Converting labels of the user: numbers, names, targets or masks; and stratified splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.errors import BadSetting, one_line
from bitesize.sources.label_cells import check_cells, check_texts, check_values, refuse_masked, tag_lists
from bitesize.sources.text_labels import Texts, check_text, in_order, refuse_written_lists, split_tags, tags
from bitesize.spec import Encoded, Field, image_channels


def class_numbers(
    labels: Sequence[Any] | NDArray[Any], rows: int, tag_delimiter: str | None = ""
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return labels as an array, and the names of the classes if labels are text.

    Integers become int64; text becomes numbers, by name in sorted order; lists of text become a 0 or 1 for each tag; floats
    and arrays are kept (targets of a regression).

    Parameters
    ----------
    labels
        One label per row.
    rows
        Number of rows.
    tag_delimiter
        What separates several tags in one text, which become float32 of shape (rows, tags), 1 for each tag that a row has; empty
        if each text is one class; None to refuse text that looks like several tags.

    Raises
    ------
    BadSetting
        If the number of labels differs from the rows, a label is missing, only some are text, or text looks like several
        tags, or like paths of images.
    """
    refuse_masked(labels)
    cells = labels.tolist() if isinstance(labels, np.ndarray) and labels.dtype == object and labels.ndim == 1 else labels
    if isinstance(cells, list | tuple) and cells:
        lists = tag_lists(cells)
        if lists is not None:
            return _of_tag_lists(lists, rows, tag_delimiter)
        check_cells(cells)
        if all(isinstance(label, str) for label in cells):
            return _numbered(cells, rows, tag_delimiter)
    array = _array_of(cells)
    if array.ndim == 0 or len(array) != rows:
        given = "a single value" if array.ndim == 0 else f"{len(array)}"
        raise BadSetting(f"{rows} rows need the same number of labels: got {given}")
    if array.dtype.kind in "US" and array.ndim != 1:
        raise BadSetting(f"text labels must be one per row, not of shape {array.shape}")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "backslashreplace")
    check_values(array)
    if array.dtype.kind == "U":
        return _numbered(array.tolist(), rows, tag_delimiter)
    if tag_delimiter:
        raise BadSetting(f"tag_delimiter={tag_delimiter!r}: labels are {array.dtype}, not text")
    if array.dtype.kind in "iub" and array.ndim in (3, 4) and array.dtype.itemsize <= 2:
        # Masks keep their dtype: as int64 they would be eight times as large.
        return np.ascontiguousarray(array, np.uint8 if array.dtype.kind == "b" else array.dtype.newbyteorder("=")), None
    if array.dtype.kind in "iub":
        return np.ascontiguousarray(as_class_numbers(array)), None
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")), None


def _array_of(labels: Any) -> NDArray[Any]:
    """Return labels as an array of numbers or text."""
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise BadSetting(
            f"labels of different lengths, or not numbers: {one_line(error, 500)}; several tags per row are lists of text, "
            '[["a"], ["a", "b"]]'
        ) from error
    except Exception as error:  # whatever another library raises for memory or types that NumPy does not have
        raise BadSetting(f"labels, a {type(labels).__name__}, cannot be converted to a NumPy array: {error}") from error
    if array.dtype != object:
        return array
    if array.ndim == 0:
        raise BadSetting(f"labels must be one per row, but are a single {type(labels).__name__}: pass a list or an array")
    flat = array.ravel().tolist()
    if any(type(label) is int and not -(2**63) <= label < 2**63 for label in flat):
        raise BadSetting("labels must be below 2**63")
    odd = next((i for i, label in enumerate(array) if not isinstance(label, int | float | str | np.generic)), None)
    seen = "" if odd is None else f": the label of row {odd} is {array[odd]!r}"
    raise BadSetting(f"labels must be numbers or text, one per row{seen[:200]}")


def _of_tag_lists(
    lists: Sequence[Sequence[str]], rows: int, tag_delimiter: str | None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return a 0 or 1 for each tag of lists of tags."""
    if len(lists) != rows:
        raise BadSetting(f"{rows} rows need the same number of labels: got {len(lists)}")
    if tag_delimiter:
        raise BadSetting(f"tag_delimiter={tag_delimiter!r} separates tags in text, but labels are already lists of tags")
    found = tags(lists, np.arange(rows), "labels")
    return found.values, found.classes or ()


def as_class_numbers(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return whole numbers as int64.

    Raises
    ------
    BadSetting
        If a number is too large.
    """
    if labels.dtype.kind in "uO" and labels.max(initial=0) > np.iinfo(np.int64).max:
        raise BadSetting("labels must be below 2**63")
    return labels.astype(np.int64, copy=False)


def check_weights(values: NDArray[Any], name: str, where: str) -> NDArray[np.floating[Any]]:
    """Return sample weights as floats.

    Raises
    ------
    BadSetting
        If a weight is negative, infinite or NaN, or all weights are 0.
    """
    weights = values.astype(np.result_type(values.dtype, np.float32))
    bad = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
    if bad.size:
        raise BadSetting(
            f"weights must be 0 or more: {name!r} of {where} is {weights[bad[0]]:g} in row {bad[0]} ({bad.size:,} such rows); "
            'weights="" uses the column as an ordinary field'
        )
    if not weights.any():
        raise BadSetting(f'all weights {name!r} of {where} are 0; weights="" uses the column as an ordinary field')
    return weights


def _numbered(labels: Sequence[str], rows: int, tag_delimiter: str | None) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return class numbers of names in sorted order; undecodable bytes are escaped for printing and saving."""
    if len(labels) != rows:
        raise BadSetting(f"{rows} rows need the same number of labels: got {len(labels)}")
    if tag_delimiter:
        texts = Texts.of(labels)
        refuse_written_lists(texts.values, "labels")
        return tags([split_tags(text, tag_delimiter) for text in texts.values], texts.numbers, "labels")[:2]
    check_texts(labels)
    if tag_delimiter is None:
        check_text(list(dict.fromkeys(labels)), "labels")
    shown = {label: label.encode("utf-8", "backslashreplace").decode() for label in {*map(str, labels)}}
    names = in_order({*shown.values()})
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[shown[str(label)]] for label in labels], np.int64), tuple(names)


def label_field(labels: NDArray[Any], x: Field | Encoded) -> Field:
    """Return the field of labels for inputs ``x``: whole numbers per pixel of an image are a mask."""
    shape = labels.shape[1:]
    image = isinstance(x, Field) and len(x.shape) == 3 and image_channels(x.shape) is not None and shape == x.shape[:2]
    return Field(shape, labels.dtype, mask=image and labels.dtype.kind in "iu")


def split_classes(
    labels: NDArray[np.int64] | None, rows: int, fraction: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return a random selection of a fraction of the rows of each class, as booleans of shape (rows,)."""
    labels = np.zeros(rows, np.int64) if labels is None else labels
    first = np.zeros(rows, np.bool_)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = round(fraction * len(members))
        if len(members) > 1:  # each part gets rows of each class that has enough
            count = min(max(count, 1), len(members) - 1)
        first[members[:count]] = True
    return first


def split_groups(by: ArrayLike, rows: int, fraction: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return a random selection of whole groups with about a fraction of the rows, as booleans of shape (rows,)."""
    try:
        groups = np.asarray(by)
        if groups.dtype == object:
            groups = groups.astype(str)
    except ValueError as error:
        raise BadSetting(f"by needs one group per row: {error}") from error
    if groups.shape != (rows,):
        raise BadSetting(f"by needs one group per row, shape ({rows},), not {groups.shape}")
    _, member_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = random.permutation(len(sizes))
    # The first groups, up to the fraction: a group is included if its middle is within it.
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[middle <= fraction * rows]] = True
    return chosen[member_of]
