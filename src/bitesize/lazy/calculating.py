"""Elementwise functions, applied while reading."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from bitesize.errors import NotLazy
from bitesize.lazy.base import LazyBase
from bitesize.lazy.datasets import is_dataset
from bitesize.lazy.nodes import Calculated, Node
from bitesize.lazy.parts import InMemory, node_of
from bitesize.lazy.refusals import ways_on


def calculated(name: str, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Node:
    """Return the node of a function of lazy arrays, other arrays and scalars.

    Parameters
    ----------
    name
        Name for messages, such as ``"np.add"``.
    function
        A `numpy.ufunc`, or another elementwise function that broadcasts.
    inputs
        Operands, at least one of which is lazy. None stays None.

    Raises
    ------
    NotLazy
        If a lazy array would be repeated, or results are Python objects.
    ValueError, TypeError
        As in NumPy, for incompatible shapes and types.
    """
    operands = [_operand(operand) for operand in inputs]
    shape = np.broadcast_shapes(*(operand.shape for operand in operands if isinstance(operand, Node | np.ndarray)))
    for operand in operands:
        if isinstance(operand, Node) and operand.shape != shape:
            raise NotLazy(
                f"{name}: a lazy array of {operand.shape} would be repeated to {shape}; lazy arrays can be "
                "combined with others of their shape, and with arrays that broadcast to it"
            )
    node = Calculated(function, operands, shape)
    if node.dtype.hasobject:
        raise NotLazy(f"{name} would return Python objects, which a lazy array cannot hold")
    return node


def _operand(value: Any) -> Any:
    """Return a node, an array, or a scalar unchanged, so that NumPy's rules for scalars hold."""
    if isinstance(value, LazyBase):
        return value._node
    if is_dataset(value):  # read block by block, like the other lazy arrays
        return node_of(value)
    if value is None or isinstance(value, bool | int | float | complex | np.generic):
        return value
    return np.asarray(value)


class Calculating(LazyBase):
    """Arithmetic, comparisons and every other ufunc."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = f"np.{ufunc.__name__}"
        if method != "__call__" or ufunc.signature is not None or ufunc.nout != 1:
            raise NotLazy(ways_on(name if method == "__call__" else f"{name}.{method}", self))
        if options:
            raise NotLazy(f"{name} of a lazy array does not accept {', '.join(options)}: its result is computed later")
        try:
            return type(self)(calculated(name, ufunc, tuple(np.asarray(None) if each is None else each for each in inputs)))
        except NotLazy:
            raise
        except TypeError as error:
            if ufunc not in (np.equal, np.not_equal) or isinstance(inputs[0], LazyBase):
                raise
            # Otherwise the operator of an array on the left would read all of this array to get its shape.
            raise NotLazy(f"{error}; to compare values of different kinds, write the lazy array on the left") from None

    def __eq__(self, other: object) -> Self:  # type: ignore[override]
        return self._compared(np.equal, operator.eq, other)

    def __ne__(self, other: object) -> Self:  # type: ignore[override]
        return self._compared(np.not_equal, operator.ne, other)

    __hash__ = None  # type: ignore[assignment]  # as an array

    def _compared(self, ufunc: np.ufunc, compare: Callable[[Any, Any], Any], other: Any) -> Self:
        """Compare as NumPy's operators do: incomparable kinds, such as numbers and text, are unequal."""
        try:
            return ufunc(self, other)  # type: ignore[no-any-return]
        except NotLazy:
            raise
        except TypeError:
            operand = _operand(other)
            dtype = operand.dtype if isinstance(operand, Node) else np.asarray(operand).dtype
            compare(np.empty(0, self.dtype), np.empty(0, dtype))  # raises where NumPy does
            shape = np.broadcast_shapes(self.shape, np.shape(operand) if not isinstance(operand, Node) else operand.shape)
            return type(self)(_constant(np.bool_(compare is operator.ne), shape))


def _constant(value: np.bool_, shape: tuple[int, ...]) -> Node:
    return InMemory(np.broadcast_to(value, shape))


def elementwise(name: str, function: Callable[..., Any], *inputs: Any) -> Any:
    """Return the lazy array of an elementwise function; one of ``inputs`` is a lazy array."""
    lazy = next(each for each in inputs if isinstance(each, LazyBase))
    return type(lazy)(calculated(name, function, inputs))
