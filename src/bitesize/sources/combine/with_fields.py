"""Sources with additional or replaced fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.labels import label_field
from bitesize.sources.protocol import Into, Located


class WithFields(SourceWrapper):
    """Rows of another source with arrays in memory as additional or replaced fields.

    Parameters
    ----------
    base
        Source of the other fields.
    arrays
        One value per row, shape (n, ...), by field name.
    classes
        Names of the classes, where labels are class numbers.
    label
        Name of the field with the labels, if it is one of ``arrays``.
    """

    def __init__(
        self, base: Source, arrays: Mapping[str, NDArray[np.generic]], classes: tuple[str, ...] | None, label: str = "y"
    ) -> None:
        for name, array in arrays.items():
            if len(array) != len(base):
                raise BadSetting(f"the field {name!r} has {len(array)} values for {len(base)} rows")
        super().__init__(base)
        self._arrays = dict(arrays)
        self._label = label if label in arrays else None
        self._labels = self._arrays.get(label)
        self.classes = classes if self._label else base.classes
        self.target_names = None if self._label else base.target_names
        x = base.spec[base.primary]
        own = {name: label_field(array, x) for name, array in self._arrays.items()}
        self.spec = {name: own.get(name, field) for name, field in {**base.spec, **own}.items()}

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base, and copy values of the arrays."""
        try:
            self.base.read(rows, {name: out for name, out in into.items() if name not in self._arrays})
        finally:
            self._put(rows, into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the base."""
        return None if self.primary in self._arrays or self.primary != self.base.primary else self.base.locate(rows)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of the base, and copy values of the arrays."""
        self.base.read_other_fields(rows, {name: out for name, out in into.items() if name not in self._arrays})
        self._put(rows, into)

    def _put(self, rows: NDArray[np.int64], into: Into) -> None:
        for name, array in self._arrays.items():
            if name in into:
                into[name][...] = array[rows]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of the base, and the arrays."""
        return tuple(dict.fromkeys((*self.base.column_names, *self._arrays)))

    def column(self, name: str) -> NDArray[Any]:
        """Read a column of the base, or an array."""
        if name not in self._arrays:
            return self.base.column(name)
        array = self._arrays[name]
        if array.ndim != 1:
            raise BadSetting(f"{name!r} has more than one value per row: {array.shape[1:]}")
        names = self.classes if name == self._label else self.classes_of.get(name)
        return array if names is None or array.dtype != np.int64 else np.array(names)[array]

    @property
    def nbytes(self) -> int:
        """Bytes of the base and of the arrays."""
        return self.base.nbytes + sum(array.nbytes for array in self._arrays.values())

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class numbers, of the arrays or of the base."""
        return super(SourceWrapper, self).labels if self._label else self.base.labels

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels, of the arrays or of the base."""
        return self._label or self.base.label_name

    @property
    def class_count(self) -> int | None:
        """Number of classes."""
        return super(SourceWrapper, self).class_count if self._label else self.base.class_count

    def _identity(self) -> bytes:
        return b"\0".join([self.base.fingerprint().encode(), *(array.tobytes() for array in self._arrays.values())])
