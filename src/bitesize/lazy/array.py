"""`LazyArray`: behaves like the array that `np.concatenate` returns, without loading it."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitesize.errors import BadSetting, NotLazy
from bitesize.html.progress import totals
from bitesize.lazy.axes import integer
from bitesize.lazy.base import SMALL, require_room
from bitesize.lazy.calculating import Calculating
from bitesize.lazy.casting import Casting
from bitesize.lazy.index import take
from bitesize.lazy.nodes import Cast
from bitesize.lazy.reductions import Reducing
from bitesize.lazy.refusals import NoSuchMethod, ways_on
from bitesize.lazy.save import Progress, save
from bitesize.lazy.select import whole
from bitesize.lazy.shaping import Shaping
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import parse_size

# Functions of NumPy and their lazy forms. `numpy_functions` adds them: they create lazy arrays, so this module comes first.
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
# Minimum bytes of one value of a list: a reference in the list, and a Python object.
_OBJECT_NBYTES = 40


class LazyArray(Calculating, Shaping, Casting, Reducing):
    """An array whose values stay on disk, or in the arrays it is made of, until they are read.

    `bitesize.concatenate` and `bitesize.stack` create lazy arrays. Indexing reads the selected values and returns an ordinary
    array. Slicing (`slice`), taking (`take`), reshaping, casting, arithmetic and concatenation return another lazy array.
    Reductions such as ``np.mean`` read all values once, in blocks. Only `numpy.asarray` loads the whole array, and only if it
    fits in memory. Operations of arrays that a lazy array does not support raise `NotLazy`, whose message names alternatives.

    Parts in memory are not copied: modifying them modifies this array.

    Parameters
    ----------
    node
        Inner description of the array. Programs call `bitesize.concatenate` or `bitesize.stack` instead.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    ndim, size, nbytes : int
        As for `numpy.ndarray`; ``nbytes`` is the size of the whole array in memory.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> big = bs.concatenate([np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)])
    >>> big
    LazyArray((4, 3) uint8, 12 B)
    >>> big[1:3].tolist()
    [[0, 0, 0], [1, 1, 1]]
    >>> (big / 2).mean(axis=0).tolist()
    [0.25, 0.25, 0.25]
    """

    # --- reading -----------------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        out = take(self._node, index, lambda shape: self._fresh(shape, self.dtype))
        parts = index if isinstance(index, tuple) else (index,)
        # As in NumPy: a scalar, or an array without axes if the index has an ellipsis.
        return out if out.ndim or any(part is Ellipsis for part in parts) else out[()]

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise NotLazy(
            "a lazy array cannot be modified: np.where(condition, value, lazy) and np.concatenate return a new one"
        )

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows of the first axis, read in blocks of about 1 MiB."""
        len(self)  # raises for an array without axes, as NumPy does
        for block in self.chunks(SMALL):
            for row in block:
                yield (
                    row if block.nbytes == row.nbytes else row.copy()
                )  # a row that the caller keeps must not keep the block

    def chunks(self, nbytes: int | str = "16 MiB") -> Iterator[NDArray[Any]]:
        """Yield blocks of rows of at most ``nbytes`` bytes, and at least one row.

        Parameters
        ----------
        nbytes
            Bytes, or a string such as ``"64 MiB"``.

        Yields
        ------
        ndarray
            Block of rows, shape (k, ...).

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> [block.shape for block in lazy.chunks(32)]
        [(2, 2), (1, 2)]
        """
        rows = max(1, parse_size(nbytes) // max(1, self.nbytes // max(1, len(self))))
        for start in range(0, len(self), rows):
            yield self[start : start + rows]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a lazy array must be read to become an array: copy=False is impossible")
        node = self._node if dtype is None or np.dtype(dtype) == self.dtype else Cast(self._node, np.dtype(dtype))
        out = self._fresh(node.shape, node.dtype)
        node.read(whole(node.shape), out)
        return out

    def tolist(self) -> Any:
        """Return all values as nested lists of Python scalars, as `numpy.ndarray.tolist`.

        Returns
        -------
        list
            Nested lists, or one scalar for an array without axes.

        Raises
        ------
        DoesNotFit
            If the array and the objects, at least 40 bytes per value, do not fit into the available memory.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.tolist()
        [[1, 2], [3, 4], [5, 6]]
        """
        require_room(self.nbytes + self.size * _OBJECT_NBYTES, f"a list of {self.shape} {self.dtype}")
        return np.asarray(self).tolist()

    def item(self, *args: Any) -> Any:
        """Return one value as a Python scalar, as `numpy.ndarray.item`.

        Parameters
        ----------
        *args
            Nothing, for an array of one value; a flat index in C order; or one index per axis.

        Returns
        -------
        scalar
            Value as a Python number or string.

        Raises
        ------
        BadSetting
            If the number of indices is wrong.
        IndexError
            If an index is out of bounds.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> lazy = bs.concatenate([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])])
        >>> lazy.item(2, 0), lazy.item(-1)
        (5, 6)
        """
        if len(args) == 1 and isinstance(args[0], tuple):
            args = args[0]
        if not args:
            if self.size != 1:
                raise BadSetting("can only convert an array of size 1 to a Python scalar")
            return self[(0,) * self.ndim].item()
        if len(args) != self.ndim and len(args) != 1:
            raise BadSetting("incorrect number of indices for array")
        numbers = [integer(n) for n in args]
        if len(numbers) == 1:
            size = self.size
            if not -size <= numbers[0] < size:
                raise IndexError(f"index {numbers[0]} is out of bounds for size {size}")
            numbers = [int(n) for n in np.unravel_index(numbers[0] % size, self.shape)] if self.ndim else []
        return self[tuple(numbers)].item()

    # --- Python's own functions --------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()")
        return bool(self[(0,) * self.ndim])

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def _one_value(self) -> NDArray[Any]:
        """Return an array for NumPy to convert, without reading values if NumPy will reject the shape."""
        return np.asarray(self) if self.size == 1 else np.broadcast_to(np.zeros((), self.dtype), self.shape)

    def __float__(self) -> float:
        return float(self._one_value())

    def __int__(self) -> int:
        return int(self._one_value())

    def __complex__(self) -> complex:
        return complex(self._one_value())

    def __index__(self) -> int:
        return operator.index(self._one_value())

    def __format__(self, spec: str) -> str:
        return format(self[()], spec) if not self.ndim else super().__format__(spec)

    # --- NumPy's functions, and what is missing ----------------------------------------------------------------------

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func not in FUNCTIONS:
            raise NotLazy(ways_on(f"np.{getattr(func, '__name__', func)}", self))
        try:
            return FUNCTIONS[func](*args, **kwargs)
        except TypeError as error:
            if isinstance(error, NotLazy) or "unexpected keyword" not in str(error):
                raise
            raise NotLazy(f"np.{func.__name__} of a lazy array: {str(error).partition(') ')[2] or error}") from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'LazyArray' object has no attribute {name!r}", name=name, obj=self)
        raise NoSuchMethod(ways_on(f"array.{name}", self))

    def save(
        self, path: str | os.PathLike[str], memory: int | str | Budget = "128 MiB", progress: Progress | bool | None = None
    ) -> Path:
        """Write the array to a `.npy` file, block by block: the same file as ``np.save(path, np.asarray(lazy))``.

        The file is written under a temporary name and renamed when complete; an existing file is replaced, as by
        `numpy.save`. Unused bytes of long doubles are written as zeros.

        Parameters
        ----------
        path
            Path of the file; ``.npy`` is added if missing.
        memory
            Bytes to use, or a `Budget`. More than the default is faster only for parts in Fortran order.
        progress
            Called after each block with the bytes written so far, and the total; or True, which shows a bar.

        Returns
        -------
        pathlib.Path
            Path of the file.

        Raises
        ------
        DiskFull
            If there is too little space on the disk; nothing is written.
        BadSetting
            If the file is one of the parts.

        Examples
        --------
        >>> import numpy as np, bitesize as bs, pathlib, tempfile
        >>> lazy = bs.concatenate([np.zeros((2, 3)), np.ones((1, 3))])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = lazy.save(pathlib.Path(folder, "all"))
        ...     path.name, np.load(path).shape
        ('all.npy', (3, 3))
        """
        return save(self._node, path, memory, totals(progress, "writing", "bytes"))
