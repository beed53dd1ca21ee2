"""PyTorch datasets that give an item for a number: each item is a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting
from bitesize.sources.base import Asked, Source
from bitesize.sources.columns import wanted_fields
from bitesize.sources.rows import Into, raise_bad
from bitesize.spec import Field


class MapStyle(Source):
    """A dataset of PyTorch's map style, whose items all have the same shapes.

    Items that are tuples become the fields ``x``, ``y``, and then ``2``, ``3``...; dicts keep their names; anything else is ``x``. Its code
    runs in the loader's threads, several at once.
    """

    title = "PyTorch datasets with a length"
    package, extra = "torch", "torch"

    def __init__(self, dataset: Any, asked: Asked) -> None:
        self._dataset = dataset
        if not len(dataset):
            raise BadSetting(f"{type(dataset).__name__} has no rows")
        try:
            first = _fields(dataset[0])
        except Exception as error:  # the user's code, or what it gave
            raise BadSetting(
                f"item 0 of {type(dataset).__name__} cannot be taken: {type(error).__name__}: {error}"
            ) from error
        self._names = wanted_fields(asked, first)
        self.spec = {}
        for name, there in self._names.items():
            if there not in first:
                raise BadSetting(f"items of {type(dataset).__name__} have no {there!r}: they have {', '.join(first)}")
            self.spec[name] = Field(first[there].shape, first[there].dtype)

    def __len__(self) -> int:
        return len(self._dataset)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Ask for items."""
        failed: dict[int, Exception] = {}
        for i, row in enumerate(rows.tolist()):
            try:
                self._read_one(row, i, into)
            except BadFile as error:
                failed[i] = error
        raise_bad(failed)

    def _read_one(self, row: int, i: int, into: Into) -> None:
        try:
            item = _fields(self._dataset[row])
        except Exception as error:  # the user's code
            raise BadFile(f"{self.describe(row)}: {type(error).__name__}: {error}") from error
        for name, there in self._names.items():
            if name not in into:
                continue
            found, what = item.get(there), self.spec[name]
            assert isinstance(what, Field)
            if found is None or found.shape != what.shape or found.dtype != what.dtype:
                seen = "missing" if found is None else f"{found.shape} {found.dtype}"
                raise BadFile(
                    f"{self.describe(row)}: {there!r} is {seen}, and that of item 0 is {what}: all items must be alike (give the "
                    "dataset a transform that resizes, or open its folder by bs.open, and let the loader do it)"
                )
            into[name][i] = found

    def describe(self, row: int) -> str:
        """Name the dataset and the item."""
        return f"{type(self._dataset).__name__}[{row}]"

    def _identity(self) -> bytes:
        return repr((type(self._dataset).__qualname__, len(self))).encode()

    @classmethod
    def takes(cls, what: Any) -> bool:
        """Tell whether this is a dataset of PyTorch's."""
        return any(
            kind.__module__ == "torch.utils.data.dataset" and kind.__name__ == "Dataset" for kind in type(what).__mro__
        )

    @classmethod
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Look at the first item."""
        if not hasattr(what, "__len__") or not hasattr(what, "__getitem__"):
            raise BadSetting(
                f"{type(what).__name__} gives no item for a number, or tells no length: one of the map style does"
            )
        return cls(what, asked)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make a dataset of tensors."""
        import torch

        return cls.opened(torch.utils.data.TensorDataset(torch.rand(rows, 4), torch.arange(rows) % 2), Asked())


def _fields(item: Any) -> dict[str, NDArray[Any]]:
    """Give the parts of an item as arrays, by the names of their fields."""
    if isinstance(item, Mapping):
        parts = {str(name): value for name, value in item.items()}
    elif isinstance(item, tuple | list):
        parts = dict(zip(("x", "y", *map(str, range(2, len(item)))), item, strict=False))
    else:
        parts = {"x": item}
    arrays = {name: np.asarray(value) for name, value in parts.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufcmMUS":
            raise TypeError(f"{name!r} is {type(parts[name]).__name__}: items must be numbers, arrays or tensors of them")
    return arrays
