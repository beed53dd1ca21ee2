"""How rows lie in HDF5 where each is a group, or a whole file: which datasets are its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bitesize.errors import BadFile, BadSetting
from bitesize.files.scan import natural_key
from bitesize.lazy.parts import MEMBER
from bitesize.sources.base import Asked
from bitesize.sources.choices import Choice
from bitesize.sources.column import Column, Refused
from bitesize.sources.columns import label_of, wanted_fields
from bitesize.sources.hdf5_file import Hdf5File, columns_of
from bitesize.sources.splits import split_in
from bitesize.spec import Field

# What HDF5 keeps for a dataset that is opened for a moment: its usual cache of chunks.
_CACHE = 1 << 20
# Up to so many groups all are looked at before they are taken for rows; of more, so many of them.
_LOOKED_AT = 200
# Up to so many groups whose names have no numbers are taken for fields side by side, such as ``left`` and ``right``.
_FEW = 3


class Layout(NamedTuple):
    """What a group is made of, where it is one row.

    Attributes
    ----------
    fields : dict of str to str
        Names of fields, and of their datasets below the group.
    spec : dict of str to Field
    left_out : dict of str to int
        Datasets that are no fields, with the reason.
    scratch : int
        Bytes that reading one row takes.
    texts : frozenset of str
        Fields that are text, and become class numbers.
    unbounded : tuple of Choice
        Fields whose chunks HDF5 itself reads.
    """

    fields: dict[str, str]
    spec: dict[str, Field]
    left_out: dict[str, int]
    scratch: int
    texts: frozenset[str]
    unbounded: tuple[Choice, ...]


def layout_of(group: Any, file: Hdf5File, prefix: str, asked: Asked, where: str) -> Layout:
    """Find the fields of a row in the group that it is.

    Raises
    ------
    BadSetting
        If a field is asked for that is not there, or cannot be one.
    BadFile
        If the group has no arrays of numbers.
    """
    columns = dict(columns_of(group, file, prefix))
    wanted = wanted_fields(asked, columns)
    label = label_of(wanted, asked)
    if label is not None:
        wanted.setdefault(label, label)
    fields, spec, left_out, texts = dict[str, str](), dict[str, Field](), dict[str, int](), set[str]()
    for name, there in wanted.items():
        if there not in columns:
            raise BadSetting(f"{where} has no {there!r}: it has {', '.join(columns) or 'nothing'}")
        column = columns[there]
        text = column.dtype.kind in "OST" and not column.shape
        why = _unfit(column, name == label and text)
        if why is not None and (asked.fields is not None or name == asked.labels):
            raise BadSetting(f"{there!r} of {where} cannot be a field: it is {why}")
        if why is not None:
            left_out[f"{there}: {why}"] = 1
            continue
        fields[name] = there
        spec[name] = Field((), np.dtype(np.int64)) if text else Field(column.shape, column.dtype.newbyteorder("="))
        if text:
            texts.add(name)
    if not fields:
        seen = ", ".join(f"{name} {column.shape} {column.dtype}" for name, column in columns.items())
        raise BadFile(f"{where} holds no arrays of numbers: it has {seen or 'nothing'}")
    chosen = {name: columns[there] for name, there in fields.items()}
    scratch = sum(
        _CACHE + column.nbytes + column.scratch(column.shape[0] if column.shape else 1) for column in chosen.values()
    )
    unbounded = tuple(Choice(f"{name}: {column.unbounded}", "") for name, column in chosen.items() if column.unbounded)
    return Layout(fields, spec, left_out, scratch, frozenset(texts), unbounded)


def _unfit(column: Column, is_label: bool) -> str | None:
    if isinstance(column, Refused):
        return column.why
    if column.dtype.kind in "OUST":
        return None if is_label else "text, or objects, and no label of one value"
    return None if column.dtype.kind in "biufcmM" else f"of type {column.dtype}"


def groups_of_rows(group: Any, asked: Asked) -> list[str] | None:
    """Return the names of the groups in a group, in natural order, where each is one row: all alike, and numbered, or more than a few.

    Raises
    ------
    BadFile
        If they have the same datasets of different shapes.
    """
    import h5py

    names = sorted(group, key=lambda name: natural_key(name.encode()))
    numbered = all(any(letter.isdigit() for letter in name) for name in names)
    if len(names) < 2 or (len(names) <= _FEW and not numbered) or all(split_in(name) for name in names):
        return None
    chosen = (
        names if len(names) <= _LOOKED_AT else [names[i] for i in np.linspace(0, len(names) - 1, _LOOKED_AT).astype(int)]
    )
    first: Mapping[str, Any] | None = None
    for name in chosen:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink) or not isinstance(
            found := group.get(name), h5py.Group
        ):
            return None
        shapes = _shapes(found)
        if first is None:
            first = shapes
        if not shapes or {*shapes} != {*first} or _many_rows(shapes):
            return None
        if asked.fields is not None and not {*wanted_fields(asked, first).values()} <= {*first}:
            return None
        if shapes != first and asked.fields is None:
            there = next(there for there in shapes if shapes[there] != first[there])
            raise BadFile(
                f"{group.file.filename}: the groups {names[0]} and {name} have the same datasets of different shapes ({there}: {first[there][0]} and "
                f'{shapes[there][0]}): open one, bs.open("{group.file.filename}{MEMBER}{name}"), join several with bs.chain, or save them in one shape'
            )
    return names


def _shapes(group: Any) -> dict[str, tuple[Any, Any]]:
    """Return shape and dtype of the datasets in a group, and below it."""
    import h5py

    found: dict[str, tuple[Any, Any]] = {}

    def look(name: str, each: Any) -> None:
        """Note a dataset."""
        if isinstance(each, h5py.Dataset):
            found[name] = (each.shape, each.dtype)

    group.visititems(look)
    return found


def _many_rows(shapes: Mapping[str, tuple[Any, Any]]) -> bool:
    """Return whether labels of several rows lie beside what they label."""
    label = label_of(shapes, Asked())
    if label is None or len(shapes[label][0] or ()) != 1:
        return False
    rows = shapes[label][0][0]
    return rows > 1 and any(shape and shape[0] == rows for name, (shape, _) in shapes.items() if name != label)
