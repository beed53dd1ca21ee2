"""Rows with values that are NaN or infinite, before they reach a model: they are bad rows, or refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadRows
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import counted
from bitesize.outputs.finite import find_odd
from bitesize.sources.around import Around
from bitesize.sources.base import Source
from bitesize.sources.rows import Into, Located, raise_bad
from bitesize.spec import Field

BAD_VALUES = "values that are NaN or infinite"
# How the command line leaves such rows out.
WAYS = "Mend these rows, or leave them out with --on-error skip"
# Rows of a sample, as many as the range of values is measured on.
_SAMPLE = 64


def may_be_odd(source: Source) -> bool:
    """Return whether rows of a source could have values that are NaN or infinite."""
    what = source.spec["x"]
    return isinstance(what, Field) and (what.dtype.kind == "f" or what.dtype.name == "bfloat16")


def odd_rows_skipped(source: Source, on_error: str) -> Source:
    """Return a source whose rows with such values are bad rows, where bad rows are skipped; else the source itself."""
    return FiniteRows(source) if on_error == "skip" and may_be_odd(source) else source


def refuse_odd_sample(source: Source, budget: Budget, data: str) -> None:
    """Look at evenly spaced rows before training.

    Raises
    ------
    BadFile
        If some have values that are NaN or infinite; they are named.
    """
    if not may_be_odd(source) or isinstance(source, FiniteRows):
        return
    rows = np.unique(np.linspace(0, len(source) - 1, min(_SAMPLE, len(source))).astype(np.int64))
    found = find_odd(source.subset(rows), budget, at_once=1)
    if found.odd:
        have = "has" if len(found.odd) == 1 else "have"
        raise BadFile(
            f"{counted(len(found.odd), 'row')} of {len(rows)} that were looked at in {data} {have} {BAD_VALUES}: {found}. {WAYS}"
        )


class FiniteRows(Around):
    """The rows of a source; those with values of ``x`` that are NaN or infinite are bad rows."""

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows, then look at those that could be read."""
        bad: dict[int, Exception] = {}
        try:
            super().read(rows, into)
        except BadRows as error:
            bad = error.causes
        if "x" in into:
            for i, row in enumerate(rows.tolist()):
                if i not in bad and not _is_finite(into["x"][i]):
                    bad[i] = BadFile(f"{self.describe(row)}: {BAD_VALUES}")
        raise_bad(bad)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return None: rows are looked at."""
        return None

    def fingerprint(self) -> str:
        """Return that of the base: a run may be continued with another ``on_error``."""
        return self.base.fingerprint()


def _is_finite(values: NDArray[np.floating]) -> bool:
    # NaN is the least and the greatest of any values that it is among; no array of the row's size is made.
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))
