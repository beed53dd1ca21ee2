"""Methods that change shape or order without reading values."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from bitesize.errors import BadSetting, NotLazy
from bitesize.lazy.axes import Axis, integer, many_axes, one_axis
from bitesize.lazy.base import LazyBase
from bitesize.lazy.nodes import Cut, Node, Reshaped, Turned
from bitesize.lazy.reordered import Picked

Mode = Literal["raise", "wrap", "clip"]


class Shaping(LazyBase):
    """Methods that return another lazy array."""

    def _with(self, node: Node) -> Self:
        return type(self)(node)

    def slice(self, start: int | None = None, stop: int | None = None, axis: int = 0) -> Self:
        """Return some neighboring entries of one axis without reading them; `lazy[start:stop]` reads them.

        Parameters
        ----------
        start, stop
            As in a slice; negative numbers count from the end.
        axis
            Which axis.

        Returns
        -------
        LazyArray
            The selected entries.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.slice(1, 3)
        LazyArray((2, 2) int64, 32 B)
        >>> lazy.slice(1, axis=1)[:].tolist()
        [[2], [4], [6]]
        """
        cuts = [range(n) for n in self.shape]
        axis = normalize_axis_index(axis, self.ndim)
        cuts[axis] = cuts[axis][start:stop]
        return self._with(Cut(self._node, tuple(cuts)))

    def reshape(self, *shape: int | Sequence[int], order: str = "C", copy: bool | None = None) -> Self:
        """Return the same values in another shape; one side may be -1.

        Parameters
        ----------
        *shape
            The new shape, as numbers or as one sequence.
        order
            ``"C"``: the last axis varies fastest. ``"F"``: the first axis does.
        copy
            Not True: a lazy array is never copied.

        Returns
        -------
        LazyArray
            The same values in the new shape.

        Raises
        ------
        ValueError
            If the sizes differ, as NumPy raises it.
        NotLazy
            If ``order`` depends on the memory layout (``"A"``), or ``copy`` is True.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.reshape(2, -1)[:].tolist()
        [[1, 2, 3], [4, 5, 6]]
        """
        if not shape:
            raise TypeError("reshape() takes exactly 1 argument (0 given)")
        if copy:
            raise NotLazy(f"reshape(copy=True) of a lazy array: {_NO_COPY}")
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence | np.ndarray) else shape
        sides = [integer(n) for n in given]
        rest = math.prod(n for n in sides if n >= 0)
        if sides.count(-1) == 1 and rest and not self.size % rest:
            sides[sides.index(-1)] = self.size // rest
        if any(n < 0 for n in sides) or math.prod(sides) != self.size:
            raise BadSetting(f"cannot reshape array of size {self.size} into shape {tuple(map(integer, given))}")
        if _is_fortran(order):
            return self.T._reshaped(tuple(sides)[::-1]).T
        return self._reshaped(tuple(sides))

    def _reshaped(self, shape: tuple[int, ...]) -> Self:
        return self._with(Reshaped(self._node, shape))

    def ravel(self, order: str = "C") -> Self:
        """Return all values along one axis.

        Parameters
        ----------
        order
            As in `reshape`.

        Returns
        -------
        LazyArray
            Values of shape (size,).

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.ravel()[:].tolist()
        [1, 2, 3, 4, 5, 6]
        """
        return self.reshape(-1, order=order) if self.size else self.reshape(0, order=order)

    def flatten(self, order: str = "C") -> Self:
        """Return all values along one axis; the same as `ravel`, because lazy arrays are immutable.

        Parameters
        ----------
        order
            As in `reshape`.

        Returns
        -------
        LazyArray
            Values of shape (size,).

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.flatten("F")[:].tolist()
        [1, 3, 5, 2, 4, 6]
        """
        return self.ravel(order)

    def transpose(self, *axes: Any) -> Self:
        """Return the axes in another order; by default the opposite one.

        Parameters
        ----------
        *axes
            Axes in their new order, as numbers or as one tuple; default: the opposite order.

        Returns
        -------
        LazyArray
            The same values with the axes in that order.

        Raises
        ------
        BadSetting
            If the axes are not those of the array.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.transpose()[:].tolist()
        [[1, 3, 5], [2, 4, 6]]
        """
        given = axes[0] if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], Sequence)) else axes
        order = many_axes(tuple(given), self.ndim) if given else tuple(range(self.ndim))[::-1]
        if len(order) != self.ndim:
            raise BadSetting("axes don't match array")
        return self._with(Turned(self._node, order))

    @property
    def T(self) -> Self:  # noqa: N802 - as NumPy names it
        """The axes in the opposite order."""
        return self.transpose()

    @property
    def mT(self) -> Self:  # noqa: N802 - as NumPy names it
        """The last two axes exchanged."""
        if self.ndim < 2:
            raise BadSetting("matrix transpose with ndim < 2 is undefined")
        return self.swapaxes(-1, -2)

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Return the array with two axes exchanged, as `numpy.swapaxes`.

        Parameters
        ----------
        axis1, axis2
            Axes to exchange; negative numbers count from the last.

        Returns
        -------
        LazyArray
            The same values with the axes exchanged.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.swapaxes(0, 1).shape
        (2, 3)
        """
        numbers = operator.index(axis1), operator.index(axis2)
        first, second = (normalize_axis_index(axis, self.ndim) for axis in numbers)
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        return self._with(Turned(self._node, tuple(order)))

    def squeeze(self, axis: Axis = None) -> Self:
        """Return the array without axes of length 1, as `numpy.squeeze`.

        Parameters
        ----------
        axis
            Axes to remove; by default all of length 1.

        Returns
        -------
        LazyArray
            The same values without these axes.

        Raises
        ------
        ValueError
            If an axis to remove is longer than 1.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.reshape(3, 1, 2).squeeze().shape
        (3, 2)
        """
        ones = [i for i, n in enumerate(self.shape) if n == 1]
        gone = ones if axis is None else many_axes(axis, self.ndim)
        if any(self.shape[i] != 1 for i in gone):
            raise BadSetting("cannot select an axis to squeeze out which has size not equal to one")
        return self._reshaped(tuple(n for i, n in enumerate(self.shape) if i not in gone))

    def take(self, indices: ArrayLike, axis: int | None = None, *, mode: Mode = "raise") -> Self:
        """Return the listed entries of an axis without reading them, as `numpy.take`; `lazy[indices]` reads them.

        Parameters
        ----------
        indices
            Numbers of entries, of any shape.
        axis
            Which axis; None counts all values in C order.
        mode
            How to treat numbers out of bounds: ``"raise"``, ``"wrap"`` or ``"clip"``.

        Returns
        -------
        LazyArray
            The entries, in the order of the indices.

        Raises
        ------
        IndexError
            If a number is out of bounds.
        TypeError
            If the indices are not whole numbers.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.take([2, 0], axis=0)[:].tolist()
        [[5, 6], [1, 2]]
        """
        if axis is None:
            return self.ravel().take(indices, 0, mode=mode)
        if not self.ndim:
            return self.reshape(1).take(indices, axis, mode=mode)
        axis = one_axis(axis, self.ndim)
        numbers = np.asarray(indices)
        if not numbers.size and not isinstance(indices, np.ndarray):
            numbers = numbers.astype(np.int64)  # an empty list, which NumPy would make floats
        entries = numbers.astype(np.int64, casting="same_kind")
        if math.prod(self.shape[:axis]):  # else the result is empty, and NumPy does not check the numbers
            beside = math.prod((*self.shape[:axis], *self.shape[axis + 1 :]))
            entries = _in_bounds(entries, self.shape[axis], axis, mode, some=bool(beside))
        picked = self._with(Picked(self._node, axis, entries.reshape(-1)))
        shape = (*self.shape[:axis], *numbers.shape, *self.shape[axis + 1 :])
        return picked if shape == picked.shape else picked._reshaped(shape)


_NO_COPY = "it is never copied or modified; np.asarray(lazy) converts it to an array"


def _is_fortran(order: str) -> bool:
    if order in ("C", "F"):
        return order == "F"
    if order in ("A", "K"):
        raise NotLazy(f'order={order!r} depends on the memory layout, which a lazy array does not have: pass "C" or "F"')
    raise BadSetting(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")


def _in_bounds(numbers: NDArray[np.int64], size: int, axis: int, mode: str, *, some: bool) -> NDArray[np.int64]:
    """Return numbers of entries from 0, or raise `IndexError`; ``some`` is whether an entry has values."""
    if mode not in ("raise", "wrap", "clip"):
        raise BadSetting(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    if not size and numbers.size and some:
        raise IndexError("cannot do a non-empty take from an empty axes.")
    if mode == "wrap":
        return numbers % size if size else np.zeros_like(numbers)
    if mode == "clip":
        return np.clip(numbers, 0, size - 1) if size else np.zeros_like(numbers)
    wrong = (numbers < -size) | (numbers >= size)
    if wrong.any():
        raise IndexError(f"index {numbers[wrong].flat[0]} is out of bounds for axis {axis} with size {size}")
    return np.where(numbers < 0, numbers + size, numbers)
