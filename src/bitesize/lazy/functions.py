"""Concatenating and stacking arrays without loading them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import DTypeLike

from bitesize.errors import BadSetting
from bitesize.files.scan import matching
from bitesize.lazy.array import LazyArray
from bitesize.lazy.axes import integer, one_axis
from bitesize.lazy.casting import refuse_unless_plain
from bitesize.lazy.nodes import Cast, Joined, Node, Reshaped, Widened
from bitesize.lazy.parts import node_of

log = logging.getLogger("bitesize")

# A path, an array, a memmap, an open dataset, or another lazy array.
Part = Any


def concatenate(
    parts: Sequence[Part] | str, axis: int | None = 0, *, dtype: DTypeLike | None = None, casting: str = "same_kind"
) -> LazyArray:
    """Join arrays along an axis, as `numpy.concatenate` does, without reading them.

    Parameters
    ----------
    parts
        Paths of `.npy` files, members of `.npz` archives (``"all.npz::images"``; the name may be left out if there is one),
        arrays, `numpy.memmap` and views of one, open datasets of h5py, Zarr and Dask, other lazy arrays; or one pattern such as
        ``"parts/*.npy"``, in the order in which `bitesize.open` lists files.
    axis
        Axis along which to join; None flattens all parts first.
    dtype
        Dtype of the result; by default the dtype that NumPy promotes the dtypes of the parts to.
    casting
        Which casts are allowed, as in `numpy.can_cast`.

    Returns
    -------
    LazyArray
        The joined array.

    Raises
    ------
    BadSetting
        If there are no parts, or their shapes do not match; a `ValueError`.
    TypeError
        If dtypes cannot be cast, such as time spans to dates, as NumPy raises it.
    NotFound, BadFile
        If a file is missing, or is not a valid file of its format.

    Examples
    --------
    >>> import numpy as np
    >>> concatenate([np.zeros((2, 3)), np.ones((1, 3), np.float32)])
    LazyArray((3, 3) float64, 72 B)
    """
    nodes, names = _nodes(parts)
    axis = axis if axis is None else integer(axis)
    if axis is None:
        nodes, axis = [Reshaped(node, (_size(node),)) for node in nodes], 0
    if any(not node.shape for node in nodes):
        raise BadSetting("zero-dimensional arrays cannot be concatenated")
    axis = one_axis(axis, len(nodes[0].shape))
    for i, node in enumerate(nodes):
        _refuse_unless_alike(nodes[0], node, axis, names[0], names[i], i)
    joined = LazyArray(Joined(_of_one_dtype(nodes, dtype, casting), axis))
    note = images_joined(joined, axis)
    if note:
        log.info("%s; use bs.stack(parts) to make each part one row", note)
    return joined


def stack(
    parts: Sequence[Part] | str, axis: int = 0, *, dtype: DTypeLike | None = None, casting: str = "same_kind"
) -> LazyArray:
    """Join arrays of one shape along a new axis, as `numpy.stack` does, without reading them.

    Parameters
    ----------
    parts
        As `concatenate`.
    axis
        Position of the new axis in the result.
    dtype, casting
        As `concatenate`.

    Returns
    -------
    LazyArray
        The joined array, with one axis more than its parts.

    Raises
    ------
    BadSetting
        If there are no parts, or their shapes differ; a `ValueError`.

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
    return LazyArray(Joined([Widened(node, axis) for node in _of_one_dtype(nodes, dtype, casting)], axis))


def _nodes(parts: Sequence[Part] | str, verb: str = "concatenate") -> tuple[list[Node], list[str]]:
    if isinstance(parts, str | os.PathLike):
        parts = matching(os.fspath(parts))
    if isinstance(parts, LazyArray | np.ndarray):  # NumPy uses the entries of the first axis as parts
        parts = [parts.slice(i, i + 1).reshape(parts.shape[1:]) if isinstance(parts, LazyArray) else parts[i] for i in range(len(parts))]  # fmt: skip
    if not len(parts):
        raise BadSetting(f"need at least one array to {verb}")
    names = [
        os.fsdecode(part) if isinstance(part, str | bytes | os.PathLike) else f"part {i}" for i, part in enumerate(parts)
    ]
    return [part._node if isinstance(part, LazyArray) else node_of(part) for part in parts], names


def _refuse_unless_alike(first: Node, node: Node, axis: int, first_name: str, name: str, number: int) -> None:
    """Raise the same error as NumPy, with the names of the parts."""
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


def _of_one_dtype(nodes: Sequence[Node], dtype: DTypeLike | None, casting: str) -> list[Node]:
    """Return the parts cast to one dtype, which NumPy determines from empty arrays."""
    empty = [np.empty(0, each) for each in dict.fromkeys(node.dtype for node in nodes)]
    common = np.concatenate(empty, dtype=dtype, casting=casting).dtype  # type: ignore[call-overload]
    refuse_unless_plain(common)
    return [node if node.dtype == common else Cast(node, common) for node in nodes]


def images_joined(joined: LazyArray, axis: int | None = 0) -> str | None:
    """Return a note if parts look like single images that were joined along their height, or None.

    Parameters
    ----------
    joined
        Result of `concatenate`.
    axis
        Along which axis.
    """
    parts = joined._node.below
    first = parts[0].shape
    if len(parts) < 2 or axis != 0 or len(first) != 3 or first[-1] not in (1, 3, 4) or joined.dtype.kind not in "uf":
        return None
    if any(part.shape != first for part in parts):
        return None
    return f"{len(parts):,} parts of {first} look like single images but are joined along their height: {joined.shape}"


def _size(node: Node) -> int:
    return LazyArray(node).size
