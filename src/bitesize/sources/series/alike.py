"""Recordings are made alike where nothing is lost: the order of their columns, their dtypes, and the numbers of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, first_few
from bitesize.files.scan import natural_key
from bitesize.memory.sizes import counted
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.features import SelectedFeatures
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into, Located
from bitesize.spec import Field


class CastFields(SourceWrapper):
    """A source whose numbers are read in other dtypes.

    Parameters
    ----------
    base
        The source.
    dtypes
        Dtype of some of its fields.
    """

    def __init__(self, base: Source, dtypes: Mapping[str, np.dtype[Any]]) -> None:
        super().__init__(base)
        self._stored = {name: field for name in dtypes if isinstance(field := base.spec[name], Field)}
        cast = {name: Field(field.shape, dtypes[name], axes=field.axes) for name, field in self._stored.items()}
        self.spec = {name: cast.get(name, field) for name, field in base.spec.items()}

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base, and cast them."""
        stored = {
            name: np.empty((len(rows), *field.shape), field.dtype) for name, field in self._stored.items() if name in into
        }
        try:
            self.base.read(rows, {**into, **stored})
        finally:
            for name, values in stored.items():
                into[name][...] = values

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return None: rows are not stored in this dtype."""
        return None

    def scratch(self, rows: int) -> int:
        """Return the bytes for the base, and for the values before they are cast."""
        return super().scratch(rows) + rows * sum(field.nbytes for field in self._stored.values())

    def _identity(self) -> bytes:
        return super()._identity() + repr({name: str(field) for name, field in self.spec.items()}).encode()


def alike(parts: Sequence[Source], names: Sequence[str]) -> tuple[list[Source], list[Choice]]:
    """Return recordings with the columns, dtypes and classes that all of them share, and what was decided.

    Raises
    ------
    BadSetting
        If they have other columns or fields.
    """
    choices: list[Choice] = []
    found = _in_order(parts, names, choices)
    found = _of_one_dtype(found, choices)
    for part, name in zip(found, names, strict=True):
        if dict(part.spec) != dict(found[0].spec):
            raise BadSetting(
                f"recordings must have the same fields: {names[0]} is {found[0]!r}, {name} is {part!r}. fields= selects those that all have"
            )
    return _of_one_list_of_classes(found), choices


def _in_order(parts: Sequence[Source], names: Sequence[str], choices: list[Choice]) -> list[Source]:
    """Return the parts with columns in the order of the first part."""
    wanted = parts[0].feature_names
    if wanted is None or all(part.feature_names == wanted for part in parts):
        return list(parts)
    found = []
    for part, name in zip(parts, names, strict=True):
        there = part.feature_names
        if there is None or sorted(there) != sorted(wanted):
            others = [each for each in there or () if each not in wanted]
            lost = [each for each in wanted if each not in (there or ())]
            ways = [first_few(others, 10)] if others else []
            ways += [f"no {first_few(lost, 10)}"] if lost else []
            raise BadSetting(
                f"recordings must have the same columns: {names[0]} has {first_few(wanted, 20)}, but {name} has {' and '.join(ways)}. "
                "fields= selects those that all have"
            )
        found.append(part if there == wanted else SelectedFeatures(part, wanted))
    changed = sum(part.feature_names != wanted for part in parts)
    choices.append(
        Choice(
            f"x: columns by name, as in {names[0]}; {counted(changed, 'recording has', 'recordings have')} another order",
            "fields=",
        )
    )
    return found


def _of_one_dtype(parts: list[Source], choices: list[Choice]) -> list[Source]:
    """Return the parts with numbers of a dtype that holds those of all of them."""
    dtypes: dict[str, np.dtype[Any]] = {}
    for name, field in parts[0].spec.items():
        others = [part.spec.get(name) for part in parts]
        if name in (parts[0].label_name, parts[0].weight_name):
            continue
        fields = [
            each for each in others if isinstance(each, Field) and isinstance(field, Field) and each.shape == field.shape
        ]
        kinds = {each.dtype for each in fields}
        if len(fields) == len(parts) and len(kinds) > 1 and all(kind.kind in "iuf" for kind in kinds):
            dtypes[name] = np.result_type(*kinds)
            there = " and ".join(sorted(map(str, kinds)))
            choices.append(Choice(f"{name}: read as {dtypes[name]}, because recordings have {there}", ""))
    if not dtypes:
        return parts
    return [part if all(part.spec[n].dtype == d for n, d in dtypes.items()) else CastFields(part, dtypes) for part in parts]


def _of_one_list_of_classes(parts: list[Source]) -> list[Source]:
    """Return the parts with classes of steps numbered by one list of names."""
    each = [part.classes for part in parts]
    known = [classes for classes in each if classes is not None]
    if len(known) < len(parts) or all(classes == known[0] for classes in known):
        return parts
    names = sorted({name for classes in known for name in classes}, key=lambda name: natural_key(name.encode()))
    return [part.renumber(names) for part in parts]
