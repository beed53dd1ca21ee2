"""Errors for unsupported operations of lazy arrays, with alternatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitesize.errors import NotLazy
from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.lazy.base import LazyBase


class NoSuchMethod(NotLazy, AttributeError):
    """A method or attribute of arrays that a lazy array does not have; `hasattr` is False."""


def ways_on(operation: str, lazy: LazyBase) -> str:
    """Return the message for an operation that would need the whole array."""
    return (
        f"{operation} is not supported for a lazy array. np.asarray(lazy) loads all of it ({format_size(lazy.nbytes)}), lazy[a:b] a part, and "
        'lazy.chunks("64 MiB") iterates over it'
    )
