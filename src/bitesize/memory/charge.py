"""Charges: bytes that a budget has granted, which are returned when their holder is garbage."""

from __future__ import annotations

import weakref
from collections.abc import Callable


class Charge:
    """Granted bytes. They are returned by `release`, or when the charge is garbage."""

    __slots__ = ("__weakref__", "_give_back", "nbytes", "number", "purpose")

    def __init__(self, give_back: Callable[[Charge], None], number: int, nbytes: int, purpose: str) -> None:
        self._give_back = give_back
        self.number = number
        self.nbytes = nbytes
        self.purpose = purpose

    def release(self) -> None:
        """Return the bytes to the budget. Later calls do nothing."""
        self._give_back(self)


class Granted(weakref.ref[Charge]):
    """The budget's record of a charge. It puts itself into the queue of dropped charges when the charge is garbage.

    The callback has no Python code and takes no lock: the garbage collector may run it while the budget's lock is held, and
    Ctrl-C in a `__del__` would be lost.
    """

    __slots__ = ("nbytes", "number", "optional", "purpose")
    number: int
    nbytes: int
    purpose: str
    optional: bool  # whether its holder returns the bytes when others need them
