"""Nodes that reorder the entries of an axis: reversed, or in the order of a list."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.lazy.nodes import Node
from bitesize.lazy.select import Select


class Flipped(Node):
    """An array with the entries of some axes in reverse order.

    Parameters
    ----------
    node
        The array.
    axes
        Axes, as nonnegative numbers.
    """

    def __init__(self, node: Node, axes: tuple[int, ...]) -> None:
        self.below, self._axes = (node,), axes
        self.shape, self.dtype = node.shape, node.dtype

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read into a reversed view if entries are evenly spaced, so that they are read in ascending order."""
        chosen, view = list(select), [slice(None)] * len(select)
        for axis in self._axes:
            part, last = select[axis], self.shape[axis] - 1
            if isinstance(part, range):
                chosen[axis] = range(last - part[-1], last - part[0] + 1, part.step) if len(part) else part
                view[axis] = slice(None, None, -1)
            else:
                chosen[axis] = last - part
        self.below[0].read(tuple(chosen), out[(..., *view)])  # type: ignore[arg-type]  # a view even without axes


class Picked(Node):
    """Entries of one axis in the order of a list, with repeats.

    Parameters
    ----------
    node
        The array.
    axis
        Axis, as a nonnegative number.
    entries
        Their numbers, shape (n,), from 0.
    """

    def __init__(self, node: Node, axis: int, entries: NDArray[np.int64]) -> None:
        self.below, self._axis, self._entries = (node,), axis, entries
        self.shape, self.dtype = (*node.shape[:axis], len(entries), *node.shape[axis + 1 :]), node.dtype
        self.own_held_nbytes = entries.nbytes

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read the entries at the selected positions of the list."""
        if not out.size:
            return
        part = select[self._axis]
        entries = self._entries[slice(part.start, part.stop, part.step) if isinstance(part, range) else part]
        self.below[0].read((*select[: self._axis], entries, *select[self._axis + 1 :]), out)
