"""`LazyArray`: behaves like the array that `np.concatenate` would have made, and holds none of it."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

from bitesize.errors import BadSetting, DoesNotFit, NotLazy
from bitesize.lazy import reduce
from bitesize.lazy.index import take
from bitesize.lazy.nodes import Calculated, Cast, Cut, Node, Reshaped, Turned
from bitesize.lazy.parts import InMemory
from bitesize.lazy.reduce import Axis
from bitesize.lazy.save import Progress, save
from bitesize.lazy.select import whole
from bitesize.memory.budget import Budget
from bitesize.memory.limits import available
from bitesize.memory.sizes import format_size, parse_size

# Below this nobody asks the system how much is free: asking takes longer than the allocation.
_SMALL = 1 << 20


class LazyArray(NDArrayOperatorsMixin):
    """An array whose values stay on disk, or in the arrays it is made of, until they are asked for.

    Made by `bitesize.concatenate` and `bitesize.stack`. Indexing reads what it asks for and gives an ordinary array.
    Cutting (`slice`), reshaping, casting, arithmetic and joining again give another lazy array. ``np.mean`` and the like
    read all of it once, in blocks. Nothing is loaded whole unless `numpy.asarray` asks for it, and then only where it fits.

    Parts in memory are not copied: who changes them changes this array.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    ndim, size, nbytes : int
        As those of an array; ``nbytes`` is what it would take in memory.

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

    def __init__(self, node: Node) -> None:
        self._node = node

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:  # noqa: D102
        return self._node.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # noqa: D102
        return self._node.dtype

    @property
    def ndim(self) -> int:  # noqa: D102
        return len(self.shape)

    @property
    def size(self) -> int:  # noqa: D102
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:  # noqa: D102
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:  # noqa: D102
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyArray({self.shape} {self.dtype}, {format_size(self.nbytes)})"

    # --- reading -----------------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        out = take(self._node, index, lambda shape: self._fresh(shape, self.dtype))
        parts = index if isinstance(index, tuple) else (index,)
        # As NumPy has it: a scalar, but an array without axes where the index has an ellipsis.
        return out if out.ndim or any(part is Ellipsis for part in parts) else out[()]

    def __iter__(self) -> Iterator[Any]:
        """Give the rows of the first axis, read in blocks of about 1 MiB."""
        len(self)  # refuses an array without axes, as NumPy does
        for block in self.chunks(_SMALL):
            for row in block:
                yield row if block.nbytes == row.nbytes else row.copy()  # one row that is kept must not keep all

    def chunks(self, nbytes: int | str = "16 MiB") -> Iterator[NDArray[Any]]:
        """Give blocks of rows, of at most so many bytes, but one row at least.

        Parameters
        ----------
        nbytes
            Bytes, or a string such as ``"64 MiB"``.
        """
        rows = max(1, parse_size(nbytes) // max(1, self.nbytes // max(1, len(self))))
        for start in range(0, len(self), rows):
            yield self[start : start + rows]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a lazy array can only become an array by being read: copy=False is impossible")
        node = self._node if dtype is None or np.dtype(dtype) == self.dtype else Cast(self._node, np.dtype(dtype))
        out = self._fresh(node.shape, node.dtype)
        node.read(whole(node.shape), out)
        return out

    def _fresh(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Allocate a result, if it fits what is available."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > _SMALL:
            limit = available()
            if nbytes > limit.room:
                raise DoesNotFit(
                    f"an array of {shape} {dtype} needs {format_size(nbytes)}, and {format_size(limit.room)} are free "
                    f'({limit.name}). Take a part, lazy[a:b] or lazy.slice(a, b); go through it, lazy.chunks("64 MiB"); write it '
                    'to a file, lazy.save("all.npy"); or train on it, bs.open(lazy, y).split(0.9)'
                )
        return np.empty(shape, dtype)

    # --- other lazy arrays -------------------------------------------------------------------------------------------

    def slice(self, start: int | None = None, stop: int | None = None, axis: int = 0) -> LazyArray:
        """Cut out entries of one axis without reading them; `lazy[start:stop]` reads them.

        Parameters
        ----------
        start, stop
            As in a slice; negative numbers count from the end.
        axis
            Which axis.
        """
        cuts = [range(n) for n in self.shape]
        axis = np.lib.array_utils.normalize_axis_index(axis, self.ndim)
        cuts[axis] = cuts[axis][start:stop]
        return LazyArray(Cut(self._node, tuple(cuts)))

    def reshape(self, *shape: int | Sequence[int]) -> LazyArray:
        """Give the same values, in C order, another shape; one side may be -1.

        Raises
        ------
        ValueError
            If the sizes differ, as NumPy raises it.
        """
        sides = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence | np.ndarray) else shape
        wanted = [operator.index(n) for n in sides]  # type: ignore[arg-type]
        rest = math.prod(n for n in wanted if n >= 0)
        if wanted.count(-1) == 1 and rest and not self.size % rest:
            wanted[wanted.index(-1)] = self.size // rest
        if any(n < 0 for n in wanted) or math.prod(wanted) != self.size:
            raise BadSetting(f"cannot reshape array of size {self.size} into shape {tuple(int(n) for n in sides)}")  # type: ignore[arg-type]
        return LazyArray(Reshaped(self._node, tuple(wanted)))

    def transpose(self, *axes: Any) -> LazyArray:
        """Give the axes another order; by default the opposite one."""
        given = axes[0] if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], Sequence)) else axes
        order = np.lib.array_utils.normalize_axis_tuple(given, self.ndim) if given else tuple(range(self.ndim))[::-1]
        if len(order) != self.ndim:
            raise BadSetting("axes don't match array")
        return LazyArray(Turned(self._node, tuple(order)))

    @property
    def T(self) -> LazyArray:  # noqa: N802 - as NumPy names it
        """The axes in the opposite order."""
        return self.transpose()

    def astype(self, dtype: DTypeLike) -> LazyArray:
        """Cast while reading."""
        wanted = np.dtype(dtype)
        if wanted.kind in "US" and not wanted.itemsize:  # as wide as this type may need, as NumPy has it
            wanted = np.empty(0, self.dtype).astype(wanted).dtype
        if wanted.hasobject or wanted.names is not None or wanted.subdtype is not None:
            raise BadSetting(f"a lazy array holds plain numbers or text, not {wanted}")
        unit: Any = wanted
        if not wanted.itemsize or (wanted.kind in "mM" and np.datetime_data(unit)[0] == "generic"):
            raise BadSetting(f"the type {wanted} has no size or unit yet: name it, such as 'U10' or 'M8[s]'")
        return self if wanted == self.dtype else LazyArray(Cast(self._node, wanted))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or ufunc.signature is not None or ufunc.nout != 1:
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise NotLazy(_no(f"np.{name}", self))
        if options:
            raise NotLazy(f"np.{ufunc.__name__} of a lazy array takes no {', '.join(options)}: what it makes is read later")
        operands = [each._node if isinstance(each, LazyArray) else _constant(each) for each in inputs]
        shapes = [each.shape for each in operands if isinstance(each, Node | np.ndarray)]
        shape = np.broadcast_shapes(*shapes)
        for each in operands:
            if isinstance(each, Node) and each.shape != shape:
                raise NotLazy(
                    f"np.{ufunc.__name__}: a lazy array of {each.shape} would be repeated to {shape}; lazy arrays can be "
                    "combined with others of their shape, and with arrays that broadcast to it"
                )
        try:
            node = Calculated(ufunc, operands, shape)
        except TypeError:
            if ufunc not in (np.equal, np.not_equal):
                raise
            # Kinds that cannot be compared, such as numbers and text, are unequal.
            return LazyArray(InMemory(np.broadcast_to(np.bool_(ufunc is np.not_equal), shape)))
        if node.dtype.hasobject:
            raise NotLazy(f"np.{ufunc.__name__} makes Python objects of this, which a lazy array cannot hold")
        return LazyArray(node)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()")
        return bool(np.asarray(self).reshape(-1)[0])

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from bitesize.lazy.functions import FUNCTIONS

        if func not in FUNCTIONS:
            raise NotLazy(_no(f"np.{getattr(func, '__name__', func)}", self))
        try:
            return FUNCTIONS[func](*args, **kwargs)
        except TypeError as error:
            if isinstance(error, NotLazy) or "unexpected keyword" not in str(error):
                raise
            raise NotLazy(f"np.{func.__name__} of a lazy array: {str(error).partition(') ')[2] or error}") from None

    # --- one pass over all of it -------------------------------------------------------------------------------------

    def sum(self, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False) -> Any:
        """Sum, as `numpy.sum`; floats are summed in float64."""
        return reduce.total(self._node, axis, dtype, keepdims, self._fresh)

    def mean(self, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False) -> Any:
        """Average, as `numpy.mean`, calculated in float64."""
        return reduce.mean(self._node, axis, dtype, keepdims, self._fresh)

    def var(self, axis: Axis = None, dtype: DTypeLike | None = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        """Variance, as `numpy.var`, calculated in float64."""
        return reduce.variance(self._node, axis, dtype, ddof, keepdims, False, self._fresh)

    def std(self, axis: Axis = None, dtype: DTypeLike | None = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        """Standard deviation, as `numpy.std`, calculated in float64."""
        return reduce.variance(self._node, axis, dtype, ddof, keepdims, True, self._fresh)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Least value, as `numpy.min`."""
        return reduce.extreme(self._node, axis, keepdims, True, self._fresh)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Greatest value, as `numpy.max`."""
        return reduce.extreme(self._node, axis, keepdims, False, self._fresh)

    def any(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Whether any value is true, as `numpy.any`."""
        return reduce.decide(self._node, axis, keepdims, False, self._fresh)

    def all(self, axis: Axis = None, *, keepdims: bool = False) -> Any:
        """Whether every value is true, as `numpy.all`."""
        return reduce.decide(self._node, axis, keepdims, True, self._fresh)

    def save(
        self, path: str | os.PathLike[str], memory: int | str | Budget = "128 MiB", progress: Progress | None = None
    ) -> Path:
        """Write it to a `.npy` file, block by block: the file that ``np.save(path, np.asarray(lazy))`` would write.

        The file appears under its name when it is complete, or not at all.

        Parameters
        ----------
        path
            The file; ``.npy`` is added where it is missing.
        memory
            Bytes to use, or a `Budget`. More than the default makes nothing faster, unless parts are in Fortran order.
        progress
            Called after each block with the bytes written so far, and all bytes.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        DiskFull
            If there is too little room on the disk; nothing was written.
        BadSetting
            If the file is one of the parts.
        """
        return save(self._node, path, memory, progress)


def _constant(value: Any) -> Any:
    """Take what a lazy array is calculated with: scalars as they are, so that NumPy's rules for them hold."""
    if isinstance(value, bool | int | float | complex | np.generic):
        return value
    return np.asarray(value)


def _no(what: str, lazy: LazyArray) -> str:
    return (
        f"{what} cannot work on a lazy array. np.asarray(lazy) loads it whole ({format_size(lazy.nbytes)}), lazy[a:b] a part, and "
        'lazy.chunks("64 MiB") goes through it'
    )
