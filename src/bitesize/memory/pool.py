"""Pool of bytes for short-lived allocations, such as the memory for decoding one image."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bitesize.errors import DoesNotFit
from bitesize.memory.charge import Charge
from bitesize.memory.ledger import Ledger
from bitesize.memory.sizes import format_size

# An advised budget is larger than the need by 1 / _MARGIN.
_MARGIN = 24


class Bounds(Protocol):
    """The sizes of a budget, for a pool within it."""

    total: int

    @property
    def most(self) -> int:
        """Largest size of the budget."""
        ...

    @property
    def granted(self) -> int:
        """Granted bytes."""
        ...

    @property
    def bound(self) -> str:
        """Largest size of an automatic budget, as the end of an error message."""
        ...


class Pool:
    """Bytes reserved for short-lived allocations, granted in the order of requests; see `Budget.pool`.

    A thread requests all bytes that it needs in one `request`, and holds no other bytes of the pool while it waits. So
    threads cannot deadlock.

    Parameters
    ----------
    budget
        Budget of the pool.
    ledger
        Ledger of the budget.
    charge
        First charge of the pool.
    grant
        Charges more bytes for the pool.
    """

    def __init__(self, budget: Bounds, ledger: Ledger, charge: Charge, grant: Callable[[int], Charge]) -> None:
        self._budget, self._ledger, self._grant = budget, ledger, grant
        self._charges = [charge]
        self._free = charge.nbytes
        self._lock = threading.RLock()  # entered by native code: Ctrl-C within Condition.__enter__ would leave it locked
        self._turn = threading.Condition(self._lock)
        self._waiting: deque[object] = deque()
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes in the pool, in use or idle."""
        return sum(charge.nbytes for charge in self._charges)

    @property
    def most(self) -> int:
        """Largest number of bytes that one request can get: the pool, the free bytes of the budget, and its possible growth."""
        return self.size + self._budget.most - self._budget.granted

    @property
    def wanted(self) -> bool:
        """Return whether a thread waits for bytes. Threads that hold bytes without need should then return them."""
        return bool(self._waiting)

    def request(self, nbytes: int, purpose: str) -> None:
        """Take ``nbytes``, and wait until they are free. If the pool is too small, it grows within the budget.

        Raises
        ------
        DoesNotFit
            If pool and budget are too small for ``nbytes``. The message names ``purpose``, and gives the figures.
        """
        if nbytes > self.size and not self._grow(nbytes):
            # A larger budget has a few more idle threads, which also take a part of it.
            need = (self._budget.granted - self.size + nbytes) * _MARGIN // (_MARGIN - 1)
            raise refusal(
                need,
                f"{purpose} needs {format_size(nbytes)} to decode, but the budget of {format_size(self._budget.total)} leaves "
                f"{format_size(self.most)} for decoding{self._budget.bound}",
            )
        ticket = object()
        with self._lock:
            self._waiting.append(ticket)
            try:
                # The timeout only bounds how long a lost wake-up could go unnoticed.
                while not self._closed and (self._waiting[0] is not ticket or self._free < nbytes):
                    self._turn.wait(timeout=1.0)
            finally:
                self._waiting.remove(ticket)
            self._free -= nbytes
            self._turn.notify_all()
        self._ledger.use_pooled(nbytes)

    def _grow(self, nbytes: int) -> bool:
        """Charge the missing bytes of a request for the lifetime of the pool; return False if they do not fit."""
        with self._lock:
            missing = nbytes - self.size
            if missing > 0:
                try:
                    self._charges.append(self._grant(missing))
                except DoesNotFit:
                    return False
                self._free += missing
                self._turn.notify_all()
        return True

    def give_back(self, nbytes: int) -> None:
        """Return bytes that `request` granted."""
        self._ledger.use_pooled(-nbytes)
        with self._lock:
            self._free += nbytes
            self._turn.notify_all()

    def close(self) -> None:
        """Return the pool's bytes to the budget. No thread may use the pool."""
        with self._lock:
            self._closed = True
            self._turn.notify_all()
        for charge in self._charges:
            self._ledger.end_pool(charge)


def refusal(enough: int, why: str) -> DoesNotFit:
    """Return an error that names a budget that is large enough."""
    error = DoesNotFit(f'{why}. Raise memory to "{format_size(enough, ceil=True)}".')
    error.enough = enough
    return error
