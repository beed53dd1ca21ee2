"""Methods that change values or their dtype, value by value, without reading them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from bitesize.errors import BadSetting
from bitesize.lazy.base import LazyBase
from bitesize.lazy.calculating import elementwise
from bitesize.lazy.nodes import Cast


class Casting(LazyBase):
    """Methods that return another lazy array of the same shape."""

    def astype(self, dtype: DTypeLike, *, casting: str = "unsafe") -> Self:
        """Return the array in another dtype; values are cast while they are read.

        Parameters
        ----------
        dtype
            Dtype of numbers or text. Text without a length (``"U"``) is as wide as this array's dtype can need.
        casting
            Which casts are allowed, as in `numpy.can_cast`.

        Returns
        -------
        LazyArray
            The array in the other dtype.

        Raises
        ------
        BadSetting
            If the dtype holds objects or records, or has no unit, such as ``"M8"``.
        TypeError
            If ``casting`` forbids the cast.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.astype(np.float32).dtype
        dtype('float32')
        """
        wanted = np.dtype(dtype)
        if wanted.kind in "US" and not wanted.itemsize:  # as wide as this type can need, as in NumPy
            wanted = np.empty(0, self.dtype).astype(wanted).dtype
        if not np.can_cast(self.dtype, wanted, casting=casting):  # type: ignore[arg-type]
            raise TypeError(f"Cannot cast array data from {self.dtype!r} to {wanted!r} according to the rule '{casting}'")
        refuse_unless_plain(wanted)
        return self if wanted == self.dtype else type(self)(Cast(self._node, wanted))

    def clip(self, min: Any = None, max: Any = None) -> Self:  # noqa: A002 - as NumPy names them
        """Return the values limited to an interval, as `numpy.clip`.

        Parameters
        ----------
        min, max
            Numbers, arrays that broadcast, or lazy arrays of this shape; None for no limit.

        Returns
        -------
        LazyArray
            The limited values.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.clip(2, 5)[:].tolist()
        [[2, 2], [3, 4], [5, 5]]
        """
        return elementwise("np.clip", np.clip, self, min, max)  # type: ignore[no-any-return]

    def round(self, decimals: int = 0) -> Self:
        """Return rounded values, as `numpy.round`.

        Parameters
        ----------
        decimals
            Number of decimals; a negative number rounds to tens, hundreds and so on.

        Returns
        -------
        LazyArray
            The rounded values.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> (lazy / 3).round(1)[0].tolist()
        [0.3, 0.7]
        """
        return elementwise("np.round", np.round, self, decimals)  # type: ignore[no-any-return]

    def conj(self) -> Self:
        """Return the complex conjugate, as `numpy.conjugate`.

        Returns
        -------
        LazyArray
            The conjugate values.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.concatenate([np.array([1 + 2j]), np.array([3j])]).conj()[:].tolist()
        [(1-2j), -3j]
        """
        if self.dtype.kind in "biuf":
            return self
        return elementwise("np.conjugate", np.conjugate, self)  # type: ignore[no-any-return]

    conjugate = conj


def refuse_unless_plain(dtype: np.dtype[Any]) -> None:
    """Raise `BadSetting` for a dtype that a lazy array cannot hold."""
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
        raise BadSetting(f"a lazy array holds plain numbers or text, not {dtype}")
    unit: Any = dtype
    if not dtype.itemsize or (dtype.kind in "mM" and np.datetime_data(unit)[0] == "generic"):
        raise BadSetting(f"the type {dtype} has no size or unit yet: name it, such as 'U10' or 'M8[s]'")
