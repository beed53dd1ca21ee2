"""Selections: the selected entries of an array along each axis; and reading them from values in C order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Along one axis: evenly spaced entries (ascending), or entries as listed.
Select = range | NDArray[np.int64]
# Temporary memory of one step between disk and result.
SCRATCH = 4 << 20
# Entries closer than this are read together: a separate read costs as much as reading this distance.
NEAR = 64 << 10


def whole(shape: tuple[int, ...]) -> tuple[Select, ...]:
    """Return the selection of a whole array."""
    return tuple(range(n) for n in shape)


def lengths(select: tuple[Select, ...]) -> tuple[int, ...]:
    """Return the shape of a selection."""
    return tuple(len(part) for part in select)


def part_of(select: tuple[Select, ...], tile: tuple[slice, ...]) -> tuple[Select, ...]:
    """Return the selection of a block of a selection."""
    return tuple(part[cut] for part, cut in zip(select, tile, strict=True))


def places_of(select: Select, places: slice | NDArray[np.int64]) -> Select:
    """Return the selection at some positions of a selection along one axis."""
    if isinstance(select, range) and isinstance(places, slice):
        return select[places]
    return np.asarray(select)[places]


def compose(base: range, select: Select) -> Select:
    """Return the composition of an evenly spaced selection and another selection."""
    if isinstance(select, range):
        return base[select.start : select.stop : select.step]
    return base.start + base.step * select


def tiles(shape: tuple[int, ...], itemsize: int, nbytes: int) -> Iterator[tuple[slice, ...]]:
    """Yield blocks of an array of at most about ``nbytes`` bytes, in C order.

    Examples
    --------
    >>> [tile[0] for tile in tiles((5, 10), 1, 20)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if 0 in shape:
        return
    axis, unit = -1, math.prod(shape) * itemsize
    while unit > nbytes and axis < len(shape) - 1:
        axis += 1
        unit //= shape[axis]
    rest = tuple(slice(0, n) for n in shape[axis + 1 :])
    if axis < 0:
        yield rest
        return
    step = max(1, nbytes // unit)
    for outer in np.ndindex(shape[:axis]):
        head = tuple(slice(i, i + 1) for i in outer)
        for start in range(0, shape[axis], step):
            yield (*head, slice(start, min(start + step, shape[axis])), *rest)


def choose(array: NDArray[Any], select: tuple[Select, ...]) -> NDArray[Any]:
    """Return a selection of an array in memory; a view if it is evenly spaced."""
    array = array[tuple(slice(s.start, s.stop, s.step) if isinstance(s, range) else slice(None) for s in select)]
    for axis, part in enumerate(select):
        if not isinstance(part, range):
            array = array.take(part, axis=axis)
    return array


def gather(
    shape: tuple[int, ...], select: tuple[Select, ...], out: NDArray[Any], read: Callable[[int, NDArray[Any]], None]
) -> None:
    """Read a selection of values stored in C order.

    Parameters
    ----------
    shape
        Shape of all values.
    select
        Selection along each axis.
    out
        Array to fill, with any strides, of shape `lengths` of ``select``.
    read
        ``read(first, flat)`` fills a contiguous array with the values from number ``first``.
    """
    if not out.size:
        return
    if not shape:
        value = np.empty(1, out.dtype)
        read(0, value)
        out[...] = value[0]
        return
    axis, unit, complete = _unit_of(shape, select, out)
    steps = [math.prod(shape[i + 1 :]) for i in range(axis)]
    inner = select[axis + 1 :]
    for outer in np.ndindex(out.shape[:axis]):
        first = sum(int(select[i][j]) * steps[i] for i, j in enumerate(outer))
        target = out[outer]
        for positions, begin, end, run in _spans(select[axis], unit * out.itemsize, complete and target.flags.c_contiguous):
            into = target[positions]
            if complete and run and into.flags.c_contiguous:
                read(first + begin * unit, into.reshape(-1))
                continue
            span = np.empty((end - begin, *shape[axis + 1 :]), out.dtype)
            read(first + begin * unit, span.reshape(-1))
            target[positions] = choose(span, (_entries(select[axis], positions, begin), *inner))


def _unit_of(shape: tuple[int, ...], select: tuple[Select, ...], out: NDArray[Any]) -> tuple[int, int, bool]:
    """Choose the axis whose entries are read whole: (axis, values per entry, whether all of them are wanted)."""
    axis, unit, complete = len(shape) - 1, 1, True
    most = math.inf if out.flags.c_contiguous else SCRATCH  # else values are read through temporary memory
    while axis:
        nbytes = unit * shape[axis] * out.itemsize
        every = complete and select[axis] == range(shape[axis]) if isinstance(select[axis], range) else False
        if nbytes > (most if every else NEAR):
            break
        axis, unit, complete = axis - 1, unit * shape[axis], every
    return axis, unit, complete


def _spans(select: Select, nbytes: int, direct: bool) -> Iterator[tuple[slice | NDArray[np.int64], int, int, bool]]:
    """Yield the reads of a selection: (positions in the selection, first entry, end, whether all are neighbors).

    Entries have ``nbytes`` bytes; neighbors, or near neighbors, are read together, up to `SCRATCH`. If the result is written
    ``direct``, a range of neighbors may have any size.
    """
    most, near = max(1, SCRATCH // nbytes), max(1, NEAR // nbytes)
    if isinstance(select, range):
        if select.step == 1 and direct:
            yield slice(0, len(select)), select.start, select.stop, True
            return
        count = max(1, most // select.step) if select.step <= near else 1
        for start in range(0, len(select), count):
            part = select[start : start + count]
            yield slice(start, start + len(part)), part[0], part[-1] + 1, part[-1] - part[0] < len(part)
        return
    order = np.argsort(select, kind="stable")
    values = select[order]
    start = 0
    for cut in [*(np.flatnonzero(np.diff(values) > near) + 1).tolist(), len(values)]:
        while start < cut:
            end = start + int(np.searchsorted(values[start:cut], values[start] + most))
            positions = order[start:end]
            together = bool((np.diff(positions) == 1).all())
            where = slice(int(positions[0]), int(positions[-1]) + 1) if together else positions
            run = together and bool((np.diff(values[start:end]) == 1).all())
            yield where, int(values[start]), int(values[end - 1]) + 1, run
            start = end


def _entries(select: Select, positions: slice | NDArray[np.int64], begin: int) -> Select:
    """Return a part of a selection, relative to ``begin``."""
    if isinstance(select, range) and isinstance(positions, slice):
        part = select[positions]
        return range(part.start - begin, part.stop - begin, part.step)
    return np.asarray(select)[positions] - begin
