"""The ring: a few slots of memory, made once; who holds a batch holds its slot by a lease.

A slot is free, being filled, ready, or leased. Free slots wait in a `queue.SimpleQueue`: its ``put`` takes no lock that
the interrupted thread could hold, so a lease may return its slot from ``__del__``, at whatever moment the collector
runs it.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.budget import Budget, Charge
from bitesize.memory.mapping import aligned, allocate
from bitesize.spec import Field


class Slot:
    """Memory for one batch: one mapping, each field aligned to 64 bytes."""

    __slots__ = ("_charge", "arrays", "home", "memory", "token")

    def __init__(self, fields: Mapping[str, Field], rows: int, home: queue.SimpleQueue[Slot | None], charge: Charge) -> None:
        self._charge = charge  # given back when the slot dies, which may be after its loader
        self.memory = allocate(slot_nbytes(fields, rows))
        self.arrays: dict[str, NDArray[Any]] = {}
        self.home: queue.SimpleQueue[Slot | None] | None = home
        self.token: weakref.ref[_Token] | None = None
        at = 0
        for name, field in fields.items():
            nbytes = field.nbytes * rows
            self.arrays[name] = self.memory[at : at + nbytes].view(field.dtype).reshape(rows, *field.shape)
            at += aligned(nbytes)

    def lease(self, names: Iterable[str], rows: int) -> dict[str, NDArray[Any]]:
        """Hand out the first ``rows`` rows of some fields; the slot comes home when all of them are garbage."""
        token = _Token(self)
        self.token = weakref.ref(token)
        return {name: _handed_out(self.arrays[name][:rows], token) for name in names}

    @property
    def leased(self) -> bool:
        """Whether any array that was handed out is still referenced."""
        return self.token is not None and self.token() is not None


class _Token:
    """Held by all leases of a batch."""

    __slots__ = ("__weakref__", "_slot")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def __del__(self) -> None:
        # Nothing else may happen here: this runs inside whatever allocation the collector interrupted.
        home = self._slot.home
        if home is not None:
            home.put(self._slot)


class _Lease:
    """The base of an array that was handed out; NumPy, PyTorch and JAX keep it for as long as they look at the memory."""

    __slots__ = ("__array_interface__", "_token")

    def __init__(self, array: NDArray[Any], token: _Token) -> None:
        self.__array_interface__ = array.__array_interface__
        self._token = token


def _handed_out(array: NDArray[Any], token: _Token) -> NDArray[Any]:
    # An array interface cannot name types from outside NumPy, such as bfloat16: their bytes are leased, and viewed.
    if array.dtype.kind == "V":
        return np.asarray(_Lease(array.view(np.uint16), token)).view(array.dtype)
    return np.asarray(_Lease(array, token))


class Ring:
    """All slots of a loader.

    Parameters
    ----------
    fields
        What a row of a batch holds.
    rows
        Rows a slot.
    slots
        How many slots.
    budget
        Charged for each slot before it is mapped.
    """

    def __init__(self, fields: Mapping[str, Field], rows: int, slots: int, budget: Budget) -> None:
        self.free: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        self._fields, self._rows, self._budget = fields, rows, budget
        self._slots: list[Slot] = []
        self._surplus = 0  # slots to be given up when they come home
        self._changing = threading.Lock()
        self._prepare: Callable[[NDArray[np.uint8]], None] | None = None
        self.grow(slots)

    def grow(self, slots: int) -> None:
        """Add slots; all of them or, if the budget has no room, none.

        Raises
        ------
        DoesNotFit
            If they do not fit the budget.
        """
        nbytes = slot_nbytes(self._fields, self._rows)
        charges = [self._budget.charge(nbytes, "slots") for _ in range(slots)]
        added = [Slot(self._fields, self._rows, self.free, charge) for charge in charges]
        if self._prepare is not None:
            for slot in added:
                self._prepare(slot.memory)
        with self._changing:
            self._slots += added
        for slot in added:
            self.free.put(slot)

    def each(self, prepare: Callable[[NDArray[np.uint8]], None]) -> None:
        """Prepare the memory of every slot, and of those that will be added."""
        self._prepare = prepare
        with self._changing:
            for slot in self._slots:
                prepare(slot.memory)

    def shrink(self) -> None:
        """Give up one slot as soon as one is free."""
        with self._changing:
            self._surplus += 1

    def take(self) -> Slot | None:
        """Wait for a free slot; None wakes a thread that is to end."""
        while True:
            slot = self.free.get()
            with self._changing:
                if slot is None or not self._surplus:
                    return slot
                self._surplus -= 1
                self._slots.remove(slot)
                slot.home = None
            del slot  # its memory and its charge go with it

    @property
    def size(self) -> int:
        """How many slots there are, when all have gone that are to go."""
        with self._changing:
            return len(self._slots) - self._surplus

    @property
    def leased(self) -> int:
        """How many slots are held by the caller."""
        return sum(slot.leased for slot in self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def close(self) -> None:
        """Let go of all slots; those that are leased live on until their batch is garbage."""
        for slot in self._slots:
            slot.home = None
        self._slots = []
        while not self.free.empty():
            self.free.get()


def slot_nbytes(fields: Mapping[str, Field], rows: int) -> int:
    """Tell the bytes of one slot."""
    return sum(aligned(field.nbytes * rows) for field in fields.values())
