"""Rows of features: several fields of one number as one row, or some columns of such rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into, Located
from bitesize.spec import Field


class _Features(SourceWrapper):
    """A source whose field ``x`` is derived from other fields of its base."""

    def __init__(self, base: Source, names: Sequence[str], dtype: np.dtype[np.generic], made_of: Sequence[str]) -> None:
        super().__init__(base)
        others = {name: field for name, field in base.spec.items() if name not in made_of}
        self.spec = {"x": Field((len(names),), dtype), **others}
        self.feature_names = tuple(names)
        self._made_of = {name: field for name in made_of if isinstance(field := base.spec[name], Field)}

    @abstractmethod
    def _put(self, values: dict[str, NDArray[np.generic]], out: NDArray[np.generic]) -> None:
        """Write rows of features from the values read."""

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base, and convert them to features."""
        unchanged = {name: out for name, out in into.items() if name != "x"}
        if "x" not in into:
            self.base.read(rows, unchanged)
            return
        values = {name: np.empty((len(rows), *field.shape), field.dtype) for name, field in self._made_of.items()}
        try:
            self.base.read(rows, unchanged | values)
        finally:
            self._put(values, into["x"])

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return None: rows of features are not stored on disk."""
        return None

    def scratch(self, rows: int) -> int:
        """Return the bytes for the base, and for the values read before they become features."""
        return super().scratch(rows) + rows * sum(field.nbytes for field in self._made_of.values())

    def _identity(self) -> bytes:
        return super()._identity() + repr(self.feature_names).encode()


class StackedFields(_Features):
    """Several fields of one number as one row of features, the field ``x``.

    Parameters
    ----------
    base
        Source of the fields.
    names
        Fields of shape (), in the order of the features.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> from bitesize.sources.combine.features import StackedFields
    >>> two = bs.zip(a=bs.open(np.arange(3.0)), b=bs.open(np.ones(3)))
    >>> StackedFields(two, ["a", "b"]).spec["x"].shape
    (2,)
    """

    def __init__(self, base: Source, names: Sequence[str]) -> None:
        types = [field.dtype for name in names if isinstance(field := base.spec[name], Field)]
        super().__init__(base, names, np.result_type(*types), names)

    def _put(self, values: dict[str, NDArray[np.generic]], out: NDArray[np.generic]) -> None:
        for i, value in enumerate(values.values()):
            out[:, i] = value


class SelectedFeatures(_Features):
    """Some columns of rows of features, in another order.

    Parameters
    ----------
    base
        A source with `Source.feature_names`.
    names
        Names of the columns to select, in order.
    """

    def __init__(self, base: Source, names: Sequence[str]) -> None:
        field = base.spec["x"]
        assert isinstance(field, Field)
        assert base.feature_names is not None
        super().__init__(base, names, field.dtype, ["x"])
        self._indices = [base.feature_names.index(name) for name in names]

    def _put(self, values: dict[str, NDArray[np.generic]], out: NDArray[np.generic]) -> None:
        out[...] = values["x"][:, self._indices]
