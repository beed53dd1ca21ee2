"""A budget of bytes: every large allocation is charged before it is made."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections import deque
from itertools import count

from bitesize.errors import BadSetting, DoesNotFit
from bitesize.memory.limits import MOST_STANDBY, available, processor_share
from bitesize.memory.sizes import format_size, parse_size

# "auto" takes this part of what is available: it leaves room for the model, the framework and the page cache.
AUTO_SHARE = 4
# An advised budget is larger than the need by this part.
_MARGIN = 24


class Charge:
    """Bytes that were granted; given back by `release`, or when it is garbage."""

    __slots__ = ("__weakref__", "_budget", "nbytes", "number", "what")

    def __init__(self, budget: Budget, number: int, nbytes: int, what: str) -> None:
        self._budget = budget
        self.number = number
        self.nbytes = nbytes
        self.what = what

    def release(self) -> None:
        """Give the bytes back, once; later calls do nothing."""
        self._budget._give_back(self)


class _Granted(weakref.ref[Charge]):
    """What the budget knows of a charge; puts itself into the queue of the dropped ones when the charge is garbage.

    By a callback without any Python code or lock: the collector may run it within the budget's lock, and Ctrl-C in a `__del__`
    would be lost.
    """

    __slots__ = ("nbytes", "number", "what")
    number: int
    nbytes: int
    what: str


class Budget:
    """A number of bytes that is shared by everything that charges it.

    Parameters
    ----------
    size
        Bytes, a string such as ``"512 MiB"``, or ``"auto"``: a quarter of what this process may still take, where
        the system's free memory, cgroups and rlimits are looked at, divided among the ranks on this host
        (``LOCAL_WORLD_SIZE``).

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

    def __init__(self, size: int | str = "auto") -> None:
        self._auto = size == "auto"
        if self._auto:
            self.total, self.origin = _share_of_available(0)
        else:
            self.total, self.origin = parse_size(size), "as given"
        self._lock = threading.Lock()
        _budgets.add(self)
        self._dropped: queue.SimpleQueue[_Granted] = queue.SimpleQueue()
        self._charges: dict[int, _Granted] = {}
        self._numbers = count()
        self._granted = 0
        self._parts: dict[str, int] = {}
        self._pooled = 0  # granted to pools that do not use it now
        self._peak = 0

    def charge(self, nbytes: int, what: str) -> Charge:
        """Take ``nbytes`` for ``what``, or refuse at once.

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
        with self._lock:
            self._collect()
            if nbytes > self.total - self._granted:
                room, enough = format_size(self.total - self._granted), format_size(self._granted + nbytes, ceil=True)
                raise DoesNotFit(
                    f"{what} needs {format_size(nbytes)}, and {room} of the budget's {format_size(self.total)} are free. "
                    f'Raise memory to "{enough}".'
                )
            charge = Charge(self, next(self._numbers), nbytes, what)
            known = _Granted(charge, self._dropped.put)
            known.number, known.nbytes, known.what = charge.number, nbytes, what
            self._charges[charge.number] = known
            self._pooled += pooled
            self._add(nbytes, what)
            return charge

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

    def refresh(self) -> bool:
        """Look again at what is available, if that decides the size; tell whether more is granted than there is now.

        What is granted stays granted: who holds what it can do without should give it back.
        """
        if self._auto:
            self.total, self.origin = _share_of_available(self.in_use)
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

    # --- under the lock ------------------------------------------------------------------------------------------

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
        """Bytes that one request can be given: those in the pool, and what is free of the budget."""
        return self.size + self._budget.free

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
            raise DoesNotFit(
                f"{what} needs {format_size(nbytes)} to decode, and {format_size(self.most)} are left for that within the budget "
                f'of {format_size(self._budget.total)}. Raise memory to "{format_size(need, ceil=True)}".'
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


def as_budget(memory: int | str | Budget) -> Budget:
    """Take a budget as it is, or make one of a size."""
    if isinstance(memory, Budget):
        return memory
    if not isinstance(memory, int | str):
        raise BadSetting(f'memory must be a size such as "512 MiB", "auto" or a Budget, not {memory!r}')
    return Budget(memory)


def _share_of_available(held: int) -> tuple[int, str]:
    """Choose the size of an automatic budget that already holds so many bytes, and tell where it comes from."""
    limit, ranks = available(threads=processor_share() + MOST_STANDBY), _local_ranks()
    among = f", divided among {ranks} ranks (LOCAL_WORLD_SIZE)" if ranks > 1 else ""
    return max(1, (limit.room + held) // AUTO_SHARE // ranks), f"a quarter of {limit.name}{among}"


def _local_ranks() -> int:
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1") or "1"))


_budgets: weakref.WeakSet[Budget] = weakref.WeakSet()


def _unlock() -> None:
    """Give budgets in a forked child new locks: a thread that is only in the parent may hold the old ones, for good."""
    for budget in _budgets:
        budget._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
