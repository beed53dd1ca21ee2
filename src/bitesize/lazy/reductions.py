"""Reductions, which read all values once, block by block."""

from __future__ import annotations

from typing import Any

from numpy.typing import DTypeLike

from bitesize.lazy import reduce, search
from bitesize.lazy.axes import Axis
from bitesize.lazy.base import LazyBase


class Reducing(LazyBase):
    """Reductions; ``axis`` is one axis, several, or None for all, and ``keepdims`` keeps them with length 1."""

    def sum(self, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False) -> Any:
        """Return the sum, as `numpy.sum`; floats are summed in float64."""
        return reduce.total(self._node, axis, dtype, keepdims, self._fresh)

    def prod(self, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False) -> Any:
        """Return the product, as `numpy.prod`; floats are multiplied in float64."""
        return reduce.product(self._node, axis, dtype, keepdims, self._fresh)

    def mean(self, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False) -> Any:
        """Return the average, as `numpy.mean`, calculated in float64."""
        return reduce.mean(self._node, axis, dtype, keepdims, self._fresh)

    def var(self, axis: Axis = None, dtype: DTypeLike | None = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        """Return the variance, as `numpy.var`, calculated in float64."""
        return reduce.variance(self._node, axis, dtype, ddof, keepdims, False, self._fresh)

    def std(self, axis: Axis = None, dtype: DTypeLike | None = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        """Return the standard deviation, as `numpy.std`, calculated in float64."""
        return reduce.variance(self._node, axis, dtype, ddof, keepdims, True, self._fresh)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return the minimum, as `numpy.min`."""
        return reduce.extreme(self._node, axis, keepdims, True, self._fresh)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return the maximum, as `numpy.max`."""
        return reduce.extreme(self._node, axis, keepdims, False, self._fresh)

    def any(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return whether any value is true, as `numpy.any`."""
        return reduce.decide(self._node, axis, keepdims, False, self._fresh)

    def all(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return whether every value is true, as `numpy.all`."""
        return reduce.decide(self._node, axis, keepdims, True, self._fresh)

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Any:
        """Return where the minimum is, the first of equal ones, as `numpy.argmin`."""
        return search.position(self._node, axis, keepdims, True, self._fresh)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Any:
        """Return where the maximum is, the first of equal ones, as `numpy.argmax`."""
        return search.position(self._node, axis, keepdims, False, self._fresh)
