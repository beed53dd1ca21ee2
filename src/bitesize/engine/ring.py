"""The ring: a few slots of memory, made once; who holds a batch holds its slot by a lease.

A slot is free, being filled, ready, or leased; who has a ready one and loses it, by Ctrl-C at any moment, loses its token, and it
comes home. Free slots wait in a `queue.SimpleQueue`: its ``put`` takes no lock that the interrupted thread could hold, so it may be
called at whatever moment the collector runs.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.budget import Budget
from bitesize.memory.charge import Charge
from bitesize.memory.mapping import aligned, allocate
from bitesize.spec import Field

# Fields of at most so many bytes a row are handed out as arrays of their own, which a caller may keep: labels, weights, row ids.
COPIED_NBYTES = 64


class Slot:
    """Memory for one batch: one mapping, each field aligned to 64 bytes."""

    __slots__ = ("_charge", "arrays", "memory", "returns")

    def __init__(self, fields: Mapping[str, Field], rows: int, charge: Charge) -> None:
        self._charge = charge  # given back when the slot dies, which may be after its loader
        self.memory = allocate(slot_nbytes(fields, rows))
        self.arrays: dict[str, NDArray[Any]] = {}
        self.returns: Return | None = None  # while it is filled
        at = 0
        for name, field in fields.items():
            nbytes = field.nbytes * rows
            self.arrays[name] = self.memory[at : at + nbytes].view(field.dtype).reshape(rows, *field.shape)
            at += aligned(nbytes)

    def filled(self, home: queue.SimpleQueue[Slot | Return | None]) -> Token:
        """Give what the slot comes home by, from now on: it does when this is garbage, and with it all that was handed out."""
        token = Token(self)
        self.returns = Return(token, home.put)
        self.returns.slot = self
        return token

    def lease(self, names: Iterable[str], rows: int, token: Token, copied: Collection[str]) -> dict[str, NDArray[Any]]:
        """Hand out the first ``rows`` rows of some fields, and copies of those that are ``copied``."""
        arrays = {name: self.arrays[name][:rows] for name in names}
        return {name: array.copy() if name in copied else _handed_out(array, token) for name, array in arrays.items()}

    @property
    def leased(self) -> bool:
        """Whether it is filled, and the batch, or any array of it, is still referenced."""
        return self.returns is not None and self.returns() is not None


class Token:
    """Held by a batch that is ready, and then by all leases of it."""

    __slots__ = ("__weakref__", "_slot")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot


class Return(weakref.ref[Token]):
    """Puts itself, and so its slot, into the queue of free ones when the token dies.

    By a callback without any Python code: Ctrl-C in a `__del__` would be lost, and the collector may run it anywhere.
    """

    __slots__ = ("slot",)
    slot: Slot


class _Lease:
    """The base of an array that was handed out; NumPy, PyTorch and JAX keep it for as long as they look at the memory."""

    __slots__ = ("__array_interface__", "_token")

    def __init__(self, array: NDArray[Any], token: Token) -> None:
        self.__array_interface__ = array.__array_interface__
        self._token = token


def _handed_out(array: NDArray[Any], token: Token) -> NDArray[Any]:
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
        Charged for each slot before it is mapped, and for copies of fields that are ``copied`` for whoever is handed its batch.
    """

    def __init__(
        self, fields: Mapping[str, Field], rows: int, slots: int, budget: Budget, copied: Collection[str] = ()
    ) -> None:
        self.free: queue.SimpleQueue[Slot | Return | None] = queue.SimpleQueue()
        self._fields, self._rows, self._budget = fields, rows, budget
        self.slot_nbytes = slot_nbytes(fields, rows, copied)
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
        charges = [self._budget.charge(self.slot_nbytes, "batch buffers") for _ in range(slots)]
        added = [Slot(self._fields, self._rows, charge) for charge in charges]
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
            found = self.free.get()
            if found is None:
                return None
            slot = found.slot if isinstance(found, Return) else found
            slot.returns = None
            del found
            with self._changing:
                if not self._surplus:
                    return slot
                self._surplus -= 1
                self._slots.remove(slot)
            del slot  # its memory and its charge go with it

    @property
    def slots(self) -> Sequence[Slot]:
        """All slots there are."""
        return tuple(self._slots)

    @property
    def size(self) -> int:
        """How many slots there are, when all have gone that are to go."""
        with self._changing:
            return len(self._slots) - self._surplus

    @property
    def leased(self) -> int:
        """How many slots are ready, or held by the caller."""
        return sum(slot.leased for slot in self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def close(self) -> None:
        """Let go of all slots; those that are leased live on until their batch is garbage."""
        for slot in self._slots:
            slot.returns = None
        self._slots = []
        while not self.free.empty():
            found = self.free.get()
            if isinstance(found, Return):
                found.slot.returns = None  # each holds the other


def slot_nbytes(fields: Mapping[str, Field], rows: int, copied: Collection[str] = ()) -> int:
    """Return the bytes of one slot, and of the fields of its batch that are copied."""
    return sum(aligned(field.nbytes * rows) * (1 + (name in copied)) for name, field in fields.items())


def copied_fields(batch: Mapping[str, Field], primary: str) -> frozenset[str]:
    """Return the fields of a batch that are small enough to be handed out as copies; never the primary input, which is the data."""
    return frozenset(name for name, field in batch.items() if name != primary and field.nbytes <= COPIED_NBYTES)
