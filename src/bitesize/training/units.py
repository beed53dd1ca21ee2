"""Detect rows in other units than the rest of the data: 0 to 1 among 0 to 255."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into, Located
from bitesize.spec import Field
from bitesize.training.values import Values

# Floats of 0 to 1 may overshoot up to the first value; values of 0 to 255 below the second are very dark.
_UNIT, _DIM = 1.5, 32.0


class UnitsWatched(SourceWrapper):
    """Rows of a source, whose range is checked when they are read.

    Parameters
    ----------
    base
        Source with float arrays as the field ``x``.
    trained
        Values of the run.

    Attributes
    ----------
    odd : set of int
        Rows in other units.
    """

    def __init__(self, base: Source, trained: Values) -> None:
        super().__init__(base)
        self._trained = trained
        self.odd: set[int] = set()

    @staticmethod
    def watches(source: Source, trained: Values) -> bool:
        """Return whether rows of a source could be in other units without an error."""
        what = source.spec["x"]
        pixels = isinstance(what, Field) and what.dtype.kind == "f" and len(what.shape) > 1
        return pixels and (trained.kind in ("bytes", "words") or (trained.kind == "unit" and trained.minimum >= 0))

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows, then check the range of those that could be read."""
        failed: BadRows | None = None
        try:
            super().read(rows, into)
        except BadRows as error:
            failed = error
        if "x" in into:
            bad = {} if failed is None else failed.causes
            self.odd.update(row for i, row in enumerate(rows.tolist()) if i not in bad and self._is_odd(into["x"][i]))
        if failed is not None:
            raise failed

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return None: rows are checked."""
        return None

    def _is_odd(self, row: NDArray[np.floating]) -> bool:
        greatest = float(row.max())
        if self._trained.kind == "unit":
            return greatest > _DIM
        return 0 < greatest <= _UNIT and bool(row.min() < 0 or (row != np.floor(row)).any())


def units_warning(odd: Collection[int], describe: Callable[[int], str], trained: Values) -> list[str]:
    """Return a warning about rows in other units, which names the first of them; empty without such rows."""
    if not odd:
        return []
    rows = "1 row is" if len(odd) == 1 else f"{len(odd):,} rows are"
    full = {"bytes": "0 to 255", "words": "0 to 65535", "unit": "0 to 1"}[trained.kind]
    low = "0 to 255" if trained.kind == "unit" else "0 to 1"
    line = f"{rows} on a scale of {low}, but the run was trained on {full}, for example {describe(min(odd))}"
    return [f"warning: {line}: results for them may be wrong"]
