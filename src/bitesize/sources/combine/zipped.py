"""The fields of several sources in one row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, BadSetting
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.wrapper import left_out_of
from bitesize.sources.protocol import ChunkStarts, Into, Located, raise_bad
from bitesize.spec import Encoded, Field


def zip(*sources: Source, **named: Source) -> Source:  # noqa: A001 - reads as bs.zip
    """Combine the fields of several sources: row i of the result has the fields of row i of each source.

    Parameters
    ----------
    *sources
        Sources with the same number of rows and different field names.
    **named
        Named sources: the name renames the field of a source with one field, and prefixes (with ``_``) the fields of others.

    Returns
    -------
    Source
        Rows with the fields of all sources.

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
        self.spec = {name: source.spec[inner_name] for own, source in parts for name, inner_name in own.items()}
        known = {
            name: source for own, source in parts for name, inner_name in own.items() if inner_name == source.label_name
        }
        # If two sources have labels, only the usual name decides between them.
        self._label = "y" if "y" in known else next(iter(known)) if len(known) == 1 else None
        self._labeled = known[self._label] if self._label else None
        unclear = {name: source.classes for name, source in known.items() if name != self._label and source.classes}
        self.classes = None if self._labeled is None else self._labeled.classes
        self.target_names = None if self._labeled is None else self._labeled.target_names
        self.classes_of = unclear | {
            name: source.classes_of[inner_name]
            for own, source in parts
            for name, inner_name in own.items()
            if inner_name in source.classes_of
        }
        weights = [name for own, source in parts for name, inner_name in own.items() if inner_name == source.weight_name]
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
        self.paths_root, self.checks_files = self._primary_part[1].paths_root, self._primary_part[1].checks_files

    @property
    def _primary_part(self) -> tuple[dict[str, str], Source]:
        return next(part for part in self._parts if self.primary in part[0])

    @property
    def derived_from(self) -> tuple[Source, ...]:
        """The sources, in the order given."""
        return tuple(source for _, source in self._parts)

    def __len__(self) -> int:
        return len(self._parts[0][1])

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the rows of each source."""
        failed: dict[int, Exception] = {}
        for own, source in self._parts:
            wanted = {inner_name: into[name] for name, inner_name in own.items() if name in into}
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
            wanted = {inner_name: into[name] for name, inner_name in own.items() if name in into}
            if source.primary in wanted:
                source.read(rows, wanted)
            elif wanted:
                source.read_other_fields(rows, wanted)

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """Return the versions of the sources with encoded fields, combined; None if one of them has none."""
        combined = np.zeros(len(rows), np.uint64)
        for own, source in self._parts:
            if any(isinstance(self.spec[name], Encoded) for name in own):
                versions = source.row_versions(rows)
                if versions is None:
                    return None
                combined = combined * np.uint64(3) + versions
        return combined

    def scratch(self, rows: int) -> int:
        """Return the bytes that the sources need; they are read one after another."""
        return max(source.scratch(rows) for _, source in self._parts)

    def chunks(self) -> ChunkStarts | None:
        """Return the chunks of the only source that has chunks; None if several have."""
        chunks = [source.chunks() for _, source in self._parts]
        known = [each for each in chunks if each is not None]
        encoded = any(not isinstance(field, Field) for field in self.spec.values())
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

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return the paths of a row in all sources."""
        return tuple(path for _, source in self._parts for path in source.paths(row))

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
