"""Reading many pieces of objects at the same time: neighbors in one request, large pieces in several."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bitesize.errors import BitesizeError, LoaderClosed, RequestFailed
from bitesize.storage.ahead import Body, Part, take
from bitesize.storage.limiter import LIMITER, Wanted, wanted_here, while_wanted
from bitesize.storage.remote_file import RemoteFile

# The most bytes of one request: a slow or broken one is repeated alone.
LARGEST = 8 << 20
_IDLE = 1.0  # seconds after which a thread without work ends
# Bytes between neighbors that are read and dropped, because a request takes about as long as this many bytes.
_GAP = 64 << 10
_DROPPED = memoryview(bytearray(_GAP))  # several threads write here, and nobody reads


class Piece(NamedTuple):
    """Bytes of an object that are wanted.

    Attributes
    ----------
    file : RemoteFile
        The object.
    offset : int
        Offset of the first byte.
    into : memoryview
        Writable buffer of bytes.
    """

    file: RemoteFile
    offset: int
    into: memoryview


class _Request(NamedTuple):
    """One request: consecutive buffers, and the pieces that they belong to."""

    file: RemoteFile
    offset: int
    into: list[memoryview]
    pieces: list[int]


def read_all(pieces: Sequence[Piece]) -> dict[int, Exception]:
    """Read pieces, each into its buffer; return once all of them are read or have failed.

    Returns
    -------
    dict
        The error of each piece that could not be read, by its index.
    """
    failed: dict[int, Exception] = {}
    left = []
    for i, piece in enumerate(pieces):
        try:
            if piece.into.nbytes and not take(_part(piece), [piece.into]):
                left.append(i)
        except Exception as cause:  # noqa: BLE001 - of the request, which `_error_of` has returned
            failed[i] = cause
    requests = _requests(pieces, left)
    if not requests:
        return failed
    done: queue.SimpleQueue[tuple[_Request, Exception | None]] = queue.SimpleQueue()
    wanted = wanted_here()
    for request in requests[1:]:
        POOL.submit(lambda request=request: done.put((request, _error_in_pool(request, wanted))))  # type: ignore[misc]
    done.put((requests[0], _error_of(requests[0], wanted)))  # one of them by this thread
    for _ in requests:
        request, error = done.get()
        if error is not None:
            failed |= dict.fromkeys(request.pieces, error)
    return failed


def read_ahead(parts: Sequence[Part], bodies: Sequence[Body]) -> None:
    """Request parts of objects into memory that waits for them; neighbors in one request. Returns at once."""
    pieces = []
    for part, body in zip(parts, bodies, strict=True):
        file: RemoteFile | None = None
        with contextlib.suppress(Exception):  # raised when the row is read
            file = RemoteFile(part.address)
        if file is None or file.entry.version != part.version:  # listed again meanwhile: these would be other bytes
            body.arrive(again=True)
        else:
            pieces.append((Piece(file, part.offset, body.data), body))
    for request in _requests([piece for piece, _ in pieces], range(len(pieces))):
        own = [pieces[i][1] for i in request.pieces]

        def work(request: _Request = request, own: list[Body] = own) -> None:
            error = _error_in_pool(request, lambda: not own[0].owner.closed and not all(body.dropped for body in own))
            closed = isinstance(error, LoaderClosed)  # another loader may wait for the same bytes
            for body in own:
                body.arrive(None if closed else error, again=closed)

        POOL.submit(work)


def _part(piece: Piece) -> Part:
    return Part(piece.file.address, piece.offset, piece.into.nbytes, piece.file.entry.version)


def _error_of(request: _Request, wanted: Wanted) -> Exception | None:
    try:
        with while_wanted(wanted):
            request.file.fetch(request.offset, request.into)
    except BitesizeError as error:
        return error
    except Exception as error:  # noqa: BLE001 - an error of another library, which must not end a thread of the pool
        error.add_note(f"bitesize: while reading {request.file.address}")
        return error
    return None


def _error_in_pool(request: _Request, wanted: Wanted) -> Exception | None:
    """Be `_error_of` in a thread of the pool, where nothing may be raised: somebody waits for the result."""
    try:
        return _error_of(request, wanted)
    except BaseException as error:  # noqa: BLE001 - such as a panic of compiled code
        return RequestFailed(f"{request.file.address}: {error!r}")


def _requests(pieces: Sequence[Piece], numbers: Sequence[int]) -> list[_Request]:
    """Return requests for pieces, in the order of the first piece of each."""
    order = sorted(numbers, key=lambda i: (pieces[i].file.address, pieces[i].offset))
    requests: list[_Request] = []
    end = 0
    for i in order:
        file, offset, into = pieces[i]
        last = requests[-1] if requests else None
        if (
            last is not None
            and last.file.address == file.address
            and 0 <= offset - end <= _GAP
            and offset + into.nbytes - last.offset <= LARGEST
        ):
            if offset > end:
                last.into.append(_DROPPED[: offset - end])
            last.into.append(into)
            last.pieces.append(i)
        else:
            starts = range(0, into.nbytes, LARGEST)
            requests += [_Request(file, offset + at, [into[at : at + LARGEST]], [i]) for at in starts]
        end = offset + into.nbytes
    return sorted(requests, key=lambda request: request.pieces[0])


class Pool:
    """Threads that wait for servers, made when they are needed, and ended when they are not.

    They are daemons: a server that does not answer cannot keep a program alive.

    Parameters
    ----------
    most
        Returns the most threads that there may be now. Others would wait for a permit of the limiter, and take address space.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most, self._threads, self._idle = most, 0, 0
        self._work: deque[Callable[[], object]] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()  # an item for each call that idle threads should see
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], object]) -> None:
        """Call a function, which raises nothing, in one of the threads; in this thread if the system allows no other."""
        with self._lock:
            self._work.append(work)
            if self._idle:
                self._wake.put(None)
            if self._idle >= len(self._work) or self._threads >= self._most():
                return
            self._threads += 1
        try:
            threading.Thread(target=self._run, name="bitesize-request", daemon=True).start()
        except (RuntimeError, MemoryError):  # a limit on threads or on address space
            with self._lock:
                self._threads -= 1
                alone = self._work.popleft() if not self._threads and self._work else None
            if alone is not None:
                alone()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException:  # the others need this thread
                logging.getLogger("bitesize").exception("a request has failed")
            del work  # it refers to buffers

    def _next(self) -> Callable[[], object] | None:
        """Return what to call next; None if there was nothing for a while, and the thread ends."""
        woken = True
        while True:
            with self._lock:
                if self._work:
                    return self._work.popleft()
                if not woken:
                    self._threads -= 1
                    return None
                self._idle += 1
            try:
                self._wake.get(timeout=_IDLE)
            except queue.Empty:
                woken = False
            with self._lock:
                self._idle -= 1


POOL = Pool(LIMITER.most)
