"""Markers and labels of rows that were read, and the first difference from what is meant."""

import math
from collections import Counter

import numpy as np


def difference(layout, source, rows, meant):
    """Return how rows that were read differ from labels by marker; empty where they do not."""
    label, classes = source.label_name, source.classes
    count = max((len(values) for values in rows.values()), default=0)
    field, found = markers(rows, source.primary, label, layout.scale, set(meant))
    if count != len(meant):
        labels = Counter(brief(readable(value, classes)) for value in rows.get(label, ()))
        return f"{count} rows, meant {len(meant)}; labels {label}: {dict(labels.most_common(5))}"
    if None in found:
        first = {name: brief(np.asarray(values[0])) for name, values in rows.items()}
        return f"{found.count(None)} of {count} rows not found by their content; the first row is {first}"
    if len(set(found)) != len(found):
        return f"rows twice: {[each for each, times in Counter(found).items() if times > 1][:5]}"
    if layout.width is not None:
        sizes = {name: np.asarray(values[0]).size for name, values in rows.items() if name != label}
        if sum(sizes.values()) != layout.width:
            return f"{sum(sizes.values())} numbers in a row without its label, meant {layout.width}: {sizes}"
    fields = [label] if label else []
    if any(isinstance(each, tuple | frozenset) for each in meant.values()):
        fields += [name for name in rows if name not in (label, source.primary, field)]
    differences = [
        label_difference(rows, name, found, meant, classes if name == label else None) for name in fields or [None]
    ]
    return "" if "" in differences else "; ".join(differences)


def label_difference(rows, field, found, meant, classes):
    """Return how many labels of a field differ, and the first of them."""
    labels = [readable(value, classes) for value in rows[field]] if field else [None] * len(found)
    wrong = [(at, label) for at, label in zip(found, labels, strict=True) if not same(meant[at], label, classes)]
    if not wrong:
        return ""
    at, label = wrong[0]
    return f"field {field}: {len(wrong)} of {len(found)} labels differ; row {at} has {brief(label)}, meant {meant[at]!r}"


def markers(rows, main, label, scale, known):
    """Return the field that the markers are in, and the marker of each row or None."""
    best = (None, [None] * max((len(values) for values in rows.values()), default=0))
    names = dict.fromkeys([main, "x", *(name for name in rows if name != label)])
    for name in names:
        for values in candidates(rows.get(name, ()), scale):
            found = [marker_of(value, scale, known) for value in values]
            if None not in found and len(set(found)) == len(found):
                return name, found
            if sum(each is not None for each in found) > sum(each is not None for each in best[1]):
                best = (name, found)
    return best


def candidates(values, scale):
    """Return the lists of one number for each row that can be its marker: its gray level, or one of its columns."""
    try:
        arrays = [np.asarray(value, np.float64) for value in values]
    except (TypeError, ValueError):
        return []
    if not arrays:
        return []
    if all(array.ndim >= 2 for array in arrays):
        return [[gray_level(array, scale) for array in arrays]]
    return [[array.ravel()[column] for array in arrays] for column in range(min(200, *(array.size for array in arrays)))]


def gray_level(array, scale):
    """Return the value that an array consists of, but for the noise of lossy formats, or None."""
    if array.ndim >= 3 and array.shape[-1] <= 4:
        array = array[..., 0]
    return float(np.median(array)) if array.size and np.ptp(array) <= 4 * scale else None


def marker_of(value, scale, known):
    """Return the marker that a value stands for: as it is, scaled, or between 0 and 1."""
    if value is None or not math.isfinite(value):
        return None
    for factor, noise in ((1, 2.5), (1 / scale, 2.5), (255, 1)):
        nearest = 7 * round(value * factor / 7)
        if nearest in known and abs(value * factor - nearest) <= noise:
            return nearest
    return None


def readable(value, classes):
    """Return a label that was read: the name of its class, text, a number, a tuple of texts, or an array."""
    array = np.asarray(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if array.dtype.kind in "US" or (array.dtype == object and array.ndim == 0):
        return as_text(value)
    if array.dtype == object:
        return tuple(as_text(each) for each in array.ravel())
    if array.ndim:
        return array
    number = array.item()
    if isinstance(number, float) and math.isnan(number):
        return None
    if classes is None or not float(number).is_integer():
        return number
    if number < 0:
        return None
    return classes[int(number)] if number < len(classes) else f"class {number} of {len(classes)}"


def as_text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def same(meant, read, classes):
    """Return whether a label that was read is the one that is meant."""
    if meant is None or read is None:
        return meant is read
    if isinstance(meant, frozenset):
        return same_tags(meant, read, classes)
    if isinstance(meant, tuple):
        array = np.asarray(read)
        numeric = array.dtype.kind in "iufb"
        if meant[0] == "mask":
            return numeric and array.ndim >= 2 and np.ptp(array) == 0 and array.flat[0] == meant[1]
        if meant[0] == "boxes":
            return numeric and array.ndim == 2 and np.count_nonzero(~padding(array)) == meant[1]
        return numeric and array.size == len(meant) and np.allclose(array.ravel(), meant, atol=1e-4)
    if isinstance(read, np.ndarray):
        if read.size == 1:
            return same(meant, readable(read.ravel()[0], classes), classes)
        one_hot = classes is not None and read.shape == (len(classes),) and sorted(read) == [0] * (len(classes) - 1) + [1]
        return one_hot and same(meant, classes[int(read.argmax())], classes)
    if isinstance(read, tuple):
        return len(read) == 1 and same(meant, read[0], classes)
    return meant == read if isinstance(meant, str) and isinstance(read, str) else same_number(meant, read)


def same_tags(meant, read, classes):
    if isinstance(read, np.ndarray):
        return classes is not None and read.shape == (len(classes),) and {classes[i] for i in np.flatnonzero(read)} == meant
    return isinstance(read, tuple) and set(read) == meant


def padding(boxes):
    """Return which rows of an array of boxes are not boxes."""
    boxes = boxes.astype(float)
    return np.all((boxes == 0) | (boxes == -1) | ~np.isfinite(boxes), axis=1)


def same_number(meant, read):
    """Return whether two labels are the same number, or one is its text: "3", never "03"."""
    for each in (meant, read):
        if isinstance(each, str) and len(each) > 1 and each[0] == "0" and each[1] != ".":
            return False
    try:
        return math.isclose(float(meant), float(read), rel_tol=1e-5, abs_tol=1e-5)
    except (TypeError, ValueError):
        return str(meant) == str(read)


def brief(value):
    """Return a value in a few words."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.ndim >= 2 and value.size and np.ptp(value) == 0:
        return f"an array {value.shape} of {value.flat[0]}"
    return f"an array {value.shape}: {value.ravel()[:6].tolist()}"
