"""Detect rows with NaN or infinite values before they reach a model: they are bad rows, or an error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadRows
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import counted
from bitesize.outputs.finite import find_odd
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into, Located, raise_bad
from bitesize.spec import Field

BAD_VALUES = "values that are NaN or infinite"
# How to skip these rows on the command line.
WAYS = "Fix these rows, or skip them with --on-error skip"
# Rows of a sample, the same number as for the range of values.
_SAMPLE = 64


def watch_rows(train: Source, val: Source | None, on_error: str, budget: Budget) -> tuple[Source, Source | None]:
    """Return both sources with rows of NaN or infinite values as bad rows, if bad rows are skipped.

    Otherwise the sources are unchanged, and evenly spaced rows of the validation data are checked: a bad row would be found
    only after an epoch.

    Raises
    ------
    BadFile
        If some of these rows have NaN or infinite values; they are named.
    """
    if on_error != "skip":
        if val is not None and _may_be_odd(val):
            _refuse_odd_sample(val, budget)
        return train, val
    train = FiniteRows(train) if _may_be_odd(train) else train
    return train, FiniteRows(val) if val is not None and _may_be_odd(val) else val


def _may_be_odd(source: Source) -> bool:
    field = source.spec["x"]
    return isinstance(field, Field) and (field.dtype.kind == "f" or field.dtype.name == "bfloat16")


def _refuse_odd_sample(val: Source, budget: Budget) -> None:
    rows = np.unique(np.linspace(0, len(val) - 1, min(_SAMPLE, len(val))).astype(np.int64))
    findings = find_odd(val.subset(rows), budget, at_once=1)
    if findings.odd:
        have = "has" if len(findings.odd) == 1 else "have"
        raise BadFile(
            f"{counted(len(findings.odd), 'row')} of {len(rows)} checked in the validation data {have} {BAD_VALUES}: {findings}. {WAYS}"
        )


class FiniteRows(SourceWrapper):
    """Rows of a source; rows with NaN or infinite values of ``x`` are bad rows."""

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows, then check the values of those that could be read."""
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
        """Return None: rows are checked."""
        return None

    def fingerprint(self) -> str:
        """Return the fingerprint of the base: a run may be resumed with another ``on_error``."""
        return self.base.fingerprint()


def _is_finite(values: NDArray[np.floating]) -> bool:
    # With a NaN in the row, minimum and maximum are NaN; no array of the row's size is allocated.
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))
