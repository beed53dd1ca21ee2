"""`Targets`: rows whose labels are numbers: columns chosen, class numbers as values, standardized."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadRows
from bitesize.pipeline.caching import unread_fields
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into, Located
from bitesize.sources.sinks import new_buffers
from bitesize.spec import Encoded, Field

# Rows whose labels are read at a time.
_AT_ONCE = 65_536
# The same, if whole rows are read with them.
_WHOLE_AT_ONCE, _MOST_NBYTES = 16, 4 << 20


class Targets(SourceWrapper):
    """The rows of another source with labels as floats of shape (numbers,).

    Parameters
    ----------
    base
        Source with labels in the field ``y``: numbers of shape () or (k,).
    dtype
        float32 or float64.
    table
        Value of each class number; None if labels are values.
    columns
        Column of the base for each number; -1 for a column of zeros. None: all columns.
    mean, std
        Subtracted from, and divided by, for each number. Default: values stay.
    classes
        Names of the numbers, if they are tags.
    """

    def __init__(
        self,
        base: Source,
        dtype: Any,
        *,
        table: Sequence[float] | None = None,
        columns: Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(base)
        field = base.spec["y"]
        assert isinstance(field, Field)
        self._field = field
        self._table = None if table is None else np.asarray(table, np.float64)
        self._columns = None if columns is None else np.asarray(columns, np.int64)
        self._mean = None if mean is None else np.asarray(mean, np.float64)
        self._std = None if std is None else np.asarray(std, np.float64)
        count = len(columns) if columns is not None else field.shape[0] if field.shape else 1
        self.spec = {**base.spec, "y": Field((count,), np.dtype(dtype))}
        self.classes = classes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """None: rows have no class."""
        return None

    @property
    def class_count(self) -> int | None:
        """None: rows have no class."""
        return None

    def scratch(self, rows: int) -> int:
        """Return the bytes that the base needs, and those of its labels."""
        return self.base.scratch(rows) + rows * (self._field.nbytes + 8 * self.spec["y"].shape[0])  # type: ignore[union-attr]

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base, and convert their labels."""
        inner, stored = self._inner(rows, into)
        try:
            self.base.read(rows, inner)
        finally:
            self._convert(stored, into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the base."""
        return self.base.locate(rows) if self.primary == self.base.primary else None

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of rows of the base, and convert their labels."""
        inner, stored = self._inner(rows, into)
        self.base.read_other_fields(rows, inner)
        self._convert(stored, into)

    def _inner(self, rows: NDArray[np.int64], into: Into) -> tuple[dict[str, Any], NDArray[Any] | None]:
        if "y" not in into:
            return dict(into), None
        stored = np.zeros((len(rows), *self._field.shape), self._field.dtype)
        return {**into, "y": stored}, stored

    def _convert(self, stored: NDArray[Any] | None, into: Into) -> None:
        if stored is None:
            return
        values = stored if self._table is None else self._table[stored]
        values = values.reshape(len(values), -1)
        if self._columns is not None:
            values = np.where(self._columns >= 0, values[:, np.maximum(self._columns, 0)], 0)
        if self._mean is not None and self._std is not None:
            values = (values.astype(np.float64) - self._mean) / self._std
        into["y"][...] = values

    def _identity(self) -> bytes:
        parts = (self._table, self._columns, self._mean, self._std)
        numbers = [b"" if part is None else part.tobytes() for part in parts]
        return b"\0".join([b"targets", str(self.spec["y"]).encode(), *numbers, super()._identity()])


def labels_of(source: Source) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Yield row numbers and labels, some thousand rows at a time, without other fields where the source can leave them out."""
    x = source.spec[source.primary]
    whole = _WHOLE_AT_ONCE if isinstance(x, Encoded) else max(1, min(_AT_ONCE, _MOST_NBYTES // max(1, x.nbytes)))
    at_once = _AT_ONCE if _reads_labels_alone(source) else whole
    for start in range(0, len(source), at_once):
        rows = np.arange(start, min(start + at_once, len(source)), dtype=np.int64)
        yield rows, read_labels(source, rows)


def read_labels(source: Source, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return the labels of rows, shape (k, ...)."""
    field = source.spec["y"]
    assert isinstance(field, Field)
    values = np.empty((len(rows), *field.shape), field.dtype)
    if _reads_labels_alone(source):
        source.read_other_fields(rows, {"y": values})
    else:
        values[...] = 0  # of rows whose images cannot be read, which the loader reports
        with contextlib.suppress(BadRows):
            source.read(rows, {**new_buffers(source.spec, len(rows)), "y": values})
    return values


def _reads_labels_alone(source: Source) -> bool:
    """Return whether labels are read without the rest of the rows, also where sources are derived from others."""
    parts = [part for part in source.derived_from if isinstance(part, Source)]
    return all(map(_reads_labels_alone, parts)) if parts else "y" not in unread_fields(source)


def measure(source: Source, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each number, in one pass over the labels.

    Raises
    ------
    BadFile
        If a number is NaN or infinite.
    """
    count, mean, squares = 0, np.zeros(len(names)), np.zeros(len(names))
    for rows, values in labels_of(source):
        odd = np.argwhere(~np.isfinite(values))
        if len(odd):
            row, column = int(odd[0][0]), int(odd[0][1])
            shown = f"{source.describe(int(rows[row]))} (row {rows[row]})"
            raise BadFile(f"the target {names[column]!r} of {shown} is {values[row, column]}: replace it, or remove the row")
        # Chan's formula to combine two means: stable, and in one pass.
        step, own = len(values), values.mean(axis=0, dtype=np.float64)
        apart = own - mean
        squares += ((values - own) ** 2).sum(axis=0) + apart**2 * count * step / (count + step)
        mean = mean + apart * step / (count + step)
        count += step
    return mean, np.sqrt(squares / max(count, 1))
