"""A budget of bytes: every large allocation is charged before it is made."""

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

# An advised budget is larger than the need by this part.
_MARGIN = 24


class Budget:
    """A number of bytes that is shared by everything that charges it.

    Parameters
    ----------
    size
        Bytes, a string such as ``"512 MiB"``, or ``"auto"``: a quarter of what this process may still take, where
        the system's free memory, cgroups and rlimits are looked at, divided among the ranks on this host
        (``LOCAL_WORLD_SIZE``). Where more is needed, an automatic budget grows to the need, up to three quarters of it.
    room
        Bytes available on another machine that a plan is made for; by default this machine is measured.

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
        self._pooled = 0  # granted to pools that do not use it now
        self._peak = 0
        self._grown, self._reason = 0, ""  # the size that an automatic budget has grown to, and what for
        self._limit = room or measure_limit()
        self.room = measure_room(self._limit, _live_budgets())  # for all budgets of this process, when this one was made
        self._share = default_share(self._limit, 0)
        self._largest = 0  # what an automatic budget may grow to
        self._measure_largest()
        if self._auto:
            self.total, self.origin = self._share, share_origin(self._limit)
        else:
            self.total, self.origin = parse_size(size), "as given"
        _budgets[id(self)] = self

    def charge(self, nbytes: int, what: str) -> Charge:
        """Take ``nbytes`` for ``what``, or refuse at once; an automatic budget grows first, if it has to and may.

        Parameters
        ----------
        nbytes
            Bytes, 0 or more.
        what
            What they are for, as it should read in an error or a table.

        Raises
        ------
        DoesNotFit
            If fewer bytes are free.
        """
        return self._grant(nbytes, what, pooled=0)

    def _grant(self, nbytes: int, what: str, pooled: int) -> Charge:
        while True:
            with self._lock:
                self._collect()
                if nbytes <= self.total - self._granted:
                    return self._make_charge(nbytes, what, pooled)
                granted = self._granted
            # Outside the lock, which the collector may want for a loader that is garbage.
            if not self.grow(nbytes, f"{what} needs {format_size(nbytes)}"):
                room, total = format_size(self.total - granted), format_size(self.total)
                why = f"{what} needs {format_size(nbytes)}, and {room} of the budget's {total} are free{self.bound}"
                raise _refusal(granted + nbytes, why)

    def pool(self, nbytes: int, what: str) -> Pool:
        """Set ``nbytes`` aside for short-lived needs.

        Parameters
        ----------
        nbytes
            Bytes.
        what
            What they are for.

        Raises
        ------
        DoesNotFit
            If fewer bytes are free.
        """
        return Pool(self, self._grant(nbytes, what, pooled=nbytes))

    def grow(self, nbytes: int, reason: str) -> bool:
        """Make an automatic budget large enough that ``nbytes`` are free, if it may become so large.

        It may take three quarters of what is available. A budget of a given size never grows.

        Parameters
        ----------
        nbytes
            Bytes that are to be charged next.
        reason
            Why, as a clause for the plan and the log: ``"batches of 32 rows need it"``.

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
        """Bytes that the budget may have at most: its size, or what an automatic one may grow to."""
        return max(self.total, self._largest) if self._auto else self.total

    @property
    def limit(self) -> Limit:
        """What bounds this process, as it was last measured: when the budget was made, grew, or at the start of an epoch."""
        return self._limit

    @property
    def bound(self) -> str:
        """The most that an automatic budget may have, as the end of a clause of an error; empty for a budget of a given size."""
        if not self._auto:
            return ""
        return f'; memory="auto" may take at most {format_size(self.most)}, three quarters of what {self._limit.name} leaves'

    def refresh(self) -> bool:
        """Measure again what is available, if that decides the size; return whether more is granted than there is now.

        What is granted stays granted: who holds what it can do without should give it back.
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
        """Bytes that are spoken for, those of pools that are idle included."""
        with self._lock:
            self._collect()
            return self._granted

    @property
    def free(self) -> int:
        """Bytes that can still be charged."""
        return self.total - self.granted

    @property
    def in_use(self) -> int:
        """Bytes that are held now: what is granted, less what pools have in reserve."""
        with self._lock:
            self._collect()
            return self._granted - self._pooled

    @property
    def peak(self) -> int:
        """The most bytes that were in use at one time."""
        with self._lock:
            return self._peak

    def breakdown(self) -> dict[str, int]:
        """Tell the granted bytes by what they are for."""
        with self._lock:
            self._collect()
            return dict(self._parts)

    def __repr__(self) -> str:
        return f"Budget({format_size(self.total)}, {format_size(self.in_use)} in use)"

    def _measure_largest(self) -> int:
        """Measure what is available, and return the size that an automatic budget may grow to beside the process's others."""
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
        """Bytes that are granted; without the lock, so perhaps a moment old."""
        return self._granted

    @property
    def touched_now(self) -> int:
        """Bytes that are granted and not idle in pools; without the lock, so perhaps a moment old."""
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
        if known is None:  # it was given back before
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
    """Bytes set aside for transient needs, served first come first served; see `Budget.pool`.

    A thread asks for all it needs in one `request` and holds nothing else of the pool while it waits, so that
    threads cannot wait for each other in a ring.
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
        """Bytes in the pool, taken or not."""
        return sum(charge.nbytes for charge in self._charges)

    @property
    def most(self) -> int:
        """Bytes that one request can be given: those in the pool, and what is free of the budget or it may grow by."""
        return self.size + self._budget.most - self._budget.granted

    @property
    def wanted(self) -> bool:
        """Whether a thread waits for bytes: who holds some it could do without should give them back."""
        return bool(self._waiting)

    def request(self, nbytes: int, what: str) -> None:
        """Take ``nbytes``, waiting until they are free; the pool grows if it is smaller, and the budget has them.

        Raises
        ------
        DoesNotFit
            If pool and budget are smaller than that, named ``what``, with the figures.
        """
        if nbytes > self.size and not self._grow(nbytes):
            # A larger budget has a few more threads stand by, which take their part of it too.
            need = (self._budget.granted - self.size + nbytes) * _MARGIN // (_MARGIN - 1)
            raise _refusal(
                need,
                f"{what} needs {format_size(nbytes)} to decode, and {format_size(self.most)} are left for that within the budget "
                f"of {format_size(self._budget.total)}{self._budget.bound}",
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
        """Charge what is missing for a request of so many bytes, for as long as the pool lives; False if it does not fit."""
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
        """Return the pool's bytes to the budget; nobody may be using it."""
        with self._lock:
            self._closed = True
            self._turn.notify_all()
        for charge in self._charges:
            self._budget._end_pool(charge)


def _refusal(enough: int, why: str) -> DoesNotFit:
    """Return the error that names the budget that would be enough."""
    error = DoesNotFit(f'{why}. Raise memory to "{format_size(enough, ceil=True)}".')
    error.enough = enough
    return error


def as_budget(memory: int | str | Budget) -> Budget:
    """Take a budget as it is, or make one of a size."""
    if isinstance(memory, Budget):
        return memory
    if not isinstance(memory, int | str):
        raise BadSetting(f'memory must be a size such as "512 MiB", "auto" or a Budget, not {memory!r}')
    return Budget(memory)


# All budgets of this process; looked at without their locks, since figures that are a moment old do.
_budgets: weakref.WeakValueDictionary[int, Budget] = weakref.WeakValueDictionary()


def _live_budgets() -> list[Budget]:
    return [budget for known in _budgets.valuerefs() if (budget := known()) is not None]


def _unlock() -> None:
    """Give budgets in a forked child new locks: a thread that is only in the parent may hold the old ones, for good."""
    for budget in _live_budgets():
        budget._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
