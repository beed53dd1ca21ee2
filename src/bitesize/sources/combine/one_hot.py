"""One-hot class labels: 1 for the class of the row, 0 for all others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into, Located
from bitesize.spec import Field


class OneHot(SourceWrapper):
    """The rows of another source with one-hot class labels, float32 of shape (classes,); see `Source.one_hot`.

    Parameters
    ----------
    base
        A source with class labels.
    """

    def __init__(self, base: Source) -> None:
        super().__init__(base)
        labels, name = base.labels, base.label_name
        field = None if name is None else base.spec.get(name)
        if labels is None or name is None or not isinstance(field, Field) or field.shape:
            fields = "no labels" if field is None else f"{name}: {field}"
            raise BadSetting(f"one_hot needs class labels, one whole number per row: the source has {fields}")
        if int(labels.min()) < 0:
            raise BadSetting(f"one_hot needs classes that are numbered from 0: the smallest label is {labels.min()}")
        count = base.class_count
        assert count is not None
        self._name, self._count = name, count
        self.spec = {**base.spec, name: Field((count,), np.dtype(np.float32))}

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base, with one-hot labels."""
        try:
            self.base.read(rows, self._others(into))
        finally:
            self._spread(rows, into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the base."""
        return self.base.locate(rows) if self.primary == self.base.primary else None

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of rows of the base, with one-hot labels."""
        self.base.read_other_fields(rows, self._others(into))
        self._spread(rows, into)

    def _others(self, into: Into) -> dict[str, Any]:
        return {name: out for name, out in into.items() if name != self._name}

    def _spread(self, rows: NDArray[np.int64], into: Into) -> None:
        if self._name in into:
            labels = self.base.labels
            assert labels is not None
            spread = into[self._name]
            spread[...] = 0
            spread[np.arange(len(rows)), labels[rows]] = 1

    def _identity(self) -> bytes:
        return b"one hot\0" + super()._identity()
