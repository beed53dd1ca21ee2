"""The plan: which part gets how many bytes, what loading everything would need, and whether it fits, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitesize.memory.limits import AVAILABLE
from bitesize.memory.sizes import counted, format_size


@dataclass(frozen=True)
class Part:
    """One need of a loader.

    Parameters
    ----------
    what
        What the bytes are for.
    nbytes
        How many.
    detail
        Where the figure comes from, for people.
    """

    what: str
    nbytes: int
    detail: str


@dataclass(frozen=True, repr=False)
class Plan:
    """What a loader needs and why; made before it takes anything.

    Parameters
    ----------
    rows, batch_size, batches
        Rows of the source, rows a batch, batches an epoch.
    fields
        What one batch holds: a line a field, such as ``"x": "(64, 224, 224, 3) float32"``.
    parts
        Every need that is charged to the budget.
    budget, origin
        Bytes of the budget, and where they come from.
    naive_shape, stored_shape
        What each row is in the naive way's one array: after resizing, and as stored (taking every image to be as large as
        the first).
    limit
        What bounds the process's memory, with the bytes left: the least of system, cgroups and rlimits.
    threads
        Threads that read and decode.
    overhead
        Bytes that this process holds outside the budget: interpreter, NumPy, compiled code, a framework.
    hints
        What would save memory or disk, and rows that sit out each epoch, in sentences.
    model
        Bytes that training the model takes, where it is known.
    machine
        The machine that the plan is for, if not this one: ``"a machine with 8.0 GiB"``.
    """

    rows: int
    batch_size: int
    batches: int
    fields: Mapping[str, str]
    parts: tuple[Part, ...]
    budget: int
    origin: str
    naive_shape: tuple[int, ...]
    stored_shape: tuple[int, ...]
    limit: tuple[str, int]
    threads: int
    overhead: int
    hints: tuple[str, ...] = ()
    machine: str = ""
    model: int = 0

    @property
    def total(self) -> int:
        """Bytes this loader charges."""
        return sum(part.nbytes for part in self.parts)

    @property
    def process(self) -> int:
        """Bytes of the whole process, but for a model that is yet to be made: what a container's limit must allow."""
        return self.total + self.overhead

    @property
    def naive_float64(self) -> int:
        """Bytes of one array of all rows in float64, as ``np.array(list_of_images) / 255`` makes it."""
        return self.rows * math.prod(self.naive_shape) * 8

    @property
    def naive_float32(self) -> int:
        """Bytes of one array of all rows in float32."""
        return self.rows * math.prod(self.naive_shape) * 4

    @property
    def stored_float64(self) -> int:
        """Bytes of one array of all rows in float64 without resizing first."""
        return self.rows * math.prod(self.stored_shape) * 8

    @property
    def fails_at(self) -> int | None:
        """Row at which a list of everything as stored runs out of memory, counted from 1; None where the list fits."""
        row, room = math.prod(self.stored_shape) * 8, max(0, self.limit[1] - self.model)
        return None if self.stored_float64 <= room else room // row + 1

    def at_once(self, nbytes: int) -> int:
        """Return the bytes that loading everything at once takes: a list, the array that is made of it, and the model."""
        return 2 * nbytes + self.model

    @property
    def verdict(self) -> str:
        """What limits, in a sentence or two."""
        name, room = self.limit
        spare = self.budget - self.total
        fits = f"bitesize fits, with {format_size(spare)} to spare." if spare else "bitesize fits exactly."
        once = "Loading everything at once"
        as_stored, resized = self.at_once(self.stored_float64), self.at_once(self.naive_float64)
        if self.machine:
            at = "works"
            if as_stored > room:
                at = (
                    "fails when the array is made"
                    if self.fails_at is None
                    else f"fails at row {self.fails_at:,} of {self.rows:,}"
                )
            left = f"{format_size(room)} left for data"
            return f"On {self.machine}, {once.lower()} {at} ({self._needed(self.stored_float64)}, {left}). {fits}"
        available = f"{format_size(room)} available" if name == AVAILABLE else f"{format_size(room)} allowed by {name}"
        if resized > room:
            return f"{once} would fail here ({self._needed(self.naive_float64)}, {available}). {fits}"
        if as_stored > room:
            unless = "unless each row is resized first"
            return f"{once} would fail here {unless} ({self._needed(self.stored_float64)}, {available}). {fits}"
        return f"{once} would work here ({self._needed(self.stored_float64)}, {available}). {fits}"

    def _needed(self, nbytes: int) -> str:
        model = f", and {format_size(self.model)} for the model" if self.model else ""
        return f"{format_size(self.at_once(nbytes))} needed: a list and its array{model}"

    def table(self) -> list[tuple[str, str, str]]:
        """Rows of the table: what, how many bytes, where the figure comes from."""
        lines = []
        if self.stored_shape != self.naive_shape:
            lines.append(("naive, as stored", format_size(self.stored_float64), "float64, every row as large as the first"))
        lines += [
            ("naive, float64", format_size(self.naive_float64), "all rows in one array"),
            ("naive, float32", format_size(self.naive_float32), "the same, cast"),
        ]
        lines += [(part.what, format_size(part.nbytes), part.detail) for part in self.parts]
        lines += [
            ("total", format_size(self.total), f"of {format_size(self.budget)} ({self.origin})"),
            ("outside the budget", format_size(self.overhead), "Python, NumPy, compiled code, framework"),
            ("the whole process", format_size(self.process), "plus the model, once it is built"),
        ]
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Plain figures in bytes, for JSON."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "batches": self.batches,
            "threads": self.threads,
            "fields": dict(self.fields),
            "naive_stored_float64": self.stored_float64,
            "naive_float64": self.naive_float64,
            "naive_float32": self.naive_float32,
            "parts": {part.what: part.nbytes for part in self.parts},
            "total": self.total,
            "overhead": self.overhead,
            "process": self.process,
            "hints": list(self.hints),
            "budget": self.budget,
            "limit": {"name": self.limit[0], "room": self.limit[1]},
            "fits": self.total <= self.budget,
            "naive_fits": self.at_once(self.naive_float64) <= self.limit[1],
        }

    def __repr__(self) -> str:
        """Return the table: a plan is asked for to be read, also at the end of a cell of a notebook."""
        table = self.table()
        widths = [max(len(line[i]) for line in table) for i in (0, 1)]
        fields = ", ".join(f"{name} {what}" for name, what in self.fields.items())
        head = f"{counted(self.rows, 'row')}, {counted(self.batches, 'batch', 'batches')} of {self.batch_size}: {fields}"
        body = [f"  {what:<{widths[0]}}  {size:>{widths[1]}}  {detail}" for what, size, detail in table]
        return "\n".join([head, *body, self.verdict, *self.hints])
