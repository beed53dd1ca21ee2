"""What every lazy array has: a node to read from, and the attributes of an array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from bitesize.errors import DoesNotFit
from bitesize.lazy.nodes import Node
from bitesize.memory.limits import available
from bitesize.memory.sizes import format_size

# Below this the system is not asked how much is free: asking takes longer than the allocation.
SMALL = 1 << 20


class LazyBase(NDArrayOperatorsMixin):
    """The attributes of an array, taken from a node; the base of `LazyArray` and of its groups of methods."""

    def __init__(self, node: Node) -> None:
        self._node = node

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

    def _fresh(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Allocate a result, if it fits what is available."""
        require_room(math.prod(shape) * dtype.itemsize, f"an array of {shape} {dtype}")
        return np.empty(shape, dtype)


def require_room(nbytes: int, what: str) -> None:
    """Raise `DoesNotFit` if a result is larger than the memory that is available."""
    if nbytes <= SMALL:
        return
    limit = available()
    if nbytes > limit.room:
        raise DoesNotFit(
            f"{what} needs {format_size(nbytes)}, and {format_size(limit.room)} are free "
            f'({limit.name}). Take a part, lazy[a:b] or lazy.slice(a, b); go through it, lazy.chunks("64 MiB"); write it '
            'to a file, lazy.save("all.npy"); or train on it, bs.open(lazy, y).split(0.9)'
        )
