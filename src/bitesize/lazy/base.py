"""Base class of lazy arrays: a node to read from, and the attributes of an array."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from bitesize.errors import DoesNotFit
from bitesize.html.notebook import output, table
from bitesize.lazy.nodes import Node
from bitesize.memory.limits import available
from bitesize.memory.sizes import counted, format_size

# Below this size the free memory is not checked: the check takes longer than the allocation.
SMALL = 1 << 20


class LazyBase(NDArrayOperatorsMixin):
    """The attributes of an array, from a node; base class of `LazyArray` and its groups of methods."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._node.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return self._node.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one value."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyArray({self.shape} {self.dtype}, {format_size(self.nbytes)})"

    def _repr_html_(self) -> str:
        """Return shape, dtype, bytes and files, without reading values, for notebooks."""
        node = self._node
        lines: list[tuple[str, object]] = [
            ("shape", self.shape),
            ("dtype", self.dtype),
            ("in memory", format_size(self.nbytes)),
        ]
        if self.shape and self.shape[0]:
            lines.append(("one entry of the first axis", format_size(self.nbytes // self.shape[0])))
        if node.chunk_nbytes:
            lines.append(("cheap to read together", format_size(node.chunk_nbytes)))
        leaves = list(_leaves(node))
        on_disk = sum(leaf.on_disk for leaf in leaves)
        places = {"on disk": on_disk, "in memory": len(leaves) - on_disk}
        lines.append(("made of", ", ".join(f"{counted(count, 'array')} {at}" for at, count in places.items() if count)))
        if node.hindrance:
            lines.append(("note", node.hindrance))
        return output("LazyArray", table(lines))

    def _fresh(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an uninitialized array for a result, if it fits the available memory."""
        require_room(math.prod(shape) * dtype.itemsize, f"an array of {shape} {dtype}")
        return np.empty(shape, dtype)


def _leaves(node: Node) -> Iterator[Node]:
    """Yield the nodes that read from no other node."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        waiting += node.below
        if not node.below:
            yield node


def require_room(nbytes: int, result: str) -> None:
    """Raise `DoesNotFit` if a result is larger than the available memory."""
    if nbytes <= SMALL:
        return
    limit = available()
    if nbytes > limit.room:
        raise DoesNotFit(
            f"{result} needs {format_size(nbytes)}, but {format_size(limit.room)} are available "
            f'({limit.name}). Read a part, lazy[a:b] or lazy.slice(a, b); iterate over it, lazy.chunks("64 MiB"); write it '
            'to a file, lazy.save("all.npy"); or train on it, bs.open(lazy, y).split(0.9)'
        )
