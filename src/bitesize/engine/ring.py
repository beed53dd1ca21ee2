"""The ring: a few slots of memory, allocated once. A batch holds its slot by a lease.

A slot is free, being filled, ready, or leased. Dropping a ready slot, even through Ctrl-C, frees its token, which returns the slot to
the queue. Free slots wait in a `queue.SimpleQueue`. Its ``put`` takes no lock that the interrupted thread could hold, so the garbage
collector may call it at any time.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.charge import Charge
from bitesize.memory.mapping import aligned, allocate
from bitesize.memory.request import MemoryRequest
from bitesize.memory.sizes import counted, format_size
from bitesize.spec import Field

# Fields of up to COPIED_NBYTES bytes per row are copied into each batch, so that a caller may keep them: labels, weights, row ids.
COPIED_NBYTES = 64


class Slot:
    """Memory for one batch: one mapping, each field aligned to 64 bytes."""

    __slots__ = ("_charge", "arrays", "memory", "returns")

    def __init__(self, fields: Mapping[str, Field], rows: int, charge: Charge) -> None:
        self._charge = charge  # released with the slot, which may outlive its loader
        self.memory = allocate(slot_nbytes(fields, rows))
        self.arrays: dict[str, NDArray[Any]] = {}
        self.returns: Return | None = None  # set while the slot is ready or leased
        at = 0
        for name, field in fields.items():
            nbytes = field.nbytes * rows
            self.arrays[name] = self.memory[at : at + nbytes].view(field.dtype).reshape(rows, *field.shape)
            at += aligned(nbytes)

    def filled(self, home: queue.SimpleQueue[Slot | Return | None]) -> Token:
        """Mark the slot as ready; return its token. The slot returns to the queue when the token, and all leases that hold it, are garbage."""
        token = Token(self)
        self.returns = Return(token, home.put)
        self.returns.slot = self
        return token

    def lease(self, names: Iterable[str], rows: int, token: Token, copied: Collection[str]) -> dict[str, NDArray[Any]]:
        """Return views of the first ``rows`` rows of fields, and copies of the fields in ``copied``."""
        arrays = {name: self.arrays[name][:rows] for name in names}
        return {name: array.copy() if name in copied else handed_out(array, token) for name, array in arrays.items()}

    @property
    def leased(self) -> bool:
        """Return whether the slot is ready or leased: its batch, or an array of the batch, is still referenced."""
        return self.returns is not None and self.returns() is not None


class Token:
    """Held by a ready batch, and then by all leases of the batch."""

    __slots__ = ("__weakref__", "_slot")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot


class Return(weakref.ref[Token]):
    """Puts itself, and so its slot, into the queue of free slots when the token is garbage.

    The callback has no Python code: Ctrl-C in a `__del__` would be lost, and the garbage collector may run it at any time.
    """

    __slots__ = ("slot",)
    slot: Slot


class _Lease:
    """Base of an array in a batch. NumPy, PyTorch and JAX keep a reference to it while they use the memory."""

    __slots__ = ("__array_interface__", "_token")

    def __init__(self, array: NDArray[Any], token: object) -> None:
        self.__array_interface__ = array.__array_interface__
        self._token = token


def handed_out(array: NDArray[Any], token: object) -> NDArray[Any]:
    """Return a view of an array that holds a token for as long as anything refers to the memory."""
    # An array interface cannot name dtypes from outside NumPy, such as bfloat16: lease their bytes, and view them.
    if array.dtype.kind == "V":
        return np.asarray(_Lease(array.view(np.uint16), token)).view(array.dtype)
    return np.asarray(_Lease(array, token))


class Ring:
    """All slots of a loader.

    Parameters
    ----------
    fields
        Fields of a batch.
    rows
        Rows per slot.
    charges
        A charge for each slot.
    """

    def __init__(self, fields: Mapping[str, Field], rows: int, charges: Iterable[Charge]) -> None:
        self.free: queue.SimpleQueue[Slot | Return | None] = queue.SimpleQueue()
        self._fields, self._rows = fields, rows
        self._slots: list[Slot] = []
        self._surplus = 0  # number of slots to drop when they are returned
        self._changing = threading.Lock()
        self._prepare: Callable[[NDArray[np.uint8]], None] | None = None
        self._closed = False
        self.grow(charges)

    def grow(self, charges: Iterable[Charge]) -> None:
        """Add a slot for each charge, which is released with its slot."""
        added = [Slot(self._fields, self._rows, charge) for charge in charges]
        if self._prepare is not None:
            for slot in added:
                self._prepare(slot.memory)
        with self._changing:
            self._slots += added
        for slot in added:
            self.free.put(slot)

    def each(self, prepare: Callable[[NDArray[np.uint8]], None]) -> None:
        """Call ``prepare`` with the memory of every slot, and of slots that are added later."""
        self._prepare = prepare
        with self._changing:
            for slot in self._slots:
                prepare(slot.memory)

    def shrink(self) -> None:
        """Drop one slot as soon as one is free."""
        with self._changing:
            self._surplus += 1

    def take(self) -> Slot | None:
        """Wait for a free slot, and return it; return None if the thread must end."""
        while True:
            item = self.free.get()
            if item is None:
                return None
            slot = item.slot if isinstance(item, Return) else item
            slot.returns = None
            del item
            with self._changing:
                if not self._surplus:
                    return slot
                self._surplus -= 1
                self._slots.remove(slot)
            del slot  # its memory and its charge go with it

    @property
    def slots(self) -> Sequence[Slot]:
        """All slots."""
        return tuple(self._slots)

    @property
    def size(self) -> int:
        """Number of slots, without those that will be dropped."""
        with self._changing:
            return len(self._slots) - self._surplus

    @property
    def leased(self) -> int:
        """Number of slots that are ready, or held by the caller."""
        return [slot.leased for slot in self._slots].count(True)  # asked for each batch: twice as fast as a sum

    def __len__(self) -> int:
        return len(self._slots)

    def give(self, slot: Slot) -> None:
        """Return a slot that was taken and not handed out. One that returns after `close`, from a thread that was late, is released."""
        self.free.put(slot)
        if self._closed:
            self._drop_free()

    def close(self) -> None:
        """Release all slots. Leased slots stay alive until their batch is garbage."""
        self._closed = True
        for slot in self._slots:
            slot.returns = None
        self._slots = []
        self._drop_free()

    def _drop_free(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self.free.get_nowait()
                if isinstance(item, Return):
                    item.slot.returns = None  # a reference cycle


def slot_nbytes(fields: Mapping[str, Field], rows: int, copied: Collection[str] = ()) -> int:
    """Return the bytes of one slot, and of the copied fields of its batch."""
    return sum(aligned(field.nbytes * rows) * (1 + (name in copied)) for name, field in fields.items())


def slots_request(fields: Mapping[str, Field], rows: int, slots: int, copied: Collection[str]) -> MemoryRequest:
    """Return the request of all slots of a ring."""
    each = slot_nbytes(fields, rows, copied)
    return MemoryRequest(
        "batch buffers", slots * each, "batch", f"{counted(slots, 'batch', 'batches')} of {format_size(each)}"
    )


def copied_fields(batch: Mapping[str, Field], primary: str) -> frozenset[str]:
    """Return the fields of a batch that are small enough to be copied; never the primary input."""
    return frozenset(name for name, field in batch.items() if name != primary and field.nbytes <= COPIED_NBYTES)
