"""Bytes that are requested before they are needed, and wait in memory until they are read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from bitesize.storage.remote import RemoteFile


class _Key(NamedTuple):
    address: str
    offset: int
    nbytes: int


class _Body:
    """Bytes of one request, once they have arrived."""

    def __init__(self, owner: ReadAhead, nbytes: int) -> None:
        self.owner, self.data, self.arrived, self.good = owner, bytearray(nbytes), threading.Event(), False


_bodies: dict[_Key, list[_Body]] = {}
_lock = threading.Lock()


class ReadAhead:
    """Requests bytes before they are needed, up to a limit of bytes in memory.

    Parameters
    ----------
    limit
        Most bytes that are on the way or wait, which are charged by the caller.
    submit
        Runs a function in a thread.
    """

    def __init__(self, limit: int, submit: Callable[[Callable[[], object]], None]) -> None:
        self.limit, self.held = limit, 0
        self._submit, self._closed = submit, False

    def request(self, file: RemoteFile, offset: int, nbytes: int) -> bool:
        """Request some bytes, and return True; return False if there is no room for them now."""
        key = _Key(file.address, offset, nbytes)
        with _lock:
            if self._closed or self.held + nbytes > self.limit:
                return False
            self.held += nbytes
            body = _Body(self, nbytes)
            _bodies.setdefault(key, []).append(body)
        self._submit(lambda: _fetch(file, offset, body))
        return True

    def close(self) -> None:
        """Forget all bytes. Requests on the way end by themselves."""
        with _lock:
            self._closed = True
            for key in list(_bodies):
                _bodies[key] = [body for body in _bodies[key] if body.owner is not self]
                if not _bodies[key]:
                    del _bodies[key]
            self.held = 0


def _fetch(file: RemoteFile, offset: int, body: _Body) -> None:
    try:
        file.read_at(offset, [memoryview(body.data)])
        body.good = True
    except Exception:  # noqa: BLE001 - the thread that needs the bytes requests them again, and gets the error of that
        body.good = False
    finally:
        body.arrived.set()


def take(file: RemoteFile, offset: int, into: memoryview) -> bool:
    """Move bytes that were requested ahead into a buffer, waiting until they have arrived; return whether there were any."""
    key = _Key(file.address, offset, into.nbytes)
    with _lock:
        waiting = _bodies.get(key)
        if not waiting:
            return False
        body = waiting.pop()
        if not waiting:
            del _bodies[key]
    body.arrived.wait()
    if body.good:
        into[:] = body.data
    with _lock:
        body.owner.held = max(0, body.owner.held - into.nbytes)
    return body.good
