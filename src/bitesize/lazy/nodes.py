"""Nodes of a lazy array: concatenation, slicing, transposition, calculation; each reads from the nodes below it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.lazy.select import NEAR, SCRATCH, Select, choose, compose, gather, lengths, part_of, tiles, whole


class Stretch(NamedTuple):
    """Contiguous rows in a file, in C order and native byte order."""

    path: bytes
    offset: int
    rows: int


class Node(ABC):
    """An array that can be read in parts; immutable, picklable and thread-safe.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        In native byte order.
    below : tuple of Node
        Nodes that this node reads from.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    below: tuple[Node, ...] = ()

    @abstractmethod
    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Fill ``out``, of this dtype and any strides, with a selection.

        Needs about `SCRATCH` bytes for each node below.
        """

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if a file of the values has changed."""
        for node in self.below:
            node.check_unchanged()

    @property
    def checks_files(self) -> bool:
        """Return whether `check_unchanged` checks all files of the values."""
        return all(node.checks_files for node in self.below)

    def stretches(self) -> list[Stretch] | None:
        """Return the location of the rows of the first axis on disk, if they are stored byte for byte, or None."""
        return None

    @property
    def hindrance(self) -> str | None:
        """Return the reason why single rows are much more expensive to read than their size, or None."""
        return next((reason for node in self.below if (reason := node.hindrance)), None)

    @property
    def blocks(self) -> int:
        """Maximum number of blocks of `SCRATCH` bytes that a read needs at a time."""
        return self.own_blocks + max((node.blocks for node in self.below), default=0)

    own_blocks: int = 0
    own_run_nbytes: int = 0
    own_held_nbytes: int = 0

    @property
    def chunk_nbytes(self) -> int:
        """Bytes that are cheaper to read together than separately; 0 if there is no difference."""
        return max(self.own_run_nbytes, *(node.chunk_nbytes for node in self.below), 0)

    @property
    def held_nbytes(self) -> int:
        """Bytes that reading keeps in memory, in addition to the values read."""
        return self.own_held_nbytes + sum(node.held_nbytes for node in self.below)

    on_disk: bool = False
    # The file that is read, if there is one.
    path: bytes | None = None


class Joined(Node):
    """Arrays of one dtype, concatenated along an axis."""

    own_blocks = 1

    def __init__(self, parts: Sequence[Node], axis: int) -> None:
        # Concatenations along the same axis are flattened: an array may be built up part by part.
        self._axis = axis
        flat: list[Node] = []
        for part in parts:
            flat += part.below if isinstance(part, Joined) and part._axis == axis else (part,)
        self.below = tuple(flat)
        first = flat[0]
        self._ends = np.cumsum([part.shape[axis] for part in flat], dtype=np.int64)
        self.shape = (*first.shape[:axis], int(self._ends[-1]), *first.shape[axis + 1 :])
        self.dtype = first.dtype

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read the selected entries of each part."""
        axis, wanted = self._axis, select[self._axis]
        for number, positions in self._shares(wanted):
            start = int(self._ends[number]) - self.below[number].shape[axis]
            part = wanted[positions] if isinstance(wanted, range) and isinstance(positions, slice) else None
            local = (
                range(part.start - start, part.stop - start, part.step)
                if part is not None
                else np.asarray(wanted)[positions] - start
            )
            chosen = (*select[:axis], local, *select[axis + 1 :])
            if isinstance(positions, slice):
                self.below[number].read(chosen, out[(slice(None),) * axis + (positions,)])
            else:
                self._scatter(self.below[number], chosen, positions, out)

    def _shares(self, wanted: Select) -> Iterator[tuple[int, slice | NDArray[np.int64]]]:
        """Yield the parts with selected entries, and their positions in the selection."""
        if not len(wanted):
            return
        if isinstance(wanted, range):
            number, done = int(np.searchsorted(self._ends, wanted.start, side="right")), 0
            while done < len(wanted):
                end = int(self._ends[number])
                upto = min(len(wanted), -(-(end - wanted.start) // wanted.step))
                if upto > done:
                    yield number, slice(done, upto)
                    done = upto
                number += 1
            return
        which = np.searchsorted(self._ends, wanted, side="right")
        order = np.argsort(which, kind="stable")
        for positions in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
            consecutive = bool((np.diff(positions) == 1).all())
            yield (
                int(which[positions[0]]),
                slice(int(positions[0]), int(positions[-1]) + 1) if consecutive else positions,
            )

    def _scatter(self, part: Node, select: tuple[Select, ...], positions: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read entries of a part to positions that are not contiguous."""
        axis = self._axis
        each = math.prod(out.shape[:axis]) * math.prod(out.shape[axis + 1 :]) * out.itemsize
        at_once = 1 if each > NEAR else max(1, SCRATCH // max(1, each))
        front = (slice(None),) * axis
        for start in range(0, len(positions), at_once):
            some = positions[start : start + at_once]
            chosen = (*select[:axis], select[axis][start : start + at_once], *select[axis + 1 :])
            if len(some) == 1:
                at = int(some[0])
                part.read(chosen, out[(*front, slice(at, at + 1))])
                continue
            held = np.empty(lengths(chosen), out.dtype)
            part.read(chosen, held)
            np.moveaxis(out, axis, 0)[some] = np.moveaxis(held, axis, 0)

    def stretches(self) -> list[Stretch] | None:
        """Return the stretches of all parts, if rows are concatenated."""
        if self._axis:
            return None
        stretches: list[Stretch] = []
        for part in self.below:
            more = part.stretches()
            if more is None:
                return None
            stretches += more
        return stretches


class Cut(Node):
    """Evenly spaced entries of an array along each axis."""

    def __init__(self, node: Node, cuts: tuple[range, ...]) -> None:
        self.below, self._cuts = (node,), cuts
        self.shape, self.dtype = lengths(cuts), node.dtype

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read the selected entries of the slice."""
        self.below[0].read(tuple(compose(cut, s) for cut, s in zip(self._cuts, select, strict=True)), out)

    def stretches(self) -> list[Stretch] | None:
        """Return the stretches of the selected rows, if these are whole and contiguous."""
        stretches = self.below[0].stretches()
        if stretches is None or self._cuts[1:] != whole(self.below[0].shape[1:]) or self._cuts[0].step != 1:
            return None
        first, end = self._cuts[0].start, self._cuts[0].stop
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        rest, at = [], 0
        for path, offset, rows in stretches:
            skip, stop = max(0, first - at), min(rows, end - at)
            if stop > skip:
                rest.append(Stretch(path, offset + skip * row_bytes, stop - skip))
            at += rows
        return rest


class Turned(Node):
    """An array with its axes in another order."""

    def __init__(self, node: Node, axes: tuple[int, ...]) -> None:
        self.below, self._axes = (node,), axes
        self.shape, self.dtype = tuple(node.shape[axis] for axis in axes), node.dtype

    @property
    def hindrance(self) -> str | None:
        """Return a message if rows are scattered over a file, else None."""
        scattered = self._axes[0] != 0 and self.below[0].on_disk
        return "rows are not contiguous in Fortran order" if scattered else super().hindrance

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read into a transposed view."""
        back = [self._axes.index(i) for i in range(len(self._axes))]
        self.below[0].read(tuple(select[i] for i in back), out.transpose(back))


class Widened(Node):
    """An array with an additional axis of length 1."""

    def __init__(self, node: Node, axis: int) -> None:
        self.below, self._axis = (node,), axis
        self.shape, self.dtype = (*node.shape[:axis], 1, *node.shape[axis:]), node.dtype

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read without that axis, once for each time its only entry is selected."""
        entries = np.moveaxis(out, self._axis, 0)
        if len(entries):
            self.below[0].read(select[: self._axis] + select[self._axis + 1 :], entries[0, ...])
            entries[1:] = entries[0]

    def stretches(self) -> list[Stretch] | None:
        """Return one row, if all values below are contiguous."""
        stretches = None if self._axis or not self.below[0].shape else self.below[0].stretches()
        return [Stretch(stretches[0].path, stretches[0].offset, 1)] if stretches and len(stretches) == 1 else None


class Reshaped(Node):
    """The values of an array, in C order, in another shape."""

    own_blocks = 1

    def __init__(self, node: Node, shape: tuple[int, ...]) -> None:
        self.below = node.below if isinstance(node, Reshaped) else (node,)
        self.shape, self.dtype = shape, node.dtype

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read contiguous ranges of values."""
        gather(self.shape, select, out, self._read_run)

    def _read_run(self, first: int, flat: NDArray[Any]) -> None:
        done = 0
        for box in boxes(self.below[0].shape, first, first + len(flat)):
            shape = lengths(box)
            size = math.prod(shape)
            self.below[0].read(box, flat[done : done + size].reshape(shape))
            done += size

    def stretches(self) -> list[Stretch] | None:
        """Return the stretches below, if the rows are the same."""
        same = bool(self.shape) and self.below[0].shape[:1] == self.shape[:1]
        return self.below[0].stretches() if same else None


class Cast(Node):
    """An array in another dtype."""

    own_blocks = 1

    def __init__(self, node: Node, dtype: np.dtype[Any]) -> None:
        self.below = (node,)
        self.shape, self.dtype = node.shape, dtype

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read and cast block by block."""
        node = self.below[0]
        for tile in tiles(out.shape, max(node.dtype.itemsize, self.dtype.itemsize), SCRATCH):
            chosen = part_of(select, tile)
            held = np.empty(lengths(chosen), node.dtype)
            node.read(chosen, held)
            out[tile] = held


class Calculated(Node):
    """An elementwise function of NumPy of arrays of one shape and constants.

    Parameters
    ----------
    function
        A `numpy.ufunc` of one result, or another elementwise function that broadcasts.
    operands
        Nodes of ``shape``; arrays that broadcast to it; scalars, and None.
    """

    def __init__(self, function: Callable[..., Any], operands: Sequence[Any], shape: tuple[int, ...]) -> None:
        self._function, self._operands = function, tuple(operands)
        self.below = tuple(operand for operand in operands if isinstance(operand, Node))
        self.own_blocks = len(self.below)
        self.shape = shape
        # Evaluated on empty arrays, because NumPy's type rules for scalars and arrays differ.
        tried = function(*(self._empty(operand) for operand in self._operands))
        self.dtype = np.asarray(tried).dtype

    @staticmethod
    def _empty(operand: Any) -> Any:
        if isinstance(operand, Node):
            return np.empty((0,) * max(1, len(operand.shape)), operand.dtype)
        if isinstance(operand, np.ndarray) and operand.ndim:
            return np.empty((0,) * operand.ndim, operand.dtype)
        return operand

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read operands and calculate, block by block."""
        widest = max(self.dtype.itemsize, *(node.dtype.itemsize for node in self.below))
        for tile in tiles(out.shape, widest, SCRATCH):
            chosen = part_of(select, tile)
            into: Any = out[(..., *tile)]  # type: ignore[arg-type]  # a view even where there are no axes
            values = (self._value(operand, chosen) for operand in self._operands)
            if isinstance(self._function, np.ufunc):
                self._function(*values, out=into)
            else:
                into[...] = self._function(*values)

    def _value(self, operand: Any, select: tuple[Select, ...]) -> Any:
        if isinstance(operand, Node):
            held = np.empty(lengths(select), operand.dtype)
            operand.read(select, held)
            return held
        if isinstance(operand, np.ndarray) and operand.ndim:
            own = select[len(select) - operand.ndim :]
            return choose(operand, tuple(s if n != 1 else range(1) for s, n in zip(own, operand.shape, strict=True)))
        return operand


def boxes(shape: tuple[int, ...], first: int, end: int) -> Iterator[tuple[range, ...]]:
    """Yield blocks along the axes that cover the values ``first`` to ``end`` of an array, counted in C order.

    Examples
    --------
    >>> list(boxes((3, 4), 2, 9))
    [(range(0, 1), range(2, 4)), (range(1, 2), range(0, 4)), (range(2, 3), range(0, 1))]
    """
    if first >= end:
        return
    if len(shape) < 2:
        yield (range(first, end),) if shape else ()
        return
    inner = math.prod(shape[1:])
    top, low = first // inner, end // inner
    if top == low:
        yield from ((range(top, top + 1), *box) for box in boxes(shape[1:], first - top * inner, end - top * inner))
        return
    if first % inner:
        yield from ((range(top, top + 1), *box) for box in boxes(shape[1:], first - top * inner, inner))
        top += 1
    if top < low:
        yield (range(top, low), *(range(n) for n in shape[1:]))
    if end % inner:
        yield from ((range(low, low + 1), *box) for box in boxes(shape[1:], 0, end - low * inner))
