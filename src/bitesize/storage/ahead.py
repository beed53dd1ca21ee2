"""Bytes that are requested before they are needed, and wait in memory until they are read."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bitesize.errors import LoaderClosed
from bitesize.memory.mapping import allocate


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


class Ring:
    """Memory of a fixed size, handed out in pieces one after another. Pieces are returned in about the same order.

    It is mapped, because pieces of the size of a photograph that many threads allocate and free leave holes, which take as much memory again.

    Parameters
    ----------
    nbytes
        Size in bytes.
    """

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._memory: memoryview | None = None
        self._pieces: deque[list[int]] = deque()  # start, stop, and whether it is used
        self.count = 0  # of the pieces that are used

    def take(self, nbytes: int) -> tuple[memoryview, list[int]] | None:
        """Return the next free piece and its entry, or None if there is none of this size."""
        first = self._pieces[0][0] if self._pieces else 0
        start = self._pieces[-1][1] if self._pieces else 0
        if start >= first or not self._pieces:  # the used part does not wrap around
            if start + nbytes > self._nbytes:
                if nbytes >= first:
                    return None
                start = 0
        elif start + nbytes >= first:
            return None
        if self._memory is None:
            self._memory = memoryview(allocate(self._nbytes))  # type: ignore[arg-type]
        piece = [start, start + nbytes, 1]
        self.count += 1
        self._pieces.append(piece)
        return self._memory[start : start + nbytes], piece

    def give(self, piece: list[int]) -> None:
        """Return a piece."""
        piece[2] = 0
        self.count -= 1
        while self._pieces and not self._pieces[0][2]:
            self._pieces.popleft()


class Body:
    """Memory for the bytes of a part, which are on the way or have arrived.

    Attributes
    ----------
    data : memoryview
        The bytes.
    error : Exception or None
        Why they could not be read, once they should have arrived.
    version : str
        Version of the object that they are of.
    """

    __slots__ = ("arrived", "data", "dropped", "error", "owner", "part", "piece", "version")

    def __init__(self, owner: ReadAhead, part: Part, data: memoryview, piece: list[int]) -> None:
        self.owner, self.part, self.data, self.piece = owner, part, data, piece
        self.arrived, self.dropped = threading.Event(), False
        self.error: Exception | None = None
        self.version = ""

    def arrive(self, error: Exception | None = None) -> None:
        """Wake the thread that waits for the bytes, and that raises the error if there is one."""
        with _lock:
            self.error = error
            self.arrived.set()
            if self.dropped:
                self.owner.ring.give(self.piece)


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
    most
        Most parts that are on the way or wait.
    """

    def __init__(self, limit: int, fetch: Callable[[Sequence[Part], Sequence[Body]], None], most: int = 1 << 30) -> None:
        self.ring, self.closed, self._most = Ring(limit), False, most
        self._fetch = fetch

    def place(self, part: Part) -> Body | None:
        """Return a body for a part, or None if there is no room for it now. Parts must be requested in the order of reading."""
        with _lock:
            taken = self.ring.take(part.nbytes) if self.ring.count < self._most else None
            if taken is None:
                return None
            body = Body(self, part, *taken)
            _bodies.setdefault(part, []).append(body)
            return body

    def request(self, bodies: Sequence[Body]) -> None:
        """Request the bytes of bodies. Returns at once."""
        self._fetch([body.part for body in bodies], bodies)

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
                        self.ring.give(body.piece)

    def close(self) -> None:
        """Forget all bodies, also those that threads wait for: their requests end with the next try."""
        self.closed = True
        self.drop()


def take(part: Part, into: Sequence[memoryview], version: str = "") -> bool:
    """Move bytes that were requested ahead into consecutive buffers, once they have arrived; return whether there were any.

    Those of another version of the object are dropped: another loader has requested them, before the data was opened again.

    Raises
    ------
    BitesizeError
        If they could not be read: all tries of their request have failed, so they are not requested again.
    """
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
    error, good = body.error, body.version == version
    if isinstance(error, LoaderClosed):  # the loader that has requested them, which may be another one
        error, good = None, False
    if error is None and good:
        data = body.data
        for buffer in into:
            buffer[:], data = data[: buffer.nbytes], data[buffer.nbytes :]
    with _lock:
        body.owner.ring.give(body.piece)
    if error is not None and good:
        raise error
    return good
