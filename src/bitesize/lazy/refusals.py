"""The errors for what a lazy array cannot do, each with the ways that lead on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitesize.errors import NotLazy
from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.lazy.base import LazyBase


class NoSuchMethod(NotLazy, AttributeError):
    """An array has this method or attribute and a lazy array does not; `hasattr` is False."""


def ways_on(what: str, lazy: LazyBase) -> str:
    """Return the message for something that would need the whole array."""
    return (
        f"{what} cannot work on a lazy array. np.asarray(lazy) loads it whole ({format_size(lazy.nbytes)}), lazy[a:b] a part, and "
        'lazy.chunks("64 MiB") goes through it'
    )
