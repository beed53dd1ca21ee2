"""HTML of a batch: its fields, and thumbnails of its first images with their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.html.notebook import Html, element, images, joined, output, table
from bitesize.memory.sizes import counted, format_size, rounded
from bitesize.pictures.picture import axes_of_pictures, said_of_pictures
from bitesize.pictures.thumbnails import MOST, thumbnail
from bitesize.spec import Field, channels_seem_first

# Ranges are measured in at most this much of a field, piece by piece.
_MEASURED, _PIECE = 64 << 20, 1 << 20
_SHARES = 3  # classes of a mixed label that are named
_NUMBERS = 4  # numbers of a label that are shown
_LEAST_SIDE = 8  # rows with two axes and a shorter side are tables or series, not images


@dataclass(frozen=True)
class RowDescription:
    """Description of the rows of a batch, as far as its arrays do not show it.

    Parameters
    ----------
    fields
        Shape, dtype and axes of each field.
    primary, label
        Names of the primary input, and of the labels if there are any.
    classes
        Names of the classes, by label, if there are any.
    layout
        Position of the channels of images.
    """

    fields: Mapping[str, Field]
    primary: str
    label: str | None
    classes: tuple[str, ...] | None
    layout: Literal["HWC", "CHW"]


class BatchFacts(NamedTuple):
    """A batch: its arrays, row numbers, mask and place, and what its rows are."""

    arrays: Mapping[str, Any]
    rows: NDArray[np.int64]
    mask: NDArray[np.bool_]
    epoch: int
    position: int
    rows_are: RowDescription | None


def batch_html(batch: BatchFacts) -> str:
    """Return the HTML of a batch. Nothing in it refers to the memory of the batch."""
    known = {name: value for name, value in batch.arrays.items() if hasattr(value, "shape") and hasattr(value, "dtype")}
    count = next((len(value) for value in known.values() if value.shape), 0)
    place = f", epoch {batch.epoch}, position {batch.position:,}" if batch.epoch >= 0 else ""
    padding = int(len(batch.mask) - batch.mask.sum())
    lines = [(name, *_described(value)) for name, value in known.items()]
    lines += [(name, "", type(value).__name__, "", "") for name, value in batch.arrays.items() if name not in known]
    return output(
        f"Batch: {counted(count, 'row')}{place}",
        table(lines, ["field", "shape", "dtype", "values", "size"], numbers=[4]),
        f"{counted(padding, 'row')} without data (padding, or not readable): their mask is False" if padding else "",
        *_pictures(batch, known),
        _KEPT if batch.rows_are is not None and any(map(_is_view, known.values())) else "",
    )


_KEPT = Html(
    "<p>A view into memory of the loader, which a cell that ends with the batch keeps in <code>Out[n]</code>: end it with "
    "<code>batch.copy()</code> instead, or delete the output with <code>%xdel _n</code>.</p>"
)


def _is_view(value: Any) -> bool:
    """Return whether an array is in memory of a loader."""
    return isinstance(value, np.ndarray) and not value.flags.owndata


def _described(value: Any) -> tuple[str, str, str, str]:
    """Return shape, dtype, range and size of a field as text."""
    nbytes = int(np.prod(value.shape)) * getattr(value.dtype, "itemsize", 0)
    return str(tuple(value.shape)), str(value.dtype).removeprefix("torch."), _range(value, nbytes), format_size(nbytes)


def _range(value: Any, nbytes: int) -> str:
    """Return the smallest and the largest value as text, and how many are NaN; "" for values that are not numbers."""
    if not nbytes or not value.shape:
        return ""
    rows = max(1, min(len(value), _MEASURED * len(value) // nbytes))
    low, high, missing, dtype = np.inf, -np.inf, 0, np.dtype(np.bool_)
    at_once = max(1, _PIECE * len(value) // nbytes)
    for row in range(0, rows, at_once):
        part = as_array(value[row : min(row + at_once, rows)])
        if part is None:
            return ""
        dtype = part.dtype
        flat = part.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            # Both ignore NaN.
            low, high = min(low, float(np.fmin.reduce(piece))), max(high, float(np.fmax.reduce(piece)))
            missing += int(np.isnan(piece).sum()) if piece.dtype.kind == "f" else 0
    if dtype == np.bool_:
        return "all True" if low else "False and True" if high else "all False"
    if low > high:
        return f"{missing:,} NaN"
    odd = f", {missing:,} NaN" if missing else ""
    part_of = f" (first {counted(rows, 'row')})" if rows < len(value) else ""
    return f"{rounded(low)} to {rounded(high)}{odd}{part_of}"


def as_array(value: Any) -> NDArray[Any] | None:
    """Return an array or tensor of any library as an array of numbers that NumPy calculates with, or None."""
    try:
        if hasattr(value, "detach"):  # PyTorch
            value = value.detach().cpu()
            value = value.float() if "float" in str(value.dtype) else value
        array = np.asarray(value)
    except Exception:  # noqa: BLE001 - a framework may refuse in any way, and a notebook still shows the other fields
        return None
    if array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):  # of ml_dtypes
        return array.astype(np.float32)
    return array if array.dtype.kind in "biuf" else None


def _pictures(batch: BatchFacts, known: Mapping[str, Any]) -> list[Html]:
    """Return thumbnails of the first rows and lines about them; none if rows are not images or volumes."""
    about = batch.rows_are
    name = about.primary if about is not None else "x"
    if name not in known or len(known[name].shape) < 3 or 0 in known[name].shape:
        return []
    first = as_array(known[name][:1])
    if first is None:
        return []
    field, channels_first = _field_of(name, first, about)
    axes = axes_of_pictures(field)
    if not axes or (not field.axes and min(field.shape[:2]) < _LEAST_SIDE):
        return []
    masks = _mask_of(known, about, field, axes)
    shown = []
    for i in range(min(MOST, len(known[name]))):
        caption = _caption(batch, known, i)
        if i < len(batch.mask) and not batch.mask[i]:
            shown.append(("", joined([caption, "no data"], "<br>")))
            continue
        row = as_array(known[name][i : i + 1])
        if row is None:
            return []
        pixels = np.moveaxis(row[0], 0, -1) if channels_first else row[0]
        mask = as_array(known[masks][i : i + 1]) if masks is not None else None
        shown.append((thumbnail(pixels, axes, f"{name} of {_alt(caption)}", None if mask is None else mask[0]), caption))
    said = [*said_of_pictures(field), *([f"classes of {masks} are colored over it, but not class 0"] if masks else [])]
    return [images(shown), *(Html(element("p", line)) for line in said)]


def _alt(caption: Html) -> str:
    import html

    return html.unescape(caption.replace("<br>", ", "))


def _field_of(name: str, value: NDArray[Any], about: RowDescription | None) -> tuple[Field, bool]:
    """Return the field of images with the channels last, and whether they come first in the batch."""
    shape = tuple(value.shape[1:])
    planned = about.fields.get(name) if about is not None else None
    if about is None or planned is None:
        first = channels_seem_first(shape)
    elif planned.shape != shape:  # PyTorch's tensors have the channels first
        first = (*planned.shape[-1:], *planned.shape[:-1]) == shape
        planned = None
    else:
        first = about.layout == "CHW" and len(shape) > 2 and not planned.axes
    if first and len(shape) in (3, 4):
        return Field((*shape[1:], shape[0]), value.dtype, axes="HWC" if len(shape) == 3 else "DHWC"), True
    return Field(shape, value.dtype, axes=planned.axes if planned is not None else ""), False


def _mask_of(known: Mapping[str, Any], about: RowDescription | None, field: Field, axes: str) -> str | None:
    """Return the name of the field with a class for each pixel, if there is one."""
    sides = field.shape[: len(axes.rstrip("C"))]
    for name, value in known.items():
        planned = about.fields.get(name) if about is not None else None
        is_mask = planned.mask if planned is not None else name == "y"
        if is_mask and tuple(value.shape[1:]) == sides and "int" in str(value.dtype):
            return name
    return None


def _caption(batch: BatchFacts, known: Mapping[str, Any], i: int) -> Html:
    """Return the label of a row and its number."""
    about = batch.rows_are
    name = about.label if about is not None else "y"
    label = known[name][i] if name is not None and name in known and known[name].shape else None
    text = ""
    if label is not None and np.ndim(label) < 2:
        values = as_array(label)
        text = label_text(label if values is None else values, about.classes if about is not None else None)
    number = f"row {batch.rows[i]:,}" if i < len(batch.rows) else f"number {i} of the batch"
    return joined([part for part in (text, number) if part], "<br>")


def label_text(label: Any, classes: tuple[str, ...] | None) -> str:
    """Return a label as text: the name of a class, classes with their shares, or numbers.

    Examples
    --------
    >>> classes = ("cat", "dog")
    >>> label_text(np.int64(1), classes), label_text(np.array([0.25, 0.75]), classes), label_text(np.float32(2.5), None)
    ('dog', 'dog 0.75, cat 0.25', '2.5')
    """
    values = np.ravel(label)
    if values.dtype.kind not in "biuf":
        return " ".join(map(str, values.tolist()[:_NUMBERS]))
    if classes is not None and values.size == len(classes) and np.ndim(label):
        order = [int(k) for k in np.argsort(-values, kind="stable")[:_SHARES] if values[k] > 0]
        return ", ".join(f"{classes[k]}{'' if values[k] == 1 else f' {values[k]:.2g}'}" for k in order)
    if classes is not None and not np.ndim(label) and values.dtype.kind in "iu" and 0 <= int(values[0]) < len(classes):
        return classes[int(values[0])]
    return ", ".join(rounded(float(value)) for value in values[:_NUMBERS]) + (", ..." if values.size > _NUMBERS else "")
