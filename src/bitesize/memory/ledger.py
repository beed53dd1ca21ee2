"""Ledger of a budget: the bytes that are charged, their purposes, and how many of them are idle in pools."""

from __future__ import annotations

import queue
import threading
from itertools import count

from bitesize.memory.charge import Charge, Granted


class Ledger:
    """Charges of a budget. Charges that are garbage are subtracted at the next look.

    Parameters
    ----------
    room
        Memory for all budgets of this process, when the budget was created.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.lock = threading.Lock()
        self._dropped: queue.SimpleQueue[Granted] = queue.SimpleQueue()
        self._charges: dict[int, Granted] = {}
        self._numbers = count()
        self._granted = 0
        self._parts: dict[str, int] = {}
        self._pooled = 0  # bytes that are granted to pools and idle
        self._optional = 0  # bytes that are returned when others need them
        self._peak = 0

    def charge(self, nbytes: int, purpose: str, pooled: int, total: int, optional: bool = False) -> Charge | None:
        """Charge ``nbytes``, of which ``pooled`` are idle in a pool; None if more than ``total`` bytes would be charged.

        ``optional`` is whether the holder returns the bytes when others need them.
        """
        with self.lock:
            self._collect()
            if nbytes > total - self._granted:
                return None
            charge = Charge(self._give_back, next(self._numbers), nbytes, purpose)
            known = Granted(charge, self._dropped.put)
            known.number, known.nbytes, known.purpose, known.optional = charge.number, nbytes, purpose, optional
            self._charges[charge.number] = known
            self._pooled += pooled
            self._optional += nbytes if optional else 0
            self._add(nbytes, purpose)
            return charge

    def use_pooled(self, nbytes: int) -> None:
        """Count idle bytes of a pool as used; a negative number counts them as idle again."""
        with self.lock:
            self._pooled -= nbytes
            self._peak = max(self._peak, self._granted - self._pooled)

    def end_pool(self, charge: Charge) -> None:
        """Release the charge of a pool, all of whose bytes are idle."""
        with self.lock:
            self._pooled -= self._end(charge.number)

    @property
    def granted(self) -> int:
        """Granted bytes, including idle bytes of pools."""
        with self.lock:
            self._collect()
            return self._granted

    @property
    def needed(self) -> int:
        """Granted bytes, without those that are returned when others need them."""
        with self.lock:
            self._collect()
            return self._granted - self._optional

    @property
    def in_use(self) -> int:
        """Granted bytes, less idle bytes of pools."""
        with self.lock:
            self._collect()
            return self._granted - self._pooled

    @property
    def peak(self) -> int:
        """Largest number of bytes that were in use at one time."""
        with self.lock:
            return self._peak

    def breakdown(self) -> dict[str, int]:
        """Return the granted bytes by purpose."""
        with self.lock:
            self._collect()
            return dict(self._parts)

    @property
    def granted_now(self) -> int:
        """Granted bytes. Read without the lock, so possibly out of date."""
        return self._granted

    @property
    def needed_now(self) -> int:
        """Granted bytes, without those that are returned when others need them. Read without the lock, so possibly out of date."""
        return self._granted - self._optional

    @property
    def touched_now(self) -> int:
        """Granted bytes that are not idle in pools. Read without the lock, so possibly out of date."""
        return max(0, self._granted - self._pooled)

    # --- under the lock ----------------------------------------------------------------------------------------------

    def _add(self, nbytes: int, purpose: str) -> None:
        self._granted += nbytes
        self._parts[purpose] = self._parts.get(purpose, 0) + nbytes
        self._peak = max(self._peak, self._granted - self._pooled)
        if not self._parts[purpose]:
            del self._parts[purpose]

    def _collect(self) -> None:
        while not self._dropped.empty():
            self._end(self._dropped.get().number)

    def _end(self, number: int) -> int:
        known = self._charges.pop(number, None)
        if known is None:  # released before
            return 0
        self._add(-known.nbytes, known.purpose)
        self._optional -= known.nbytes if known.optional else 0
        return known.nbytes

    def _give_back(self, charge: Charge) -> None:
        with self.lock:
            self._end(charge.number)
