"""Bytes that a budget has granted, and what remains of them when their holder is garbage."""

from __future__ import annotations

import weakref
from collections.abc import Callable


class Charge:
    """Bytes that were granted; given back by `release`, or when it is garbage."""

    __slots__ = ("__weakref__", "_give_back", "nbytes", "number", "what")

    def __init__(self, give_back: Callable[[Charge], None], number: int, nbytes: int, what: str) -> None:
        self._give_back = give_back
        self.number = number
        self.nbytes = nbytes
        self.what = what

    def release(self) -> None:
        """Give the bytes back, once; later calls do nothing."""
        self._give_back(self)


class Granted(weakref.ref[Charge]):
    """A charge as its budget knows it; puts itself into the queue of the dropped ones when the charge is garbage.

    By a callback without any Python code or lock: the collector may run it within the budget's lock, and Ctrl-C in a `__del__`
    would be lost.
    """

    __slots__ = ("nbytes", "number", "what")
    number: int
    nbytes: int
    what: str
