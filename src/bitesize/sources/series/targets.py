"""Targets of windows: values for each first step, labels of recordings, or values of later steps."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.checks import is_whole
from bitesize.errors import BadSetting, first_few
from bitesize.lazy.array import LazyArray
from bitesize.sources.base import Source
from bitesize.sources.labels import class_numbers
from bitesize.sources.open import open as open_source
from bitesize.spec import Field

Horizon = int | Sequence[int] | None


class Targets(ABC):
    """Targets that do not depend on the values of the data.

    Attributes
    ----------
    field : Field
        One target.
    classes : tuple of str or None
        Names of the classes.
    count : int or None
        Number of first steps that have a target; None if all have one.
    nbytes : int
        Bytes in memory.
    """

    field: Field
    classes: tuple[str, ...] | None = None
    count: int | None = None
    nbytes: int = 0

    @abstractmethod
    def read(self, starts: NDArray[np.int64], recordings: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read the targets of windows with these first steps, in these recordings."""

    @abstractmethod
    def identity(self) -> bytes:
        """Return bytes that identify the targets."""

    def labels(self, starts: NDArray[np.int64], recordings: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return class numbers of windows, or None if targets are not classes."""
        return None


class Values(Targets):
    """Targets in memory: one for each first step, or for each recording."""

    def __init__(self, values: NDArray[Any], classes: tuple[str, ...] | None, *, of_recordings: bool) -> None:
        self._values, self.classes, self._of_recordings = values, classes, of_recordings
        self.field = Field(values.shape[1:], values.dtype)
        self.count = None if of_recordings else len(values)
        self.nbytes = values.nbytes

    def read(self, starts: NDArray[np.int64], recordings: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Gather targets."""
        out[...] = self._values[recordings if self._of_recordings else starts]

    def identity(self) -> bytes:
        """Return the values."""
        return self._values.tobytes() + repr(self.classes).encode()

    def labels(self, starts: NDArray[np.int64], recordings: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return class numbers if the values are whole numbers."""
        if self._values.dtype != np.int64 or self._values.ndim != 1:
            return None
        return np.asarray(self._values[recordings if self._of_recordings else starts])


class Stored(Targets):
    """Targets in a file, one for each first step."""

    def __init__(self, source: Source) -> None:
        self._source, field = source, source.spec[source.primary]
        if not isinstance(field, Field):
            raise BadSetting(f"targets must be numbers, one row for each step, not {field}")
        self.field, self.count = field, len(source)

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Bytes of the source."""
        return self._source.nbytes

    def read(self, starts: NDArray[np.int64], recordings: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows of the source."""
        self._source.read(starts, {self._source.primary: out})

    def identity(self) -> bytes:
        """Return the fingerprint of the source."""
        return self._source.fingerprint().encode()


@dataclass(frozen=True)
class Ahead:
    """Values of the data after the last step of a window.

    Attributes
    ----------
    name : str
        Field of the data.
    steps : tuple of int
        Steps after the last step of the window.
    columns : slice, int or tuple of int
        Columns of the field, on its last axis; all for a field of one number.
    field : Field
        One target.
    one_step : bool
        Whether the target has no axis of steps.
    """

    name: str
    steps: tuple[int, ...]
    columns: slice | int | tuple[int, ...]
    field: Field
    one_step: bool

    def names(self, source: Source) -> tuple[str, ...] | None:
        """Return the names of the target columns, if they have names and targets have an axis of columns."""
        known = source.feature_names
        if known is None or self.name != source.primary or isinstance(self.columns, int):
            return None
        return known if isinstance(self.columns, slice) else tuple(known[column] for column in self.columns)

    def put(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Write targets, given the rows of the field, shape (windows, steps, ...)."""
        columns = self.columns if isinstance(self.columns, slice | int) else list(self.columns)
        chosen = values if columns == slice(None) else values[..., columns]
        out[...] = chosen[:, 0] if self.one_step else chosen


def given_targets(targets: Any) -> Targets | None:
    """Return targets for each first step; None without targets.

    Raises
    ------
    BadSetting
        If targets are not numbers or text, one for each step.
    """
    if targets is None or targets is False:
        return None
    if isinstance(targets, Source):
        return Stored(targets)
    if isinstance(targets, str | os.PathLike | LazyArray | np.memmap) or type(targets).__module__.startswith(
        ("h5py", "zarr")
    ):
        return Stored(open_source(targets))
    values, classes = class_numbers(targets, len(targets))
    return Values(values, classes, of_recordings=False)


def values_ahead(source: Source, horizon: Horizon, columns: Any) -> Ahead | None:
    """Return which values of the data are targets; None without a horizon.

    Parameters
    ----------
    source
        The data.
    horizon
        As for `bitesize.timeseries`.
    columns
        ``target_columns`` of `bitesize.timeseries`.

    Raises
    ------
    BadSetting
        If the steps or columns are impossible.
    """
    if horizon is None:
        if columns is not None:
            raise BadSetting(
                f"target_columns={columns!r} needs horizon=, the number of steps after the window, such as horizon=1"
            )
        return None
    one_step = is_whole(horizon)
    steps: list[Any] = [horizon] if one_step else list(horizon) if isinstance(horizon, Sequence | np.ndarray) else []
    if not steps or not all(is_whole(step, least=0) for step in steps):
        raise BadSetting(
            f"horizon must be a whole number of steps of at least 0, or several, such as range(1, 25), not {horizon!r}"
        )
    name, chosen = _columns(source, columns)
    field = source.spec[name]
    assert isinstance(field, Field)
    shape = field.shape
    if isinstance(chosen, int):
        shape = shape[:-1]
    elif isinstance(chosen, tuple):
        shape = (*shape[:-1], len(chosen))
    target = Field(shape if one_step else (len(steps), *shape), field.dtype)
    return Ahead(name, tuple(int(step) for step in steps), chosen, target, one_step)


def _columns(source: Source, columns: Any) -> tuple[str, slice | int | tuple[int, ...]]:
    """Return the field of the target columns, and their numbers in it."""
    primary = source.primary
    if columns is None:
        return primary, slice(None)
    if isinstance(columns, str) and columns in source.spec and columns not in (source.feature_names or ()):
        if not isinstance(source.spec[columns], Field):
            raise BadSetting(f"target_columns={columns!r} is a field of encoded images, not of numbers")
        return columns, slice(None)
    field = source.spec[primary]
    width = field.shape[-1] if isinstance(field, Field) and field.shape else 0
    if isinstance(columns, str) or is_whole(columns):
        return primary, _number(columns, source, width)
    numbers = tuple(_number(column, source, width) for column in columns)
    if not numbers:
        raise BadSetting("target_columns is empty: name at least one column")
    return primary, numbers


def _number(column: Any, source: Source, width: int) -> int:
    """Return the number of a column, by name or number."""
    names = source.feature_names or ()
    if isinstance(column, str) and column in names:
        return names.index(column)
    if is_whole(column) and -width <= column < width:
        return int(column) % width
    there = (
        f"the columns are {first_few(names, 20)}"
        if names
        else f"the data have {width} columns without names, 0 to {width - 1}"
    )
    others = [name for name in source.spec if name != source.primary]
    there += f", and other fields are {first_few(others, 20)}" if others else ""
    raise BadSetting(
        f"target_columns={column!r} is not a column: {there}"
        if width
        else f"target_columns={column!r}: the data have no columns"
    )
