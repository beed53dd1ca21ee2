"""Sources with additional or replaced fields, and the fields of several sources in one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, BadSetting
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.labels import label_field
from bitesize.sources.rows import ChunkStarts, Into, Located, raise_bad
from bitesize.sources.wrapper import SourceWrapper, left_out_of
from bitesize.spec import Field


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
        x = base.spec[base.primary]
        own = {name: label_field(array, x) for name, array in self._arrays.items()}
        self.spec = {name: own.get(name, what) for name, what in {**base.spec, **own}.items()}

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base, and copy values of the arrays."""
        try:
            self.base.read(rows, {name: there for name, there in into.items() if name not in self._arrays})
        finally:
            self._put(rows, into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the base."""
        return None if self.primary in self._arrays or self.primary != self.base.primary else self.base.locate(rows)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of the base, and copy values of the arrays."""
        self.base.read_other_fields(rows, {name: there for name, there in into.items() if name not in self._arrays})
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


def zip(*sources: Source, **named: Source) -> Source:  # noqa: A001 - reads as bs.zip
    """Combine the fields of several sources: row i of the result has the fields of row i of each source.

    Parameters
    ----------
    *sources
        Sources with the same number of rows and different field names.
    **named
        Named sources: the name renames the field of a source with one field, and prefixes (with ``_``) the fields of others.

    Raises
    ------
    BadSetting
        If the numbers of rows differ, or fields have the same name.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> pairs = bs.zip(left=bs.open(np.zeros((9, 4))), right=bs.open(np.ones((9, 4))))
    >>> sorted(pairs.spec)
    ['left', 'right']
    """
    odd = [each for each in (*sources, *named.values()) if not isinstance(each, Source)]
    if odd:
        raise BadSetting(f"zip needs sources, as returned by bs.open(...), not {odd[0]!r:.100}")
    parts = [({name: name for name in source.spec}, source) for source in sources]
    for prefix, source in named.items():
        alone = len(source.spec) == 1
        parts.append(({prefix if alone else f"{prefix}_{name}": name for name in source.spec}, source))
    if len(parts) < 2:
        raise BadSetting("zip needs two or more sources")
    lengths = [len(source) for _, source in parts]
    if len(set(lengths)) > 1:
        raise BadSetting(f"sources to zip must have the same number of rows: they have {', '.join(map(str, lengths))}")
    names = [name for own, _ in parts for name in own]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadSetting(
            f"two sources have a field {twice[0]!r}: name the sources, zip(left=a, right=b), to distinguish their fields"
        )
    return Zipped(parts)


class Zipped(Source):
    """Rows with the fields of several sources.

    Parameters
    ----------
    parts
        For each source its fields: ``{name here: name in the source}``.
    """

    def __init__(self, parts: list[tuple[dict[str, str], Source]]) -> None:
        self._parts = parts
        self.spec = {here: source.spec[there] for own, source in parts for here, there in own.items()}
        known = {here: source for own, source in parts for here, there in own.items() if there == source.label_name}
        # If two sources have labels, only the usual name decides between them.
        self._label = "y" if "y" in known else next(iter(known)) if len(known) == 1 else None
        self._labeled = known[self._label] if self._label else None
        unclear = {here: source.classes for here, source in known.items() if here != self._label and source.classes}
        self.classes = None if self._labeled is None else self._labeled.classes
        self.classes_of = unclear | {
            here: source.classes_of[there]
            for own, source in parts
            for here, there in own.items()
            if there in source.classes_of
        }
        weights = [here for own, source in parts for here, there in own.items() if there == source.weight_name]
        self.weight_name = weights[0] if len(weights) == 1 else None
        features = [source.feature_names for own, source in parts if own.get("x") == "x" and source.feature_names]
        self.feature_names = features[0] if features else None
        self.layout = parts[0][1].layout if len(parts) == 1 else ""
        self.choices = tuple(dict.fromkeys(choice for _, source in parts for choice in source.choices))
        if len(weights) > 1:
            unclear_weights = Choice(
                f"no sample weights: several sources have weights ({', '.join(weights)})", "weights= of the output"
            )
            self.choices = (*self.choices, unclear_weights)
        self.reads_files = any(source.reads_files for _, source in parts)
        self.left_out = left_out_of([source for _, source in parts])
        self.paths_root = self._primary_part[1].paths_root

    @property
    def _primary_part(self) -> tuple[dict[str, str], Source]:
        return next(part for part in self._parts if self.primary in part[0])

    def __len__(self) -> int:
        return len(self._parts[0][1])

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the rows of each source."""
        failed: dict[int, Exception] = {}
        for own, source in self._parts:
            wanted = {there: into[here] for here, there in own.items() if here in into}
            if wanted:
                try:
                    source.read(rows, wanted)
                except BadRows as error:
                    failed = error.causes | failed
        raise_bad(failed)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the source that has `primary`."""
        own, source = self._primary_part
        return source.locate(rows) if own[self.primary] == source.primary else None

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields."""
        for own, source in self._parts:
            wanted = {there: into[here] for here, there in own.items() if here in into}
            if source.primary in wanted:
                source.read(rows, wanted)
            elif wanted:
                source.read_other_fields(rows, wanted)

    def scratch(self, rows: int) -> int:
        """Return the bytes that the sources need; they are read one after another."""
        return max(source.scratch(rows) for _, source in self._parts)

    def chunks(self) -> ChunkStarts | None:
        """Return the chunks of the only source that has chunks; None if several have."""
        chunks = [source.chunks() for _, source in self._parts]
        known = [each for each in chunks if each is not None]
        encoded = any(not isinstance(what, Field) for what in self.spec.values())
        return known[0] if len(known) == 1 and (len(chunks) == 1 or not encoded) else None

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether the only source with chunks is read by chunk."""
        return self.chunks() is not None and any(source.reads_by_chunk for _, source in self._parts)

    @property
    def nbytes(self) -> int:
        """Bytes of all sources."""
        return sum(source.nbytes for _, source in self._parts)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class numbers of the source that provides the labels."""
        return None if self._labeled is None else self._labeled.labels

    @property
    def class_count(self) -> int | None:
        """Number of classes of the source that provides the labels."""
        return None if self._labeled is None else self._labeled.class_count

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels: ``y``, or the only labels of any source."""
        return self._label

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the fields, and of columns of the sources that are not fields."""
        others = [name for own, source in self._parts for name in source.column_names if name not in own.values()]
        return tuple(dict.fromkeys((*self.spec, *others)))

    def column(self, name: str) -> NDArray[Any]:
        """Read a column of the source that has it."""
        own = next((part for part in self._parts if name in part[0]), None)
        if own is not None:
            return own[1].column(own[0][name])
        other = next((source for _, source in self._parts if name in source.column_names), None)
        return super().column(name) if other is None else other.column(name)

    def describe(self, row: int) -> str:
        """Return the name of a row in the sources."""
        return ", ".join(source.describe(row) for _, source in self._parts)

    def path(self, row: int) -> bytes | None:
        """Return the path of a row in the source with `primary`."""
        return self._primary_part[1].path(row)

    def _identity(self) -> bytes:
        return "\0".join(f"{sorted(own.items())} {source.fingerprint()}" for own, source in self._parts).encode()

    def check_unchanged(self) -> None:
        """Check all sources."""
        for source in (source for _, source in self._parts):
            source.check_unchanged()

    def close(self) -> None:
        """Close all sources."""
        for _, source in self._parts:
            source.close()
