"""Functions of NumPy for lazy arrays: lazy if possible, else computed in one pass, block by block."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.typing import ArrayLike, DTypeLike

from bitesize.errors import BadSetting, NotLazy
from bitesize.lazy import search
from bitesize.lazy.array import FUNCTIONS, LazyArray
from bitesize.lazy.axes import Axis
from bitesize.lazy.calculating import elementwise
from bitesize.lazy.functions import Part, concatenate, stack
from bitesize.lazy.nodes import Widened
from bitesize.lazy.parts import node_of
from bitesize.lazy.refusals import ways_on
from bitesize.lazy.reordered import Flipped
from bitesize.lazy.shaping import Mode


def lazy_of(part: Part) -> LazyArray:
    """Return a part as a lazy array."""
    return part if isinstance(part, LazyArray) else LazyArray(node_of(part))


# --- joining and parting ---------------------------------------------------------------------------------------------


def _vstack(tup: Sequence[Part], *, dtype: DTypeLike | None = None, casting: str = "same_kind") -> LazyArray:
    return concatenate([_at_least_2d(each) for each in tup], 0, dtype=dtype, casting=casting)


def _hstack(tup: Sequence[Part], *, dtype: DTypeLike | None = None, casting: str = "same_kind") -> LazyArray:
    lazies = [_at_least_1d(each) for each in tup]
    return concatenate(lazies, 0 if lazies and lazies[0].ndim == 1 else 1, dtype=dtype, casting=casting)


def _dstack(tup: Sequence[Part]) -> LazyArray:
    return concatenate([_at_least_3d(each) for each in tup], 2)


def _column_stack(tup: Sequence[Part]) -> LazyArray:
    lazies = [lazy_of(each) for each in tup]
    return concatenate([each.reshape(each.size, 1) if each.ndim < 2 else each for each in lazies], 1)


def _append(arr: Part, values: Part, axis: int | None = None) -> LazyArray:
    return concatenate([lazy_of(arr), lazy_of(values)], axis)


def _at_least_1d(part: Part) -> LazyArray:
    lazy = lazy_of(part)
    return lazy if lazy.ndim else lazy.reshape(1)


def _at_least_2d(part: Part) -> LazyArray:
    lazy = lazy_of(part)
    return lazy if lazy.ndim > 1 else lazy.reshape(1, lazy.size)


def _at_least_3d(part: Part) -> LazyArray:
    lazy = lazy_of(part)
    if lazy.ndim > 2:
        return lazy
    return lazy.reshape(*lazy.shape, 1) if lazy.ndim == 2 else lazy.reshape(1, lazy.size, 1)


def _of_each(function: Callable[[Part], LazyArray]) -> Callable[..., Any]:
    def call(*arys: Part) -> Any:
        return function(arys[0]) if len(arys) == 1 else tuple(function(each) for each in arys)

    return call


def _array_split(ary: LazyArray, indices_or_sections: Any, axis: int = 0) -> list[LazyArray]:
    axis = normalize_axis_index(axis, ary.ndim)
    size = ary.shape[axis]
    try:
        count = operator.index(indices_or_sections)
    except TypeError:
        cuts = [0, *map(int, indices_or_sections), size]
    else:
        if count <= 0:
            raise BadSetting("number sections must be larger than 0.")
        each, more = divmod(size, count)
        cuts = [i * each + min(i, more) for i in range(count + 1)]
    return [ary.slice(start, stop, axis) for start, stop in pairwise(cuts)]


def _split(ary: LazyArray, indices_or_sections: Any, axis: int = 0) -> list[LazyArray]:
    sections = indices_or_sections
    if (
        isinstance(sections, int | np.integer)
        and sections > 0
        and ary.shape[normalize_axis_index(axis, ary.ndim)] % sections
    ):
        raise BadSetting("array split does not result in an equal division")
    return _array_split(ary, sections, axis)


def _dsplit(ary: LazyArray, indices_or_sections: Any) -> list[LazyArray]:
    if ary.ndim < 3:
        raise BadSetting("dsplit only works on arrays of 3 or more dimensions")
    return _split(ary, indices_or_sections, 2)


def _unstack(x: LazyArray, /, *, axis: int = 0) -> tuple[LazyArray, ...]:
    if not x.ndim:
        raise BadSetting("Input array must be at least 1-d.")
    front = _moveaxis(x, axis, 0)
    return tuple(front.slice(i, i + 1).reshape(front.shape[1:]) for i in range(len(front)))


# --- shape and order -------------------------------------------------------------------------------------------------


def _expand_dims(a: LazyArray, axis: Any) -> LazyArray:
    count = len(axis) if isinstance(axis, Sequence) else 1
    node = a._node
    for place in sorted(normalize_axis_tuple(axis, a.ndim + count)):
        node = Widened(node, place)
    return LazyArray(node)


def _moveaxis(a: LazyArray, source: Any, destination: Any) -> LazyArray:
    return a.transpose(_order_of(a.ndim, lambda marked: np.moveaxis(marked, source, destination)))


def _rollaxis(a: LazyArray, axis: int, start: int = 0) -> LazyArray:
    return a.transpose(_order_of(a.ndim, lambda marked: np.rollaxis(marked, axis, start)))


def _order_of(ndim: int, move: Callable[[Any], Any]) -> tuple[int, ...]:
    """Return the order of axes that a function of NumPy produces, from an array without memory whose shape numbers the axes."""
    return tuple(n - 2 for n in move(np.broadcast_to(np.int8(0), tuple(range(2, ndim + 2)))).shape)


def _flip(m: LazyArray, axis: Any = None) -> LazyArray:
    axes = tuple(range(m.ndim)) if axis is None else tuple(normalize_axis_tuple(axis, m.ndim))
    return LazyArray(Flipped(m._node, axes)) if axes else m


def _flipud(m: LazyArray) -> LazyArray:
    if m.ndim < 1:
        raise BadSetting("Input must be >= 1-d.")
    return _flip(m, 0)


def _fliplr(m: LazyArray) -> LazyArray:
    if m.ndim < 2:
        raise BadSetting("Input must be >= 2-d.")
    return _flip(m, 1)


def _rot90(m: LazyArray, k: int = 1, axes: Sequence[int] = (0, 1)) -> LazyArray:
    if len(axes) != 2:
        raise BadSetting("len(axes) must be 2.")
    first, second = (normalize_axis_index(axis, m.ndim) for axis in axes)
    if first == second:
        raise BadSetting("Axes must be different.")
    k %= 4
    if k % 2 == 0:
        return _flip(m, (first, second)) if k else m
    return _flip(m, second).swapaxes(first, second) if k == 1 else _flip(m.swapaxes(first, second), second)


def _reshape(a: LazyArray, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> LazyArray:
    return a.reshape(shape, order=order, copy=copy)


def _take(a: Part, indices: ArrayLike, axis: int | None = None, *, mode: Mode = "raise") -> LazyArray:
    return lazy_of(a).take(np.asarray(indices) if isinstance(indices, LazyArray) else indices, axis, mode=mode)


# --- value by value --------------------------------------------------------------------------------------------------

_NOT_GIVEN = object()


def _where(condition: Any, x: Any = _NOT_GIVEN, y: Any = _NOT_GIVEN) -> LazyArray:
    if x is _NOT_GIVEN or y is _NOT_GIVEN:
        lazy = next(each for each in (condition, x, y) if isinstance(each, LazyArray))
        raise NotLazy(ways_on("np.where with a condition alone", lazy))
    return elementwise("np.where", np.where, condition, x, y)  # type: ignore[no-any-return]


def _clip(
    a: Any, a_min: Any = _NOT_GIVEN, a_max: Any = _NOT_GIVEN, *, min: Any = _NOT_GIVEN, max: Any = _NOT_GIVEN  # noqa: A002
) -> LazyArray:  # fmt: skip
    low, high = (None if each is _NOT_GIVEN else each for each in (min if a_min is _NOT_GIVEN else a_min, max if a_max is _NOT_GIVEN else a_max))  # fmt: skip
    return elementwise("np.clip", np.clip, a, low, high)  # type: ignore[no-any-return]


def _isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> LazyArray:
    return elementwise("np.isclose", partial(np.isclose, equal_nan=equal_nan), a, b, rtol, atol)  # type: ignore[no-any-return]


def _allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    return bool(_isclose(a, b, rtol, atol, equal_nan).all())


def _array_equal(a1: Part, a2: Part, equal_nan: bool = False) -> bool:
    first, second = (lazy_of(np.asarray(lazy) if isinstance(lazy, str | bytes) else lazy) for lazy in (a1, a2))
    if first.shape != second.shape:
        return False
    same = first == second
    if equal_nan and first.dtype.kind in "fcmM" and second.dtype.kind in "fcmM":
        missing = [np.isnat if lazy.dtype.kind in "mM" else np.isnan for lazy in (first, second)]
        same = same | (missing[0](first) & missing[1](second))
    return bool(same.all())


def _nan_to_num(x: LazyArray, *, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> LazyArray:
    function = partial(np.nan_to_num, nan=nan, posinf=posinf, neginf=neginf)
    return elementwise("np.nan_to_num", function, x)  # type: ignore[no-any-return]


def _applied(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the lazy form of an elementwise function of one array."""
    return lambda x: elementwise(f"np.{function.__name__}", function, x)


# --- reading ---------------------------------------------------------------------------------------------------------


def _count_nonzero(a: LazyArray, axis: Axis = None, *, keepdims: bool = False) -> Any:
    return search.count_nonzero(a._node, axis, keepdims, a._fresh)


def _ptp(a: LazyArray, axis: Axis = None, *, keepdims: bool = False) -> Any:
    return a.max(axis, keepdims=keepdims) - a.min(axis, keepdims=keepdims)


def _save(file: Any, arr: LazyArray) -> None:
    if not isinstance(file, str | os.PathLike):
        raise BadSetting("a lazy array is saved to a path, not to an open file, which cannot be replaced atomically")
    arr.save(file)


def _method(name: str) -> Callable[..., Any]:
    def call(a: LazyArray, *args: Any, **kwargs: Any) -> Any:
        return getattr(a, name)(*args, **kwargs)

    call.__name__ = name
    return call


_METHODS = [
    "transpose", "swapaxes", "squeeze", "ravel", "round", "sum", "prod", "mean", "var", "std", "min", "max", "any", "all", "argmin",
    "argmax",
]  # fmt: skip

FUNCTIONS |= {getattr(np, name): _method(name) for name in _METHODS} | {
    np.concatenate: concatenate,
    np.stack: stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.dstack: _dstack,
    np.column_stack: _column_stack,
    np.append: _append,
    np.atleast_1d: _of_each(_at_least_1d),
    np.atleast_2d: _of_each(_at_least_2d),
    np.atleast_3d: _of_each(_at_least_3d),
    np.split: _split,
    np.array_split: _array_split,
    np.vsplit: lambda ary, sections: _split(ary, sections, 0),
    np.hsplit: lambda ary, sections: _split(ary, sections, 1 if ary.ndim > 1 else 0),
    np.dsplit: _dsplit,
    np.expand_dims: _expand_dims,
    np.moveaxis: _moveaxis,
    np.rollaxis: _rollaxis,
    np.matrix_transpose: lambda x: x.mT,
    np.flip: _flip,
    np.flipud: _flipud,
    np.fliplr: _fliplr,
    np.rot90: _rot90,
    np.reshape: _reshape,
    np.take: _take,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.where: _where,
    np.clip: _clip,
    np.around: _method("round"),
    np.isclose: _isclose,
    np.nan_to_num: _nan_to_num,
    np.real: _applied(np.real),
    np.imag: _applied(np.imag),
    np.amin: _method("min"),
    np.amax: _method("max"),
    np.ptp: _ptp,
    np.count_nonzero: _count_nonzero,
    np.allclose: _allclose,
    np.array_equal: _array_equal,
    np.save: _save,
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
    np.result_type: lambda *each: np.result_type(*(a.dtype if isinstance(a, LazyArray) else a for a in each)),
}
if hasattr(np, "unstack"):  # since NumPy 2.1
    FUNCTIONS[np.unstack] = _unstack
