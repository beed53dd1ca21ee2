"""Indexing as in NumPy, reading only the selected values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.lazy.nodes import Node
from bitesize.lazy.select import Select

_LARGEST = 1 << 63
Fresh = Callable[[tuple[int, ...]], NDArray[Any]]


@dataclass
class _Axis:
    """The part of an index for one axis of the array, or for a new axis."""

    source: int | None  # None: a new axis, or a single True or False
    cut: range | None  # entries of a slice
    entry: NDArray[np.int64] | None = None  # entries that are listed, or one integer
    scalar: bool = False


def take(node: Node, index: Any, fresh: Fresh) -> NDArray[Any]:
    """Return ``array[index]``.

    Parameters
    ----------
    node
        The array.
    index
        Any index of NumPy: integers, slices, arrays of integers or booleans, ellipsis, ``None``, single booleans.
    fresh
        Function that allocates the result, given its shape.

    Raises
    ------
    IndexError
        As in NumPy.
    """
    axes = _parse(node.shape, index)
    listed = [axis for axis in axes if axis.entry is not None]
    if all(axis.scalar for axis in listed):
        for axis in listed:
            _check(axis, node.shape)
        return _take_basic(node, axes, fresh)
    return _take_listed(node, axes, listed, fresh)


def _parse(shape: tuple[int, ...], index: Any) -> list[_Axis]:
    given = list(index) if isinstance(index, tuple) else [index]
    given = [_as_array(part) for part in given]
    used = sum(_axes_of(part) for part in given)
    if used > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed")
    gaps = [i for i, part in enumerate(given) if part is Ellipsis]
    if len(gaps) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    at = gaps[0] if gaps else len(given)
    # An ellipsis separates the arrays on its sides even if it covers no axis.
    missing: list[Any] = [slice(None)] * (len(shape) - used)
    given[at : at + 1] = missing or ([...] if gaps else [])
    axes: list[_Axis] = []
    source = 0
    for part in given:
        if part is Ellipsis:
            axes.append(_Axis(None, None))
            continue
        if part is None:
            axes.append(_Axis(None, range(1)))
            continue
        axes += _axis_of(part, source, shape)
        source += _axes_of(part)
    return axes


def _as_array(part: Any) -> Any:
    """Return lists, ranges, tuples within a tuple, and lazy arrays as arrays of numbers."""
    if isinstance(part, list | tuple | range) or (
        hasattr(part, "__array__") and not isinstance(part, np.ndarray | np.generic)
    ):
        array = np.asarray(part)
        return array.astype(np.int64) if not array.size and not hasattr(part, "__array__") else array
    return np.asarray(part) if isinstance(part, bool | np.bool_) else part


def _axes_of(part: Any) -> int:
    """Return the number of axes that a part of an index covers."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == np.bool_ else 1


def _axis_of(part: Any, source: int, shape: tuple[int, ...]) -> list[_Axis]:
    if isinstance(part, slice):
        return [_Axis(source, range(shape[source])[part])]
    if isinstance(part, np.ndarray) and part.dtype == np.bool_:
        if not part.ndim:  # a new axis, with one entry or none, among the listed axes
            return [_Axis(None, None, np.zeros(int(part), np.int64))]
        for k, n in enumerate(part.shape):
            if n and n != shape[source + k]:  # NumPy accepts a mask without entries
                raise IndexError(
                    f"boolean index did not match indexed array along axis {source + k}; size of axis is "
                    f"{shape[source + k]} but size of corresponding boolean axis is {n}"
                )
        return [_Axis(source + k, None, found) for k, found in enumerate(np.nonzero(part))]
    if isinstance(part, np.ndarray) and part.ndim:
        if part.dtype.kind not in "iu":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        return [_Axis(source, None, part.astype(np.int64))]
    try:
        number = operator.index(part)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or boolean arrays are valid indices"
        ) from None
    if not -_LARGEST <= number < _LARGEST:
        raise IndexError(f"index {number} is out of bounds for axis {source} with size {shape[source]}")
    return [_Axis(source, None, np.array(number, np.int64), scalar=True)]


def _check(axis: _Axis, shape: tuple[int, ...]) -> None:
    """Convert listed entries to nonnegative numbers; raise `IndexError` for those out of bounds."""
    if axis.source is None or axis.entry is None:
        return
    size, numbers = shape[axis.source], axis.entry
    wrong = (numbers < -size) | (numbers >= size)
    if wrong.any():
        raise IndexError(f"index {numbers[wrong].flat[0]} is out of bounds for axis {axis.source} with size {size}")
    axis.entry = np.where(numbers < 0, numbers + size, numbers)


def _take_basic(node: Node, axes: list[_Axis], fresh: Fresh) -> NDArray[Any]:
    """Return the values selected by integers and slices."""
    axes = [axis for axis in axes if axis.source is not None or axis.cut is not None]
    out = fresh(tuple(len(axis.cut) for axis in axes if axis.cut is not None))
    # A view with the original axes: integers have length 1, new axes are dropped, and backward slices run forward.
    view = out[(..., *(None if axis.cut is None else 0 if axis.source is None else _along(axis.cut) for axis in axes))]
    node.read(tuple(_forward(axis) for axis in axes if axis.source is not None), view)
    return out


def _along(cut: range) -> slice:
    return slice(None, None, -1 if cut.step < 0 else 1)


def _forward(axis: _Axis) -> Select:
    if axis.cut is None:
        assert axis.entry is not None
        number = int(axis.entry)
        return range(number, number + 1)
    return axis.cut[::-1] if axis.cut.step < 0 else axis.cut


def _take_listed(node: Node, axes: list[_Axis], listed: list[_Axis], fresh: Fresh) -> NDArray[Any]:
    """Return the values selected by arrays of numbers: point by point along their axes, whole along the others."""
    entries = [axis.entry for axis in listed if axis.entry is not None]
    try:
        points = np.broadcast_arrays(*entries)
    except ValueError:
        shapes = " ".join(str(entry.shape) for entry in entries)
        raise IndexError(f"shape mismatch: indexing arrays could not be broadcast together with shapes {shapes}") from None
    for axis in listed:
        if axis.scalar or points[0].size:  # NumPy does not check listed numbers that select nothing
            _check(axis, node.shape)
    points = np.broadcast_arrays(*(axis.entry for axis in listed if axis.entry is not None))
    places = [i for i, axis in enumerate(axes) if axis.entry is not None]
    together = places == list(range(places[0], places[-1] + 1))
    # NumPy keeps the position of listed axes if they are adjacent, else moves them to the front.
    front = places[0] if together else 0
    before = [axis for axis in axes[:front] if axis.cut is not None]
    after = [axis for axis in axes[front:] if axis.cut is not None]
    shape = points[0].shape
    sides = [tuple(len(axis.cut) for axis in side if axis.cut is not None) for side in (before, after)]
    out = fresh((*sides[0], *shape, *sides[1]))
    flat = out.reshape((*sides[0], points[0].size, *sides[1]))
    view = np.moveaxis(flat, len(before), 0)
    kept = [*before, *after]
    view = view[(slice(None), *(0 if axis.source is None else _along(axis.cut) for axis in kept if axis.cut is not None))]
    slices: dict[int, Select] = {axis.source: _forward(axis) for axis in kept if axis.source is not None}
    numbers = {axis.source: found.reshape(-1) for axis, found in zip(listed, points, strict=True) if axis.source is not None}
    _read_points(node, slices, numbers, view)
    return out


def _read_points(
    node: Node, slices: dict[int, Select], numbers: dict[int, NDArray[np.int64]], out: NDArray[Any]
) -> None:  # fmt: skip
    """Read points along the axes in ``numbers`` into the first axis of ``out``, whose others are ``slices`` in order."""
    if not out.size:
        return
    if not numbers:  # a single True, perhaps broadcast
        node.read(tuple(slices[axis] for axis in sorted(slices)), out[0, ...])
        out[1:] = out[0]
        return
    varying = [axis for axis, points in numbers.items() if (points != points[0]).any()]
    if len(varying) <= 1:
        along = varying[0] if varying else next(iter(numbers))
        select = dict(slices) | {axis: range(int(points[0]), int(points[0]) + 1) for axis, points in numbers.items()}
        select[along] = numbers[along]
        order = sorted(select)
        # The first axis of `out` is `along`; the other listed axes have length 1, at their positions.
        rest = [axis for axis in order if axis in slices]
        turned = np.moveaxis(out, 0, sum(axis < along for axis in rest))
        view = turned[tuple(slice(None) if axis in slices or axis == along else None for axis in order)]
        node.read(tuple(select[axis] for axis in order), view)
        return
    # Points with the same entry along the first axis are read together.
    first = varying[0]
    _, inverse = np.unique(numbers[first], return_inverse=True)
    groups = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    for positions in groups:
        some = {axis: points[positions] for axis, points in numbers.items()}
        held = np.empty((len(positions), *out.shape[1:]), out.dtype)
        _read_points(node, slices, some, held)
        out[positions] = held
