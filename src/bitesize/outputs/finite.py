"""Find rows with NaN or infinite values after a loss has become NaN or infinite."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.batch import Batch
from bitesize.engine.holding import PENDING_PATIENCE, Holder
from bitesize.engine.iterator import BatchIterator
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import LoaderClosed, NotFinite
from bitesize.memory.budget import Budget
from bitesize.sources.base import Source

# Rows that a message names; rows that are looked at together.
# Who trained may still hold batches, and lets go of them.
_TRAINER = Holder(patience=PENDING_PATIENCE)
_SHOWN, _AT_ONCE = 5, 32
# How often another thread may begin to loop over the loader meanwhile.
_ATTEMPTS = 20
# Words in errors of estimators whose weights are NaN or infinite.
_DIVERGED = ("overflow", "non-finite", "nan", "infinity")


@dataclass(frozen=True)
class OddRow:
    """A row of a batch with NaN or infinite values.

    Parameters
    ----------
    row, name
        Number of the row in the source, and its name: the path of its file, if it has one.
    field
        Field with these values: inputs, targets or weights.
    count, values
        Number of NaN or infinite values, and number of all values.
    """

    row: int
    name: str
    field: str
    count: int
    values: int

    def __str__(self) -> str:
        if self.values == 1:
            return f"{self.name}: {self.field} is NaN or infinite"
        return f"{self.name}: {self.count:,} of {self.values:,} values of {self.field}"


@dataclass(frozen=True)
class Findings:
    """Values of some batches.

    Parameters
    ----------
    odd
        Rows with NaN or infinite values.
    least, greatest
        Range of the finite input values.
    """

    odd: Sequence[OddRow]
    least: float
    greatest: float

    def __str__(self) -> str:
        shown = "; ".join(str(each) for each in self.odd[:_SHOWN])
        more = f"; and {len(self.odd) - _SHOWN:,} more" if len(self.odd) > _SHOWN else ""
        return f"{shown}{more}"


def look_back(loader: Loader, position: tuple[int, int], batches: int) -> Findings:
    """Load some batches again, with the same values, and find rows that are not finite.

    Parameters
    ----------
    loader
        The loader; no other loop over it may be active.
    position
        Epoch and position of the first batch.
    batches
        Number of batches to check.
    """
    odd: list[OddRow] = []
    least, greatest, seen, attempts = np.inf, -np.inf, 0, 0
    while seen < batches:
        try:
            for batch in itertools.islice(_from(loader, position, seen), batches - seen):
                odd += _odd_rows(loader, batch)
                low, high = _range(batch[loader.source.primary], batch.mask)
                least, greatest, seen = min(least, low), max(greatest, high), seen + 1
                del batch
        except LoaderClosed:  # by a thread of TensorFlow, which takes batches ahead until it has enough
            attempts += 1
            if attempts > _ATTEMPTS:
                raise
    return Findings(odd, least, greatest)


def _from(loader: Loader, place: tuple[int, int], batches: int) -> BatchIterator:
    driver = driver_of(loader)
    return driver.iterate(driver.batching.advance(place, batches), endless=True, holder=_TRAINER)


def _range(values: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the least and the greatest finite value of the rows of a batch; infinities if there are no finite values."""
    least, greatest = np.inf, -np.inf
    for i in np.flatnonzero(mask).tolist() if values.dtype.kind in "fiu" else ():  # row by row, which copies no batch
        finite = values[i][np.isfinite(values[i])]
        if finite.size:
            least, greatest = min(least, float(finite.min())), max(greatest, float(finite.max()))
    return least, greatest


def refusal(loader: Loader, position: tuple[int, int], batches: int, error: ValueError) -> NotFinite | None:
    """Return an error that names the rows with NaN or infinite values, if an estimator has raised because of them.

    Parameters
    ----------
    loader, position, batches
        As in `look_back`.
    error
        Error of the estimator.
    """
    findings = look_back(loader, position, batches)
    where = f"the batch at position {position[1]:,} of epoch {position[0] + 1}" if batches == 1 else "the data"
    if findings.odd:
        rows = tuple(each.row for each in findings.odd)
        return NotFinite(f"rows of {where} have values that are NaN or infinite: {findings}. Fix or remove these rows", rows)
    if any(word in str(error).lower() for word in _DIVERGED):
        return NotFinite(
            f"all values of {where} are finite, from {findings.least:g} to {findings.greatest:g}, so training diverged: {error}. Scale the values, or "
            "use a lower learning rate"
        )
    return None


def find_odd(source: Source, budget: Budget, at_once: int = _AT_ONCE) -> Findings:
    """Find rows that are not finite in a whole source, as stored; rows that cannot be read are skipped."""
    size = min(at_once, len(source))
    with Loader(source, batch_size=size, shuffle=False, memory=budget, on_error="skip", max_bad=1.0) as loader:
        return look_back(loader, (0, 0), len(loader))


def _odd_rows(loader: Loader, batch: Batch) -> list[OddRow]:
    rows = []
    for name, array in batch.items():
        if array.dtype.kind != "f":
            continue
        for i in np.flatnonzero(batch.mask).tolist():
            odd = int(array[i].size - np.isfinite(array[i]).sum())
            if odd:
                row = int(batch.rows[i])
                rows.append(OddRow(row, loader.source.describe(row), name, odd, int(array[i].size)))
    return rows
