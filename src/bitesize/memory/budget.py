"""Budget of bytes: every large allocation is charged before it is made."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import Protocol

from bitesize.errors import BadSetting
from bitesize.memory.automatic import default_share, grown_origin, largest_share, measure_limit, measure_room, share_origin
from bitesize.memory.charge import Charge
from bitesize.memory.ledger import Ledger
from bitesize.memory.limits import Limit
from bitesize.memory.pool import Pool, refusal
from bitesize.memory.sizes import format_size, parse_size, unit_hint

# Seconds to wait until optional bytes are returned, and between two looks.
_RECLAIM_SECONDS, _PAUSE = 10.0, 0.001


class Holder(Protocol):
    """Holder of optional bytes."""

    def give_up(self) -> None:
        """Drop the memory and its charge."""


class Budget:
    """A number of bytes that all its users share.

    Parameters
    ----------
    size
        Bytes, a string such as ``"512 MiB"``, or ``"auto"``: a quarter of the memory that this process may still take (by the
        system's free memory, cgroups and rlimits), divided among the ranks on this host, as ``LOCAL_WORLD_SIZE``, Ray Train or Slurm
        says. An automatic budget grows if more is needed, up to three quarters of that memory.
    room
        Memory limit of another machine, to make a plan for it. By default this machine is measured.

    Raises
    ------
    BadSetting
        If the size is not valid.

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
        self._grown, self._reason = 0, ""  # the size that an automatic budget has grown to, and the reason
        self._limit = room or measure_limit()
        self._ledger = Ledger(measure_room(self._limit, _live_ledgers()))
        self._share = default_share(self._limit, 0)
        self._largest = 0  # the size that an automatic budget may grow to
        self._measure_largest()
        if self._auto:
            self.total, self.origin = self._share, share_origin(self._limit)
        else:
            self.total, self.origin = parse_size(size), "as given"
        self._hint = unit_hint(size)
        _ledgers[id(self._ledger)] = self._ledger
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()

    def charge(self, nbytes: int, purpose: str) -> Charge:
        """Charge ``nbytes``, or raise an error at once. An automatic budget grows first if necessary and possible.

        Parameters
        ----------
        nbytes
            Bytes, 0 or more.
        purpose
            Purpose of the bytes, for errors and tables.

        Returns
        -------
        Charge
            The charge, which returns the bytes when it is released.

        Raises
        ------
        DoesNotFit
            If fewer than ``nbytes`` bytes are free.

        Examples
        --------
        >>> import bitesize as bs
        >>> budget = bs.Budget("1 MiB")
        >>> charge = budget.charge(1 << 20, "a table")
        >>> budget.free
        0
        """
        return self._grant(nbytes, purpose)

    def charge_optional(self, nbytes: int, purpose: str, holder: Holder) -> Charge | None:
        """Charge ``nbytes`` that are useful, but not needed: their holder gives them up when another charge needs them.

        Parameters
        ----------
        nbytes
            Bytes, 0 or more.
        purpose
            Purpose of the bytes, for tables.
        holder
            Object with a method ``give_up``, which drops the memory and the charge. It is called in any thread. Other threads
            that use the memory may keep it for a moment.

        Returns
        -------
        Charge or None
            The charge, or None if fewer than ``nbytes`` bytes are free. An automatic budget does not grow.

        Examples
        --------
        >>> import bitesize as bs
        >>> class Cache:
        ...     def give_up(self):
        ...         self.charge = None
        >>> budget, cache = bs.Budget("1 MiB"), Cache()
        >>> cache.charge = budget.charge_optional(1 << 20, "an example", cache)
        >>> charge = budget.charge(1, "a need")
        >>> cache.charge is None
        True
        """
        charge = self._ledger.charge(nbytes, purpose, 0, self.total, optional=True)
        if charge is not None:
            with self._ledger.lock:
                self._holders.add(holder)
        return charge

    def _reclaim(self) -> None:
        """Ask all holders of optional bytes to give them up."""
        with self._ledger.lock:
            holders = list(self._holders)
        for holder in holders:
            holder.give_up()

    def _grant(self, nbytes: int, purpose: str, *, pooled: bool = False) -> Charge:
        deadline = time.monotonic() + _RECLAIM_SECONDS
        while True:
            charge = self._ledger.charge(nbytes, purpose, nbytes if pooled else 0, self.total)
            if charge is not None:
                return charge
            granted = self._ledger.needed
            if nbytes <= self.total - granted and time.monotonic() < deadline:
                self._reclaim()
                time.sleep(_PAUSE)  # a thread may use the memory until the end of its bite
                continue
            # Outside the lock of the ledger, because the garbage collector may need it to release a loader.
            if not self.grow(nbytes, f"{purpose} needs {format_size(nbytes)}"):
                room, total = format_size(self.total - granted), format_size(self.total)
                why = f"{purpose} needs {format_size(nbytes)}, but {room} of the budget's {total} are free{self.bound}"
                raise refusal(granted + nbytes, why)

    def pool(self, nbytes: int, purpose: str) -> Pool:
        """Reserve ``nbytes`` for short-lived allocations.

        Parameters
        ----------
        nbytes
            Bytes, 0 or more.
        purpose
            Purpose of the bytes, for errors and tables.

        Returns
        -------
        Pool
            The reserved bytes.

        Raises
        ------
        DoesNotFit
            If fewer than ``nbytes`` bytes are free.

        Examples
        --------
        >>> import bitesize as bs
        >>> budget = bs.Budget("1 MiB")
        >>> pool = budget.pool(1 << 19, "decoding")
        >>> budget.free, budget.in_use
        (524288, 0)
        """
        first = self._grant(nbytes, purpose, pooled=True)
        return Pool(self, self._ledger, first, lambda more: self._grant(more, purpose, pooled=True))

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

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Budget("1 MiB").grow(2 << 20, "an example")
        False
        """
        if nbytes <= self.free:
            return True
        if not self._auto:
            return False
        largest = self._measure_largest()
        with self._ledger.lock:
            need = self._ledger.needed_now + nbytes
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
        """End of an error message: the largest size of an automatic budget, or the unit that a given size may lack; else empty."""
        if not self._auto:
            return self._hint
        return f'; memory="auto" may take at most {format_size(self.most)}, three quarters of what {self._limit.name} leaves'

    def refresh(self) -> bool:
        """Measure the available memory again if the budget is automatic; return whether more is granted than the new size.

        Granted bytes stay granted. Holders should return bytes that they do not need.

        Returns
        -------
        bool
            Whether memory is short.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Budget("1 MiB").refresh()
        False
        """
        if self._auto:
            self._measure_largest()
            self._share = default_share(self._limit, self.in_use)
            grown = min(self._grown, self._largest)
            if grown > self._share:
                self.total, self.origin = grown, grown_origin(self._share, self._limit, grown, self._reason)
            else:
                self.total, self.origin = self._share, share_origin(self._limit)
        return self._ledger.granted > self.total

    @property
    def granted(self) -> int:
        """Granted bytes, including idle bytes of pools, without those that are returned when others need them."""
        return self._ledger.needed

    @property
    def free(self) -> int:
        """Bytes that can still be charged."""
        return self.total - self.granted

    @property
    def unused(self) -> int:
        """Bytes that nothing holds, not even parts that give them up when others need them."""
        return self.total - self._ledger.granted

    @property
    def in_use(self) -> int:
        """Bytes in use now: granted bytes, less idle bytes of pools."""
        return self._ledger.in_use

    @property
    def peak(self) -> int:
        """Largest number of bytes that were in use at one time."""
        return self._ledger.peak

    def breakdown(self) -> dict[str, int]:
        """Return the granted bytes by purpose.

        Returns
        -------
        dict of str to int
            Bytes by purpose.

        Examples
        --------
        >>> import bitesize as bs
        >>> budget = bs.Budget("1 MiB")
        >>> charge = budget.charge(1000, "a table")
        >>> budget.breakdown()
        {'a table': 1000}
        """
        return self._ledger.breakdown()

    def __repr__(self) -> str:
        return f"Budget({format_size(self.total)}, {format_size(self.in_use)} in use)"

    def _measure_largest(self) -> int:
        """Measure the available memory; return the size that an automatic budget may grow to, given the process's other budgets."""
        if not self._auto:
            return 0
        if self._fixed_room is None:
            self._limit = measure_limit()
        ledgers = _live_ledgers()
        others = sum(ledger.granted_now for ledger in ledgers if ledger is not self._ledger)
        self._largest = largest_share(measure_room(self._limit, ledgers), others)
        return self._largest


def as_budget(memory: int | str | Budget) -> Budget:
    """Return a budget unchanged, or create one of the given size."""
    if isinstance(memory, Budget):
        return memory
    if not isinstance(memory, int | str):
        raise BadSetting(f'memory must be a size such as "512 MiB", "auto" or a Budget, not {memory!r}')
    return Budget(memory)


# Ledgers of all budgets of this process. They are read without their locks, since slightly outdated figures are good enough.
_ledgers: weakref.WeakValueDictionary[int, Ledger] = weakref.WeakValueDictionary()


def _live_ledgers() -> list[Ledger]:
    return [ledger for known in _ledgers.valuerefs() if (ledger := known()) is not None]


def _unlock() -> None:
    """Replace the locks of ledgers in a forked child: a thread of the parent may hold the old locks, and never release them."""
    for ledger in _live_ledgers():
        ledger.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
