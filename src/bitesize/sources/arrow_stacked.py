"""Several columns of numbers of an Arrow table as one field: a row of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitesize.errors import BadFile
from bitesize.spec import Field


class StackedColumns:
    """Several columns of one number per row as one field of shape (columns,).

    Parameters
    ----------
    names
        The columns.
    dtypes
        Dtypes of the columns.
    missing
        Number of missing values of each column that has some; they become NaN.
    """

    def __init__(self, names: Sequence[str], dtypes: Sequence[np.dtype[Any]], missing: Mapping[str, int]) -> None:
        self.names = tuple(names)
        # Whole numbers with missing values become the most exact floats.
        kinds = [
            np.result_type(dtype, np.float32) if missing.get(name) else dtype
            for name, dtype in zip(names, dtypes, strict=True)
        ]
        dtype = np.result_type(*kinds)
        self.field = Field((len(self.names),), dtype)
        self.inexact = [
            name
            for name, own in zip(names, dtypes, strict=True)
            if own.kind in "iu" and own.itemsize == 8 and dtype.kind == "f"
        ]
        self._missing = frozenset(name for name, count in missing.items() if count)

    def put(self, table: Any, numbers: Sequence[int], into: Any, failed: dict[int, Exception]) -> None:
        """Write the rows of a table into rows ``numbers`` of a field."""
        together = len(numbers) == len(into) and list(numbers) == list(range(len(into)))
        out = into if together else np.empty((len(numbers), len(self.names)), self.field.dtype)
        for k, name in enumerate(self.names):
            values = table.column(name)
            if values.null_count and name not in self._missing:
                for i in np.flatnonzero(values.is_null().to_numpy()).tolist():
                    failed[numbers[i]] = BadFile(f"the column {name!r} has no value")
            if values.null_count:
                values = values.cast("float64" if self.field.dtype.itemsize > 4 else "float32", safe=False)
                with np.errstate(invalid="ignore"):
                    out[:, k] = values.to_numpy()
            else:
                out[:, k] = values.to_numpy()
        if not together:
            into[list(numbers)] = out


def fits_float(values: Any) -> bool:
    """Return whether float64 holds all whole numbers of a column exactly."""
    import pyarrow.compute as compute

    bounds = compute.min_max(values).as_py()
    return bounds["min"] is None or (bounds["min"] >= -(2**53) and bounds["max"] <= 2**53)
