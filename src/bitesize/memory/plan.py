"""Plan: the bytes of each part of a loader, the bytes for loading everything at once, and whether they fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitesize.html.notebook import Html, bar, element, joined, output, swatch, table
from bitesize.memory.limits import AVAILABLE
from bitesize.memory.request import MemoryRequest, total_nbytes
from bitesize.memory.sizes import counted, format_size


@dataclass(frozen=True, repr=False)
class Plan:
    """Memory of a loader, computed before any of it is allocated.

    Parameters
    ----------
    rows, batch_size, batches
        Rows of the source, rows per batch, batches per epoch.
    fields
        Shape and dtype of each field of a batch, such as ``"x": "(64, 224, 224, 3) float32"``.
    parts
        Requests for all memory that is charged to the budget.
    budget, origin
        Bytes of the budget, and their origin as text.
    naive_shape, stored_shape
        Shape of a row when everything is loaded at once: after resizing, and as stored (as if all images were as large as
        the first image).
    limit
        Name of the tightest memory limit of the process (of system, cgroups and rlimits), and the bytes that it leaves.
    threads
        Threads that read and decode.
    overhead
        Memory of this process outside the budget: interpreter, NumPy, compiled code, a framework.
    hints
        Sentences about ways to save memory or disk space, and about rows that are left out of each epoch.
    model
        Bytes that training the model takes, if known; otherwise 0.
    cache
        Figures of the cache on disk, in bytes and rows; None without a cache.
    machine
        The machine that the plan is for, if it is not this machine: ``"a machine with 8.0 GiB"``.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> loader = bs.Loader(bs.open(np.zeros((100, 8))), batch_size=10, memory="16 MiB", threads=2)
    >>> plan = loader.plan
    >>> plan.batches, plan.naive_float64, plan.total <= plan.budget
    (10, 6400, True)
    >>> loader.close()
    """

    rows: int
    batch_size: int
    batches: int
    fields: Mapping[str, str]
    parts: tuple[MemoryRequest, ...]
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
    cache: Mapping[str, Any] | None = None

    @property
    def total(self) -> int:
        """Total bytes that the loader charges."""
        return total_nbytes(self.parts)

    @property
    def process(self) -> int:
        """Bytes of the whole process, without a model that is created later. A container's limit must allow them."""
        return self.total + self.overhead

    @property
    def naive_float64(self) -> int:
        """Bytes of one array of all rows in float64, the result of ``np.array(list_of_images) / 255``."""
        return self.rows * math.prod(self.naive_shape) * 8

    @property
    def naive_float32(self) -> int:
        """Bytes of one array of all rows in float32."""
        return self.rows * math.prod(self.naive_shape) * 4

    @property
    def stored_float64(self) -> int:
        """Bytes of one array of all rows in float64, without resizing first."""
        return self.rows * math.prod(self.stored_shape) * 8

    @property
    def fails_at(self) -> int | None:
        """Row (from 1) at which a list of all rows as stored runs out of memory; None if the list fits."""
        row, room = math.prod(self.stored_shape) * 8, max(0, self.limit[1] - self.model)
        return None if self.stored_float64 <= room else room // row + 1

    def at_once(self, nbytes: int) -> int:
        """Return the bytes that loading everything at once takes: a list, an array of the list, and the model.

        Parameters
        ----------
        nbytes
            Bytes of one array of all rows.

        Returns
        -------
        int
            Number of bytes.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> loader = bs.Loader(bs.open(np.zeros((100, 8))), batch_size=10, memory="16 MiB", threads=2)
        >>> plan = loader.plan
        >>> plan.at_once(plan.naive_float64)
        12800
        >>> loader.close()
        """
        return 2 * nbytes + self.model

    @property
    def verdict(self) -> str:
        """Comparison with loading everything at once, in one or two sentences."""
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
        """Return the lines of the table: purpose, bytes, and origin of the number.

        Returns
        -------
        list of (str, str, str)
            One tuple per line.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> loader = bs.Loader(bs.open(np.zeros((100, 8))), batch_size=10, memory="16 MiB", threads=2)
        >>> plan = loader.plan
        >>> plan.table()[0]
        ('naive, float64', '6.2 KiB', 'all rows in one array')
        >>> loader.close()
        """
        lines = []
        if self.stored_shape != self.naive_shape:
            lines.append(("naive, as stored", format_size(self.stored_float64), "float64, every row as large as the first"))
        lines += [
            ("naive, float64", format_size(self.naive_float64), "all rows in one array"),
            ("naive, float32", format_size(self.naive_float32), "the same, cast"),
        ]
        lines += [(part.name, format_size(part.nbytes), part.detail) for part in self.parts]
        lines += [
            ("total", format_size(self.total), f"of {format_size(self.budget)} ({self.origin})"),
            ("outside the budget", format_size(self.overhead), "Python, NumPy, compiled code, framework"),
            ("the whole process", format_size(self.process), "plus the model, once it is built"),
        ]
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a dict of JSON values, in bytes.

        Returns
        -------
        dict
            Figures by name; sizes in bytes.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> loader = bs.Loader(bs.open(np.zeros((100, 8))), batch_size=10, memory="16 MiB", threads=2)
        >>> plan = loader.plan
        >>> plan.as_dict()["fields"]
        {'x': '(10, 8) float64'}
        >>> loader.close()
        """
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "batches": self.batches,
            "threads": self.threads,
            "fields": dict(self.fields),
            "naive_stored_float64": self.stored_float64,
            "naive_float64": self.naive_float64,
            "naive_float32": self.naive_float32,
            "parts": {part.name: part.nbytes for part in self.parts},
            "total": self.total,
            "overhead": self.overhead,
            "process": self.process,
            "hints": list(self.hints),
            "cache": None if self.cache is None else dict(self.cache),
            "budget": self.budget,
            "limit": {"name": self.limit[0], "room": self.limit[1]},
            "fits": self.total <= self.budget,
            "naive_fits": self.at_once(self.naive_float64) <= self.limit[1],
        }

    @property
    def _heading(self) -> str:
        fields = ", ".join(f"{name} {field}" for name, field in self.fields.items())
        return f"{counted(self.rows, 'row')}, {counted(self.batches, 'batch', 'batches')} of {self.batch_size}: {fields}"

    def _html_blocks(self) -> list[Html]:
        """Return a bar of the parts within the budget, the table, the verdict and the hints as HTML."""
        numbers = {part.name: number for number, part in enumerate(self.parts)}
        lines = [
            (joined([swatch(numbers[name]), name]) if name in numbers else name, size, detail)
            for name, size, detail in self.table()
        ]
        label = f"{format_size(self.total)} of {format_size(self.budget)}"
        filled = bar([(f"{part.name}: {format_size(part.nbytes)}", part.nbytes) for part in self.parts], self.budget, label)
        said = [element("p", line) for line in (self.verdict, *self.hints)]
        return [filled, table(lines, ("part", "bytes", "what it is"), numbers=[1]), *said]

    def _repr_html_(self) -> str:
        return output(f"Plan: {self._heading}", *self._html_blocks())

    def __repr__(self) -> str:
        """Return the table, so that a plan is readable at the end of a notebook cell."""
        table = self.table()
        widths = [max(len(line[i]) for line in table) for i in (0, 1)]
        body = [f"  {name:<{widths[0]}}  {size:>{widths[1]}}  {detail}" for name, size, detail in table]
        return "\n".join([self._heading, *body, self.verdict, *self.hints])
