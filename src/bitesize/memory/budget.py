"""Budget of bytes: every large allocation is charged before it is made."""

from __future__ import annotations

import logging
import os
import queue
import threading
import weakref
from collections import deque
from itertools import count

from bitesize.errors import BadSetting, DoesNotFit
from bitesize.memory.automatic import default_share, grown_origin, largest_share, measure_limit, measure_room, share_origin
from bitesize.memory.charge import Charge, Granted
from bitesize.memory.limits import Limit
from bitesize.memory.sizes import format_size, parse_size

# An advised budget is larger than the need by 1 / _MARGIN.
_MARGIN = 24


class Budget:
    """A number of bytes that all its users share.

    Parameters
    ----------
    size
        Bytes, a string such as ``"512 MiB"``, or ``"auto"``: a quarter of the memory that this process may still take (by the
        system's free memory, cgroups and rlimits), divided among the ranks on this host (``LOCAL_WORLD_SIZE``). An automatic
        budget grows if more is needed, up to three quarters of that memory.
    room
        Memory limit of another machine, to make a plan for it. By default this machine is measured.

    Examples
    --------
    >>> budget = Budget("1 MiB")
    >>> charge = budget.charge(1000, "an example")
    >>> budget.in_use
    1000
    >>> charge.release()
    >>> budget.in_use, budget.peak
    (0, 1000)
    """

    def __init__(self, size: int | str = "auto", room: Limit | None = None) -> None:
        self._auto = size == "auto"
        self._fixed_room = room
        self._lock = threading.Lock()
        self._dropped: queue.SimpleQueue[Granted] = queue.SimpleQueue()
        self._charges: dict[int, Granted] = {}
        self._numbers = count()
        self._granted = 0
        self._parts: dict[str, int] = {}
        self._pooled = 0  # bytes that are granted to pools and idle
        self._peak = 0
        self._grown, self._reason = 0, ""  # the size that an automatic budget has grown to, and the reason
        self._limit = room or measure_limit()
        self.room = measure_room(
            self._limit, _live_budgets()
        )  # for all budgets of this process, when this budget was created
        self._share = default_share(self._limit, 0)
        self._largest = 0  # the size that an automatic budget may grow to
        self._measure_largest()
        if self._auto:
            self.total, self.origin = self._share, share_origin(self._limit)
        else:
            self.total, self.origin = parse_size(size), "as given"
        _budgets[id(self)] = self

    def charge(self, nbytes: int, what: str) -> Charge:
        """Charge ``nbytes``, or raise an error at once. An automatic budget grows first if necessary and possible.

        Parameters
        ----------
        nbytes
            Bytes, 0 or more.
        what
            Purpose of the bytes, for errors and tables.

        Returns
        -------
        Charge
            The charge, which returns the bytes when it is released.

        Raises
        ------
        DoesNotFit
            If fewer than ``nbytes`` bytes are free.
        """
        return self._grant(nbytes, what, pooled=0)

    def _grant(self, nbytes: int, what: str, pooled: int) -> Charge:
        while True:
            with self._lock:
                self._collect()
                if nbytes <= self.total - self._granted:
                    return self._make_charge(nbytes, what, pooled)
                granted = self._granted
            # Outside the lock, because the garbage collector may need it to release a loader.
            if not self.grow(nbytes, f"{what} needs {format_size(nbytes)}"):
                room, total = format_size(self.total - granted), format_size(self.total)
                why = f"{what} needs {format_size(nbytes)}, but {room} of the budget's {total} are free{self.bound}"
                raise _refusal(granted + nbytes, why)

    def pool(self, nbytes: int, what: str) -> Pool:
        """Reserve ``nbytes`` for short-lived allocations.

        Parameters
        ----------
        nbytes
            Bytes, 0 or more.
        what
            Purpose of the bytes, for errors and tables.

        Returns
        -------
        Pool
            The reserved bytes.

        Raises
        ------
        DoesNotFit
            If fewer than ``nbytes`` bytes are free.
        """
        return Pool(self, self._grant(nbytes, what, pooled=nbytes))

    def grow(self, nbytes: int, reason: str) -> bool:
        """Grow an automatic budget until ``nbytes`` are free, if possible.

        An automatic budget may take three quarters of the available memory. A budget of a given size never grows.

        Parameters
        ----------
        nbytes
            Bytes to charge next.
        reason
            Reason for the growth, as a clause for the plan and the log: ``"batches of 32 rows need it"``.

        Returns
        -------
        bool
            Whether ``nbytes`` are free now.
        """
        if nbytes <= self.free:
            return True
        if not self._auto:
            return False
        largest = self._measure_largest()
        with self._lock:
            need = self._granted + nbytes
            if self.total < need <= largest:
                self._grown, self._reason, self.total = need, reason, need
                self.origin = grown_origin(self._share, self._limit, need, reason)
            fits = need <= self.total
        if fits:
            logging.getLogger("bitesize").info("memory=%s", self.origin)
        return fits

    @property
    def most(self) -> int:
        """Largest size of the budget: its size, or the size that an automatic budget may grow to."""
        return max(self.total, self._largest) if self._auto else self.total

    @property
    def limit(self) -> Limit:
        """Tightest memory limit of this process, last measured when the budget was created, when it grew, or at the start of an epoch."""
        return self._limit

    @property
    def bound(self) -> str:
        """Largest size of an automatic budget, as the end of an error message; empty for a budget of a given size."""
        if not self._auto:
            return ""
        return f'; memory="auto" may take at most {format_size(self.most)}, three quarters of what {self._limit.name} leaves'

    def refresh(self) -> bool:
        """Measure the available memory again if the budget is automatic; return whether more is granted than the new size.

        Granted bytes stay granted. Holders should return bytes that they do not need.
        """
        if self._auto:
            self._measure_largest()
            self._share = default_share(self._limit, self.in_use)
            grown = min(self._grown, self._largest)
            if grown > self._share:
                self.total, self.origin = grown, grown_origin(self._share, self._limit, grown, self._reason)
            else:
                self.total, self.origin = self._share, share_origin(self._limit)
        return self.granted > self.total

    @property
    def granted(self) -> int:
        """Granted bytes, including idle bytes of pools."""
        with self._lock:
            self._collect()
            return self._granted

    @property
    def free(self) -> int:
        """Bytes that can still be charged."""
        return self.total - self.granted

    @property
    def in_use(self) -> int:
        """Bytes in use now: granted bytes, less idle bytes of pools."""
        with self._lock:
            self._collect()
            return self._granted - self._pooled

    @property
    def peak(self) -> int:
        """Largest number of bytes that were in use at one time."""
        with self._lock:
            return self._peak

    def breakdown(self) -> dict[str, int]:
        """Return the granted bytes by purpose."""
        with self._lock:
            self._collect()
            return dict(self._parts)

    def __repr__(self) -> str:
        return f"Budget({format_size(self.total)}, {format_size(self.in_use)} in use)"

    def _measure_largest(self) -> int:
        """Measure the available memory; return the size that an automatic budget may grow to, given the process's other budgets."""
        if not self._auto:
            return 0
        if self._fixed_room is None:
            self._limit = measure_limit()
        budgets = _live_budgets()
        others = sum(budget.granted_now for budget in budgets if budget is not self)
        self._largest = largest_share(measure_room(self._limit, budgets), others)
        return self._largest

    # --- for the other budgets of this process -----------------------------------------------------------------------

    @property
    def granted_now(self) -> int:
        """Granted bytes. Read without the lock, so possibly out of date."""
        return self._granted

    @property
    def touched_now(self) -> int:
        """Granted bytes that are not idle in pools. Read without the lock, so possibly out of date."""
        return max(0, self._granted - self._pooled)

    # --- under the lock ------------------------------------------------------------------------------------------

    def _make_charge(self, nbytes: int, what: str, pooled: int) -> Charge:
        charge = Charge(self._give_back, next(self._numbers), nbytes, what)
        known = Granted(charge, self._dropped.put)
        known.number, known.nbytes, known.what = charge.number, nbytes, what
        self._charges[charge.number] = known
        self._pooled += pooled
        self._add(nbytes, what)
        return charge

    def _add(self, nbytes: int, what: str) -> None:
        self._granted += nbytes
        self._parts[what] = self._parts.get(what, 0) + nbytes
        self._peak = max(self._peak, self._granted - self._pooled)
        if not self._parts[what]:
            del self._parts[what]

    def _collect(self) -> None:
        while not self._dropped.empty():
            self._end(self._dropped.get().number)

    def _end(self, number: int) -> int:
        known = self._charges.pop(number, None)
        if known is None:  # released before
            return 0
        self._add(-known.nbytes, known.what)
        return known.nbytes

    def _give_back(self, charge: Charge) -> None:
        with self._lock:
            self._end(charge.number)

    def _end_pool(self, charge: Charge) -> None:
        with self._lock:
            self._pooled -= self._end(charge.number)

    def _use_pooled(self, nbytes: int) -> None:
        with self._lock:
            self._pooled -= nbytes
            self._peak = max(self._peak, self._granted - self._pooled)


class Pool:
    """Bytes reserved for short-lived allocations, granted in the order of requests; see `Budget.pool`.

    A thread requests all bytes that it needs in one `request`, and holds no other bytes of the pool while it waits. So
    threads cannot deadlock.
    """

    def __init__(self, budget: Budget, charge: Charge) -> None:
        self._budget = budget
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

    def request(self, nbytes: int, what: str) -> None:
        """Take ``nbytes``, and wait until they are free. If the pool is too small, it grows within the budget.

        Raises
        ------
        DoesNotFit
            If pool and budget are too small for ``nbytes``. The message names ``what``, and gives the figures.
        """
        if nbytes > self.size and not self._grow(nbytes):
            # A larger budget has a few more idle threads, which also take a part of it.
            need = (self._budget.granted - self.size + nbytes) * _MARGIN // (_MARGIN - 1)
            raise _refusal(
                need,
                f"{what} needs {format_size(nbytes)} to decode, but the budget of {format_size(self._budget.total)} leaves "
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
        self._budget._use_pooled(nbytes)

    def _grow(self, nbytes: int) -> bool:
        """Charge the missing bytes of a request for the lifetime of the pool; return False if they do not fit."""
        with self._lock:
            missing = nbytes - self.size
            if missing > 0:
                try:
                    self._charges.append(self._budget._grant(missing, self._charges[0].what, pooled=missing))
                except DoesNotFit:
                    return False
                self._free += missing
                self._turn.notify_all()
        return True

    def give_back(self, nbytes: int) -> None:
        """Return bytes that `request` granted."""
        self._budget._use_pooled(-nbytes)
        with self._lock:
            self._free += nbytes
            self._turn.notify_all()

    def close(self) -> None:
        """Return the pool's bytes to the budget. No thread may use the pool."""
        with self._lock:
            self._closed = True
            self._turn.notify_all()
        for charge in self._charges:
            self._budget._end_pool(charge)


def _refusal(enough: int, why: str) -> DoesNotFit:
    """Return an error that names a budget that is large enough."""
    error = DoesNotFit(f'{why}. Raise memory to "{format_size(enough, ceil=True)}".')
    error.enough = enough
    return error


def as_budget(memory: int | str | Budget) -> Budget:
    """Return a budget unchanged, or create one of the given size."""
    if isinstance(memory, Budget):
        return memory
    if not isinstance(memory, int | str):
        raise BadSetting(f'memory must be a size such as "512 MiB", "auto" or a Budget, not {memory!r}')
    return Budget(memory)


# All budgets of this process. They are read without their locks, since slightly outdated figures are good enough.
_budgets: weakref.WeakValueDictionary[int, Budget] = weakref.WeakValueDictionary()


def _live_budgets() -> list[Budget]:
    return [budget for known in _budgets.valuerefs() if (budget := known()) is not None]


def _unlock() -> None:
    """Replace the locks of budgets in a forked child: a thread of the parent may hold the old locks, and never release them."""
    for budget in _live_budgets():
        budget._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
