"""Joining arrays without memory, and the functions of NumPy that understand lazy arrays."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from bitesize.errors import BadSetting
from bitesize.files.scan import matching
from bitesize.lazy.array import LazyArray
from bitesize.lazy.nodes import Cast, Joined, Node, Reshaped, Widened
from bitesize.lazy.parts import node_of

# A path, an array, a memmap, or another lazy array.
Part = Any
_NAMED = 60  # characters of a part's name in a message


def concatenate(parts: Sequence[Part] | str, axis: int | None = 0) -> LazyArray:
    """Join arrays along an axis, as `numpy.concatenate` does, without reading them.

    Parameters
    ----------
    parts
        Paths of `.npy` files, members of `.npz` archives (``"all.npz::images"``; the name may be left out where there is one),
        arrays, `numpy.memmap`, other lazy arrays; or one pattern such as ``"parts/*.npy"``, taken in sorted order.
    axis
        Along which axis; None joins all values in one row.

    Returns
    -------
    LazyArray

    Raises
    ------
    BadSetting
        If there is no part, or shapes do not fit together; a `ValueError`.
    NotFound, BadFile
        If a file is missing, or is not what it should be.

    Examples
    --------
    >>> import numpy as np
    >>> concatenate([np.zeros((2, 3)), np.ones((1, 3), np.float32)])
    LazyArray((3, 3) float64, 72 B)
    """
    nodes, names = _nodes(parts)
    if axis is None:
        nodes, axis = [Reshaped(node, (_size(node),)) for node in nodes], 0
    if any(not node.shape for node in nodes):
        raise BadSetting("zero-dimensional arrays cannot be concatenated")
    axis = normalize_axis_index(axis, len(nodes[0].shape))
    for i, node in enumerate(nodes):
        _refuse_unless_alike(nodes[0], node, axis, names[0], names[i], i)
    return LazyArray(Joined(_of_one_dtype(nodes), axis))


def stack(parts: Sequence[Part] | str, axis: int = 0) -> LazyArray:
    """Join arrays of one shape along a new axis, as `numpy.stack` does, without reading them.

    Parameters
    ----------
    parts
        As `concatenate`.
    axis
        Where the new axis stands in the result.

    Returns
    -------
    LazyArray

    Raises
    ------
    BadSetting
        If there is no part, or shapes differ; a `ValueError`.

    Examples
    --------
    >>> import numpy as np
    >>> stack([np.zeros(3), np.ones(3)], axis=1).shape
    (3, 2)
    """
    nodes, names = _nodes(parts, "stack")
    for node, name in zip(nodes, names, strict=True):
        if node.shape != nodes[0].shape:
            raise BadSetting(
                f"all input arrays must have the same shape: {names[0]} has {nodes[0].shape}, and {name} has {node.shape}"
            )
    axis = normalize_axis_index(axis, len(nodes[0].shape) + 1)
    return LazyArray(Joined([Widened(node, axis) for node in _of_one_dtype(nodes)], axis))


def _nodes(parts: Sequence[Part] | str, what: str = "concatenate") -> tuple[list[Node], list[str]]:
    if isinstance(parts, str | os.PathLike):
        parts = matching(os.fspath(parts))
    if isinstance(parts, LazyArray | np.ndarray):  # NumPy takes the entries of the first axis as parts
        parts = [parts.slice(i, i + 1).reshape(parts.shape[1:]) if isinstance(parts, LazyArray) else parts[i] for i in range(len(parts))]  # fmt: skip
    if not len(parts):
        raise BadSetting(f"need at least one array to {what}")
    names = [
        os.fsdecode(part) if isinstance(part, str | bytes | os.PathLike) else f"part {i}" for i, part in enumerate(parts)
    ]
    return [part._node if isinstance(part, LazyArray) else node_of(part) for part in parts], names


def _refuse_unless_alike(first: Node, node: Node, axis: int, first_name: str, name: str, number: int) -> None:
    """Raise what NumPy would, with the names of the parts."""
    if len(node.shape) != len(first.shape):
        raise BadSetting(
            "all the input array dimensions must match in number: "
            f"{first_name} has {len(first.shape)} ({first.shape}), and {name} has {len(node.shape)} ({node.shape})"
        )
    for i, (n, expected) in enumerate(zip(node.shape, first.shape, strict=True)):
        if i != axis and n != expected:
            raise BadSetting(
                "all the input array dimensions except for the concatenation axis must match exactly, but along dimension "
                f"{i} {first_name} has size {expected} ({first.shape}), and {name} (number {number}) has size {n} ({node.shape})"
            )


def _of_one_dtype(nodes: Sequence[Node]) -> list[Node]:
    dtype = np.result_type(*(node.dtype for node in nodes))
    return [node if node.dtype == dtype else Cast(node, dtype) for node in nodes]


def _size(node: Node) -> int:
    return LazyArray(node).size


# --- what NumPy's functions do with lazy arrays ----------------------------------------------------------------------


def _vstack(tup: Sequence[Part]) -> LazyArray:
    return concatenate([_at_least_2d(each) for each in tup], 0)


def _hstack(tup: Sequence[Part]) -> LazyArray:
    lazies = [_lazy(each) for each in tup]
    return concatenate([each.reshape(1) if not each.ndim else each for each in lazies], 0 if lazies[0].ndim <= 1 else 1)


def _at_least_2d(part: Part) -> LazyArray:
    lazy = _lazy(part)
    return lazy if lazy.ndim > 1 else lazy.reshape(1, lazy.size)


def _lazy(part: Part) -> LazyArray:
    return part if isinstance(part, LazyArray) else LazyArray(node_of(part))


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


def _expand_dims(a: LazyArray, axis: Any) -> LazyArray:
    count = len(axis) if isinstance(axis, Sequence) else 1
    node = a._node
    for place in sorted(normalize_axis_tuple(axis, a.ndim + count)):
        node = Widened(node, place)
    return LazyArray(node)


def _squeeze(a: LazyArray, axis: Any = None) -> LazyArray:
    chosen = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else np.atleast_1d(axis).tolist()
    gone = {normalize_axis_index(each, a.ndim) for each in chosen}
    if any(a.shape[i] != 1 for i in gone):
        raise BadSetting("cannot select an axis to squeeze out which has size not equal to one")
    return a.reshape([n for i, n in enumerate(a.shape) if i not in gone])


def _moveaxis(a: LazyArray, source: Any, destination: Any) -> LazyArray:
    # NumPy moves the axes of an array without memory whose sides tell where they were.
    marked = np.broadcast_to(np.int8(0), tuple(range(2, a.ndim + 2)))
    order = [n - 2 for n in np.moveaxis(marked, source, destination).shape]
    return a.transpose(order)


def _save(file: Any, arr: LazyArray) -> None:
    if not isinstance(file, str | os.PathLike):
        raise BadSetting("a lazy array is saved to a path: a file that is open cannot be replaced as a whole")
    arr.save(file)


def _array_equal(a1: Part, a2: Part) -> bool:
    first, second = _lazy(a1), _lazy(a2)
    return first.shape == second.shape and bool((first == second).all())


def _method(name: str) -> Callable[..., Any]:
    def call(a: LazyArray, *args: Any, **kwargs: Any) -> Any:
        return getattr(a, name)(*args, **kwargs)

    call.__name__ = name
    return call


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.concatenate: concatenate,
    np.stack: stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.split: _split,
    np.array_split: _array_split,
    np.vsplit: lambda ary, sections: _split(ary, sections, 0),
    np.hsplit: lambda ary, sections: _split(ary, sections, 1 if ary.ndim > 1 else 0),
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.moveaxis: _moveaxis,
    np.reshape: _method("reshape"),
    np.ravel: lambda a: a.reshape(-1),
    np.transpose: _method("transpose"),
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.sum: _method("sum"),
    np.mean: _method("mean"),
    np.var: _method("var"),
    np.std: _method("std"),
    np.min: _method("min"),
    np.max: _method("max"),
    np.amin: _method("min"),
    np.amax: _method("max"),
    np.any: _method("any"),
    np.all: _method("all"),
    np.array_equal: _array_equal,
    np.save: _save,
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
    np.result_type: lambda *each: np.result_type(*(a.dtype if isinstance(a, LazyArray) else a for a in each)),
}
