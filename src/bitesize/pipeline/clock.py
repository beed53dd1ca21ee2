"""What a thread of a loader spends its time on."""

from __future__ import annotations


class Clock:
    """Seconds that one thread spent, by what it did; only that thread writes.

    Attributes
    ----------
    read, fetch, decode, draw, user : float
        Reading from disk, reading and casting in one step, decoding, the kernels, and functions of the user.
    idle : float
        Waiting for a slot to fill.
    busy : float
        Filling slots: all of the above but ``idle``, and Python's own time beside it.
    cpu : float
        Seconds of a processor during ``busy``.
    rows : int
        Rows filled.
    nbytes : int
        Bytes of encoded images that were read.
    """

    __slots__ = ("busy", "cpu", "decode", "draw", "fetch", "idle", "nbytes", "read", "rows", "user")

    def __init__(self) -> None:
        self.read = self.fetch = self.decode = self.draw = self.user = self.idle = self.busy = self.cpu = 0.0
        self.rows = self.nbytes = 0


def values_of(clock: Clock) -> dict[str, float]:
    """Return all that a clock shows."""
    return {name: float(getattr(clock, name)) for name in Clock.__slots__}
