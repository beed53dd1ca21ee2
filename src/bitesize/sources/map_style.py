"""Map-style datasets, such as those of PyTorch: each item is a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.column_names import LABELS, WEIGHTS, first_named, match, plain
from bitesize.sources.columns import wanted_fields
from bitesize.sources.protocol import Into, raise_bad
from bitesize.spec import Field


class MapStyle(Source):
    """A dataset of PyTorch's map style, or an object with a length and items by number, whose items all have the same shapes.

    Items that are tuples become the fields ``x``, ``y``, and then ``2``, ``3``...; dicts keep their names; any other item is ``x``. The code of
    the dataset runs in several threads of the loader at once.
    """

    title = "datasets with a length and items by number, such as PyTorch's"

    def __init__(self, dataset: Any, options: OpenOptions) -> None:
        self._dataset = dataset
        self._features: tuple[str, ...] = ()
        self._parts: dict[str, Field] = {}  # parts of items that are stacked as features
        kind = type(dataset).__name__
        if not len(dataset):
            raise BadSetting(f"{kind} has no rows")
        try:
            item = dataset[0]
            first, unusable = _fields(item)
        except Exception as error:  # the user's code, or its result
            raise BadSetting(f"item 0 of {kind} cannot be read: {type(error).__name__}: {error}") from error
        self._names = wanted_fields(options, first)
        label = None
        if isinstance(options.labels, str):
            stored_name = match(options.labels, [*self._names, *first])
            if stored_name is None:
                refused = f", but {options.labels!r} is {unusable[options.labels]}" if options.labels in unusable else ""
                raise BadSetting(
                    f"labels={options.labels!r}: items of {kind} have no numeric part of this name: they have {', '.join(first)}{refused}"
                )
            self._names.setdefault(stored_name, stored_name)
            label = stored_name
        elif options.labels is None:
            label = first_named(self._names, LABELS)
        self._label = label
        self.spec = {}
        for name, part in self._names.items():
            if part not in first:
                raise BadSetting(f"items of {kind} have no {part!r}: they have {', '.join(first)}")
            self.spec[name] = Field(first[part].shape, first[part].dtype)
        if isinstance(item, Mapping) and options.fields is None:
            self._stack_numbers(options)
        if not self.spec:
            raise BadSetting(
                f"items of {kind} contain no numbers: they have {', '.join(f'{n}, {why}' for n, why in unusable.items())}"
            )
        self._describe_choices(options, item, unusable)

    def _stack_numbers(self, options: OpenOptions) -> None:
        """Stack parts of one number each as features, if there are no arrays."""
        weight = options.weights or (first_named(self._names, WEIGHTS) if options.weights is None else None)
        kept = {self._label, match(weight, self._names) if weight else None}
        parts = {name: field for name, field in self.spec.items() if name not in kept and isinstance(field, Field)}
        if parts and all(not field.shape and field.dtype.kind in "biuf" for field in parts.values()) and self._label != "x":
            self._features = self.feature_names = tuple(parts)
            features = Field((len(parts),), np.result_type(*(field.dtype for field in parts.values())))
            self.spec = {"x": features} | {name: field for name, field in self.spec.items() if name in kept}
            self._parts = parts

    def _describe_choices(self, options: OpenOptions, item: Any, unusable: Mapping[str, str]) -> None:
        """Record the choices made."""
        if options.fields is None:
            labels = [name for name in unusable if plain(name) in LABELS]
            self.left_out = {
                f"{name}: {why}{'; pass labels=[one number or text per row]' if name in labels else ''}": 1
                for name, why in unusable.items()
            }
        choices = []
        if self.feature_names is not None:
            choices.append(Choice(f"x: {', '.join(self.feature_names)} as one row of features", "fields="))
        if isinstance(item, tuple | list) and not hasattr(item, "_fields") and len(self._names) != 2:
            choices.append(Choice(f"the parts of an item are named {', '.join(self._names)}, in order", "fields="))
        if self._label is not None and options.labels is None:
            choices.append(Choice(f"labels: {self._label!r} of each item", "labels="))
        field = self.spec.get(self._label or "")
        names = getattr(self._dataset, "classes", None)
        whole = isinstance(field, Field) and not field.shape and field.dtype.kind in "iu"
        if whole and isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            self.classes = tuple(names)
            choices.append(Choice(f"classes: as in {type(self._dataset).__name__}.classes", "labels="))
        weight = options.weights or (first_named(self._names, WEIGHTS) if options.weights is None else None)
        if weight is not None:
            stored_name = match(weight, self._names)
            weights = self.spec.get(stored_name or "")
            if not isinstance(weights, Field) or weights.shape or weights.dtype.kind != "f":
                seen = "none" if weights is None else str(weights)
                raise BadSetting(
                    f"the weights {weight!r} of {type(self._dataset).__name__} must be one float per item, but are {seen}: items have "
                    f'{", ".join(self._names)}; weights="" disables weights'
                )
            self.weight_name = stored_name
            choices.append(Choice(f"sample weights: {stored_name!r} of each item", 'weights=""'))
        self.choices = tuple(choices)

    @property
    def label_name(self) -> str | None:
        """Name of the part with the labels."""
        return self._label

    def __len__(self) -> int:
        return len(self._dataset)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read items of the dataset."""
        failed: dict[int, Exception] = {}
        for i, row in enumerate(rows.tolist()):
            try:
                self._read_one(row, i, into)
            except BadFile as error:
                failed[i] = error
        raise_bad(failed)

    def _read_one(self, row: int, i: int, into: Into) -> None:
        try:
            item, _ = _fields(self._dataset[row])
        except Exception as error:  # the user's code
            raise BadFile(f"{self.describe(row)}: {type(error).__name__}: {error}") from error
        for name, stored_name in self._names.items():
            feature = name in self._parts
            if ("x" if feature else name) not in into:
                continue
            value, field = item.get(stored_name), self._parts[name] if feature else self.spec[name]
            assert isinstance(field, Field)
            if value is None or value.shape != field.shape or value.dtype != field.dtype:
                seen = "missing" if value is None else f"{value.shape} {value.dtype}"
                raise BadFile(
                    f"{self.describe(row)}: {stored_name!r} is {seen}, but in item 0 it is {field}: all items must have the same shape and dtype (give the "
                    "dataset a transform that resizes, or open its folder with bs.open and resize in the loader)"
                )
            if feature:
                into["x"][i, self._features.index(name)] = value
            else:
                into[name][i] = value

    def describe(self, row: int) -> str:
        """Return the name of the dataset and the item."""
        return f"{type(self._dataset).__name__}[{row}]"

    def _identity(self) -> bytes:
        return repr((type(self._dataset).__qualname__, len(self))).encode()

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is a dataset of PyTorch."""
        return any(
            kind.__module__ == "torch.utils.data.dataset" and kind.__name__ == "Dataset" for kind in type(data).__mro__
        )

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open a dataset; its first item defines the fields."""
        package = type(data).__module__.partition(".")[0]
        if package in ("keras", "tensorflow") or any(kind.__module__.startswith("keras.") for kind in type(data).__mro__):
            raise BadSetting(f"a {type(data).__name__} of Keras returns batches, not rows: open the data that it reads")
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise BadSetting(
                f"{type(data).__name__} has no items by number, or no length: a map-style dataset is needed, which has both"
            )
        return cls(data, options)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make a dataset of four numbers and a class."""
        return cls.opened(_Example(rows), OpenOptions(mode="RGB"))


def _fields(item: Any) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the numeric parts of an item as arrays by field name, and descriptions of other parts."""
    if isinstance(item, Mapping):
        parts = {str(name): value for name, value in item.items()}
    elif isinstance(item, tuple) and hasattr(item, "_fields"):  # a named tuple
        parts = {str(name): value for name, value in zip(item._fields, item, strict=True)}
    elif isinstance(item, tuple | list):
        parts = dict(zip(("x", "y", *map(str, range(2, len(item)))), item, strict=False))
    else:
        parts = {"x": item}
    arrays, refused = {}, {}
    for name, value in parts.items():
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            array = np.empty(0, object)
        if array.dtype.kind in "biufcmM":
            arrays[name] = array
        else:
            refused[name] = "text" if array.dtype.kind in "US" else f"{type(value).__name__}, not an array of numbers"
    if not arrays or (not isinstance(item, Mapping) and "x" in refused):
        name = next(iter(refused))
        raise TypeError(f"{name!r} is {refused[name]}: items must be numbers, arrays or tensors of them")
    return arrays, refused


class _Example:
    """Four numbers and a class per item."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> tuple[NDArray[np.float32], int]:
        return np.arange(4, dtype=np.float32) + row, row % 2
