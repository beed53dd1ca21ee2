"""Bytes that are requested before they are needed, and wait in memory until they are read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Part(NamedTuple):
    """Bytes of an object.

    Attributes
    ----------
    address : str
        The object.
    offset, nbytes : int
        Offset of the first byte, and number of bytes.
    """

    address: str
    offset: int
    nbytes: int


class Body:
    """Memory for the bytes of a part, which are on the way or have arrived.

    Attributes
    ----------
    data : bytearray
        The bytes.
    """

    __slots__ = ("arrived", "data", "dropped", "good", "owner", "part")

    def __init__(self, owner: ReadAhead, part: Part) -> None:
        self.owner, self.part, self.data = owner, part, bytearray(part.nbytes)
        self.arrived, self.good, self.dropped = threading.Event(), False, False

    def arrive(self, good: bool) -> None:
        """Wake the thread that waits for the bytes. If they are not good, it requests them again and gets the error of that."""
        with _lock:
            self.good = good
            self.arrived.set()
            if self.dropped:
                self.owner.held -= len(self.data)


_bodies: dict[Part, list[Body]] = {}
_lock = threading.Lock()


class ReadAhead:
    """Requests bytes before they are needed, up to a limit of bytes in memory.

    Parameters
    ----------
    limit
        Most bytes that are on the way or wait. The caller charges them.
    fetch
        Requests parts into the data of bodies, and calls `Body.arrive` for each when it is there. Returns at once.
    """

    def __init__(self, limit: int, fetch: Callable[[Sequence[Part], Sequence[Body]], None]) -> None:
        self.limit, self.held = limit, 0
        self._fetch = fetch

    def room_for(self, nbytes: int) -> bool:
        """Return whether there is room for some more bytes. If nothing is held, there is room for any number up to the limit."""
        return self.held + nbytes <= self.limit

    def request(self, parts: Sequence[Part]) -> list[Body]:
        """Request parts, for which there must be room; return their bodies."""
        bodies = [Body(self, part) for part in parts]
        with _lock:
            self.held += sum(part.nbytes for part in parts)
            for body in bodies:
                _bodies.setdefault(body.part, []).append(body)
        self._fetch(parts, bodies)
        return bodies

    def drop(self, bodies: Iterable[Body] | None = None) -> None:
        """Forget those of some bodies that nobody has read, or of all of them. Those on the way are counted until they arrive."""
        with _lock:
            if bodies is None:
                bodies = [body for waiting in _bodies.values() for body in waiting if body.owner is self]
            for body in bodies:
                waiting = _bodies.get(body.part, [])
                if body in waiting:
                    waiting.remove(body)
                    if not waiting:
                        del _bodies[body.part]
                    body.dropped = True
                    if body.arrived.is_set():
                        self.held -= len(body.data)


def take(part: Part, into: Sequence[memoryview]) -> bool:
    """Move bytes that were requested ahead into consecutive buffers, once they have arrived; return whether there were any."""
    if not _bodies:
        return False
    with _lock:
        waiting = _bodies.get(part)
        if not waiting:
            return False
        body = waiting.pop(0)
        if not waiting:
            del _bodies[part]
    body.arrived.wait()
    if body.good:
        data = memoryview(body.data)
        for buffer in into:
            buffer[:], data = data[: buffer.nbytes], data[buffer.nbytes :]
    with _lock:
        body.owner.held -= part.nbytes
    return body.good
