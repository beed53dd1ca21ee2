"""How many requests this process has in flight, and what became of them."""

from __future__ import annotations

import atexit
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from bitesize.errors import BadSetting, LoaderClosed, RequestFailed
from bitesize.memory.sizes import format_size

T = TypeVar("T")

START, LEAST, MOST = 64, 4, 256
DEADLINE = 60.0  # seconds for all tries of a request, and the pauses between them
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_SILENT, _SAID_FOR = 2.0, 60.0  # seconds after which a failing request is reported, and for which one report is enough
_ONCE_IN = 1.0  # seconds: answers of requests that were sent before a decrease do not decrease again
_ENDING = 0.5  # seconds for requests in flight when the interpreter ends
_STEP = 0.25  # seconds after which a pause asks whether the request is still wanted
Wanted = Callable[[], bool]

_wanted: ContextVar[Wanted] = ContextVar("_wanted", default=lambda: True)


@contextmanager
def while_wanted(wanted: Wanted) -> Iterator[None]:
    """Send the requests of this thread, and repeat them, only as long as a function returns True: not for a loader that was closed."""
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted_here() -> Wanted:
    """Return the function of `while_wanted` in this thread, for other threads that send requests for it."""
    return _wanted.get()


_log = logging.getLogger("bitesize")


class Passing(Exception):
    """A try failed, and another may succeed. Never leaves this folder.

    Parameters
    ----------
    reason
        What came, in one line.
    status
        HTTP status; 0 if there was no answer.
    request_id
        Identifier of the server.
    throttled
        Whether the server has asked for fewer requests.
    """

    def __init__(self, reason: str, status: int = 0, request_id: str = "", throttled: bool = False) -> None:
        super().__init__(reason)
        self.status, self.request_id, self.throttled = status, request_id, throttled


def seconds_of(deadline: object) -> float:
    """Return a deadline of storage options as a number; raise `BadSetting` if it is none."""
    try:
        seconds = float(str(deadline))
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise BadSetting("deadline in storage_options is a number of seconds above 0, such as 60")
    return seconds


@dataclass
class RequestCounts:
    """Counts of requests and their outcomes, since the process began.

    Attributes
    ----------
    requests, retries, throttled : int
        Answered requests, tries that failed and were repeated, and answers that asked for fewer requests.
    nbytes : int
        Bytes of bodies.
    seconds : float
        Sum of the time from sending to the end of each body, of successful requests.
    waited : float
        Sum of the time that requests waited because too many others were in flight.
    most : int
        Most requests in flight at the same time.
    """

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    most: int = 0

    @property
    def latency(self) -> float:
        """Mean seconds from sending a request to the end of its body; 0 if there were none."""
        return self.seconds / self.requests if self.requests else 0.0

    def describe(self) -> str:
        """Return the counts as text."""
        again = f", {self.retries:,} repeated" if self.retries else ""
        fewer = f", {self.throttled:,} times asked for fewer" if self.throttled else ""
        return (
            f"{self.requests:,} requests of {format_size(self.nbytes // max(1, self.requests))}, {1000 * self.latency:.0f} ms each, "
            f"at most {self.most} at the same time{again}{fewer}"
        )

    def minus(self, earlier: RequestCounts) -> RequestCounts:
        """Return what was added since an earlier time; ``most`` is that of the whole time."""
        return RequestCounts(
            self.requests - earlier.requests,
            self.retries - earlier.retries,
            self.throttled - earlier.throttled,
            self.nbytes - earlier.nbytes,
            self.seconds - earlier.seconds,
            self.waited - earlier.waited,
            self.most,
        )


class _Permit:
    """Permission to send a request: a lock that its thread waits for, and whether it was given."""

    __slots__ = ("given", "waiting")

    def __init__(self) -> None:
        self.given, self.waiting = False, threading.Lock()
        self.waiting.acquire()


@dataclass
class Limiter:
    """Limits the requests in flight: one more after each round of good answers, half of them when a server asks for fewer.

    This is additive increase and multiplicative decrease, as TCP does it (Chiu and Jain, 1989). Requests are sent in the order in which
    they were asked for: those of rows that are needed first must not wait for later ones.
    """

    limit: float = START
    in_flight: int = 0
    counts: RequestCounts = field(default_factory=RequestCounts)
    _allowed: dict[object, int] = field(default_factory=dict)
    _decreased: float = 0.0
    _said: float = -_SAID_FOR
    _ended: bool = False
    _lock: threading.Lock = field(
        default_factory=threading.Lock
    )  # no condition: Ctrl-C may come between any two of its lines
    _waiting: deque[_Permit] = field(default_factory=deque)
    _random: random.Random = field(default_factory=random.Random)  # of its own: users set the seed of the shared one

    def perform(self, what: str, attempt: Callable[[], T], nbytes: int = 0, deadline: float = DEADLINE) -> T:
        """Return the result of a request, which is tried again until the deadline if it raises `Passing`.

        Raises
        ------
        RequestFailed
            If the deadline is over; the error names the last answer.
        LoaderClosed
            If nobody wants the result any more, see `while_wanted`.
        """
        wanted = _wanted.get()
        begun = time.monotonic()  # without the time in which others kept this request waiting
        pause = _FIRST_PAUSE
        tries = 0
        while True:
            tries += 1
            permit = _Permit()
            failed: Passing | None = None
            try:
                if self._ended or not wanted():
                    raise LoaderClosed(f"{what} is not requested: the loader that wanted it is closed, or at another place")
                begun += self._enter(permit)
                sent = time.monotonic()
                value = attempt()
            except Passing as error:
                failed = error
            finally:
                self._leave(permit, failed is not None and failed.throttled)
            now = time.monotonic()
            with self._lock:
                if failed is None:
                    self.counts.requests += 1
                    self.counts.nbytes += nbytes
                    self.counts.seconds += now - sent
                    return value
                self.counts.retries += 1
                self.counts.throttled += failed.throttled
            wait = pause * self._random.uniform(0.5, 1.0)
            if now + wait - begun > deadline:
                times = "once" if tries == 1 else f"{tries} times"
                raise RequestFailed(
                    f"{what}: {failed} (tried {times} in {now - begun:.1f} s)", failed.status, failed.request_id
                )
            if now - begun > _SILENT and not failed.throttled:
                self._report(what, failed, deadline)
            _sleep(wait, wanted)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def allow(self, owner: object, requests: int) -> None:
        """Set how many requests in flight the memory allows that an owner, such as a loader, has charged; 0 removes the owner.

        Owners share what all of them may have. Without owners, only servers limit the requests.
        """
        with self._lock:
            self._allowed.pop(owner, None)
            if requests:
                self._allowed[owner] = requests
            self._admit()

    def end(self) -> None:
        """Send no more requests, and wait a short time for those in flight: the interpreter must not end beneath threads in compiled code."""
        self._ended = True
        deadline = time.monotonic() + _ENDING
        while self.in_flight and time.monotonic() < deadline:
            time.sleep(0.01)

    def most(self) -> int:
        """Return how many requests there may be in flight now."""
        return max(1, min(int(self.limit), sum(self._allowed.values()) or MOST))

    def snapshot(self) -> RequestCounts:
        """Return the counts of now."""
        with self._lock:
            return RequestCounts(**vars(self.counts))

    def _report(self, what: str, failed: Passing, deadline: float) -> None:
        """Log that a request fails and is tried again, so that nobody waits without knowing why."""
        with self._lock:
            now = time.monotonic()
            if now - self._said < _SAID_FOR:
                return
            self._said = now
        _log.warning("%s: %s: trying again, for up to %g s (deadline in storage_options)", what, failed, deadline)

    def _enter(self, permit: _Permit) -> float:
        """Wait for a permit; return how long, in seconds."""
        begun = time.monotonic()
        with self._lock:
            self._waiting.append(permit)
            self._admit()
        permit.waiting.acquire()
        waited = time.monotonic() - begun
        with self._lock:
            self.counts.waited += waited
        return waited

    def _admit(self) -> None:
        """Admit those who wait, in their order. Call with the lock."""
        while self._waiting and self.in_flight < self.most():
            permit = self._waiting.popleft()
            permit.given = True
            self.in_flight += 1
            permit.waiting.release()
        self.counts.most = max(self.counts.most, self.in_flight)

    def _leave(self, permit: _Permit, throttled: bool) -> None:
        """Return a permit, also one that its thread has stopped waiting for."""
        with self._lock:
            if not permit.given:
                if permit in self._waiting:
                    self._waiting.remove(permit)
                return
            now = time.monotonic()
            if throttled and now - self._decreased > _ONCE_IN:
                self.limit, self._decreased = max(LEAST, self.limit / 2), now
            elif not throttled and self.in_flight >= self.most():  # only if the limit is what holds requests back
                self.limit = min(MOST, self.limit + 1 / self.limit)
            self.in_flight -= 1
            self._admit()


def _sleep(seconds: float, wanted: Wanted) -> None:
    end = time.monotonic() + seconds
    while wanted() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _STEP))


LIMITER = Limiter()  # of all loaders of this process: servers count requests of a client, not of a loader
atexit.register(LIMITER.end)
