"""Times of a loader's thread, by activity."""

from __future__ import annotations


class Clock:
    """Seconds that one thread has spent, by activity. Only that thread writes to its clock.

    Attributes
    ----------
    read, fetch, decode, render, user : float
        Reading from disk, reading and casting in one step, decoding, the kernels, and functions of the user.
    cache : float
        Adding rows to a cache on disk.
    idle : float
        Waiting for a slot to fill.
    busy : float
        Filling slots: all of the above except ``idle``, plus the time of Python code.
    cpu : float
        Processor seconds during ``busy``.
    rows : int
        Number of rows filled.
    cached_rows : int
        Number of rows that were found in a cache on disk.
    nbytes : int
        Bytes of encoded images read.
    """

    __slots__ = (
        "busy",
        "cache",
        "cached_rows",
        "cpu",
        "decode",
        "fetch",
        "idle",
        "nbytes",
        "read",
        "render",
        "rows",
        "user",
    )

    def __init__(self) -> None:
        self.read = self.fetch = self.decode = self.render = self.user = self.cache = self.idle = self.busy = self.cpu = 0.0
        self.rows = self.cached_rows = self.nbytes = 0


def values_of(clock: Clock) -> dict[str, float]:
    """Return all values of a clock by name."""
    return {name: float(getattr(clock, name)) for name in Clock.__slots__}
