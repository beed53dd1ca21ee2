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
        """Return the sum, as `numpy.sum`; floats are summed in float64.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        dtype
            Dtype of the result, as in NumPy.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.sum(axis=0).tolist()
        [9, 12]
        """
        return reduce.total(self._node, axis, dtype, keepdims, self._fresh)

    def prod(self, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False) -> Any:
        """Return the product, as `numpy.prod`; floats are multiplied in float64.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        dtype
            Dtype of the result, as in NumPy.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.prod(axis=0).tolist()
        [15, 48]
        """
        return reduce.product(self._node, axis, dtype, keepdims, self._fresh)

    def mean(self, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False) -> Any:
        """Return the average, as `numpy.mean`, calculated in float64.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        dtype
            Dtype of the result, as in NumPy.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.mean(axis=0).tolist()
        [3.0, 4.0]
        """
        return reduce.mean(self._node, axis, dtype, keepdims, self._fresh)

    def var(self, axis: Axis = None, dtype: DTypeLike | None = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        """Return the variance, as `numpy.var`, calculated in float64.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        dtype
            Dtype of the result, as in NumPy.
        ddof
            Number that is subtracted from the count in the divisor.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.var(axis=0).round(3).tolist()
        [2.667, 2.667]
        """
        return reduce.variance(self._node, axis, dtype, ddof, keepdims, False, self._fresh)

    def std(self, axis: Axis = None, dtype: DTypeLike | None = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        """Return the standard deviation, as `numpy.std`, calculated in float64.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        dtype
            Dtype of the result, as in NumPy.
        ddof
            Number that is subtracted from the count in the divisor.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.std(axis=0).round(3).tolist()
        [1.633, 1.633]
        """
        return reduce.variance(self._node, axis, dtype, ddof, keepdims, True, self._fresh)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return the minimum, as `numpy.min`.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.min(axis=0).tolist()
        [1, 2]
        """
        return reduce.extreme(self._node, axis, keepdims, True, self._fresh)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return the maximum, as `numpy.max`.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.max(axis=0).tolist()
        [5, 6]
        """
        return reduce.extreme(self._node, axis, keepdims, False, self._fresh)

    def any(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return whether any value is true, as `numpy.any`.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> (lazy > 4).any(axis=1).tolist()
        [False, False, True]
        """
        return reduce.decide(self._node, axis, keepdims, False, self._fresh)

    def all(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Return whether every value is true, as `numpy.all`.

        Parameters
        ----------
        axis
            One axis, several, or None for all values.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> (lazy > 1).all(axis=0).tolist()
        [False, True]
        """
        return reduce.decide(self._node, axis, keepdims, True, self._fresh)

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Any:
        """Return where the minimum is, the first of equal ones, as `numpy.argmin`.

        Parameters
        ----------
        axis
            One axis, or None for all values in C order.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.argmin(axis=0).tolist()
        [0, 0]
        """
        return search.position(self._node, axis, keepdims, True, self._fresh)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Any:
        """Return where the maximum is, the first of equal ones, as `numpy.argmax`.

        Parameters
        ----------
        axis
            One axis, or None for all values in C order.
        keepdims
            Whether reduced axes are kept, with length 1.

        Returns
        -------
        scalar or ndarray
            Result in memory, as NumPy returns it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.argmax(axis=0).tolist()
        [2, 2]
        """
        return search.position(self._node, axis, keepdims, False, self._fresh)
