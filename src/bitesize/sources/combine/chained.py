"""Concatenated sources of the same fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, BadSetting, first_few
from bitesize.files.names import common_folder
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.wrapper import left_out_of
from bitesize.sources.protocol import ChunkStarts, Into, Located, raise_bad
from bitesize.sources.sinks import portion
from bitesize.storage.url import is_url


def chain(sources: Sequence[Source]) -> Source:
    """Concatenate sources: the rows of the first, then of the second, and so on.

    Parameters
    ----------
    sources
        Two or more sources with the same fields and the same classes.

    Returns
    -------
    Source
        The rows of all sources.

    Raises
    ------
    BadSetting
        If the sources differ in fields or classes.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> len(bs.chain([bs.open(np.zeros(900)), bs.open(np.ones(100))]))
    1000
    """
    sources = list(sources) if isinstance(sources, Iterable) else []
    check_alike(sources, "chain")
    return Chained(sources)


def check_alike(sources: Sequence[Source], action: str) -> None:
    """Raise `BadSetting` unless there are two or more sources with the same fields and classes."""
    if len(sources) < 2 or not all(isinstance(source, Source) for source in sources):
        raise BadSetting(f"{action} needs a list of two or more sources, as returned by bs.open(...)")
    first = sources[0]
    columns = next((source.feature_names for source in sources if source.feature_names), None)
    for i, other in enumerate(sources[1:], 1):
        if dict(other.spec) != dict(first.spec):
            raise BadSetting(
                f"sources to {action} must have the same fields: source 0 has {_described(first)}, source {i} has {_described(other)}"
            )
        if other.label_name != first.label_name:
            raise BadSetting(
                f"sources to {action} must have their labels in the same field: source 0 has {first.label_name!r}, source {i} {other.label_name!r}"
            )
        if columns and other.feature_names and other.feature_names != columns:
            raise BadSetting(
                f"sources to {action} must have the same columns in x: one source has {first_few(columns, 10)}, source {i} has "
                f"{first_few(other.feature_names, 10)}. fields= of bs.open sets the columns of x and their order"
            )
        if _several(other) != _several(first):
            raise BadSetting(
                f"sources to {action} must have the same targets: source 0 has {first.target_names}, source {i} {other.target_names}. "
                "labels= of bs.open sets their order"
            )
        if other.classes_of != first.classes_of:
            raise BadSetting(
                f"sources to {action} must have the same classes: source 0 has {dict(first.classes_of)}, source {i} {dict(other.classes_of)}"
            )
        if other.classes != first.classes:
            raise BadSetting(
                f"sources to {action} must have the same classes: source 0 has {first.classes}, source {i} {other.classes}. "
                "source.renumber(classes) numbers the classes of a source according to another list of names"
            )


def _several(source: Source) -> tuple[str, ...] | None:
    """Return the names of several targets, whose order matters; None for one target, which may have another name elsewhere."""
    return source.target_names if source.target_names and len(source.target_names) > 1 else None


def _described(source: Source) -> str:
    return ", ".join(f"{name}: {field}" for name, field in source.spec.items())


class Chained(Source):
    """Rows of several concatenated sources."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        first = parts[0]
        self.spec, self.classes, self.classes_of = first.spec, first.classes, first.classes_of
        self.layout = first.layout if all(part.layout == first.layout for part in parts) else ""
        self.feature_names = next((part.feature_names for part in parts if part.feature_names), None)
        self.target_names = first.target_names if len({part.target_names for part in parts}) == 1 else None
        self.choices = tuple(dict.fromkeys(choice for part in parts for choice in part.choices))
        self._name_weights(parts)
        self.paths_root = common_folder([part.paths_root for part in parts])
        self.reads_files = any(part.reads_files for part in parts)
        self.checks_files = all(part.checks_files for part in parts)
        self.left_out = left_out_of(parts)

    def _name_weights(self, parts: Sequence[Source]) -> None:
        """Set the weight field, given sources of the same fields."""
        names = list(dict.fromkeys(part.weight_name for part in parts if part.weight_name is not None))
        self.weight_name = names[0] if len(names) == 1 else None
        if len(names) > 1:
            choice = Choice(
                f"no sample weights: sources name different fields ({', '.join(names)})", "weights= of the output"
            )
            self.choices = (*self.choices, choice)
        elif names and any(part.weight_name is None for part in parts):
            choice = Choice(
                f"sample weights: the field {names[0]!r}, also for sources in which it is not a weight field",
                "weights= of the output",
            )
            self.choices = (*self.choices, choice)

    @property
    def derived_from(self) -> tuple[Source, ...]:
        """The concatenated sources."""
        return self._parts

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read each range of rows that belongs to one source."""
        failed: dict[int, Exception] = {}
        for part, own, start in self._stretches(rows):
            try:
                part.read(own, portion(into, start, len(own)))
            except BadRows as error:
                failed |= {start + i: cause for i, cause in error.causes.items()}
        raise_bad(failed)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the locations of rows, if all sources can locate them in files of the same header."""
        if any(part.primary != self.primary for part in self._parts):  # they list the same fields in another order
            return None
        paths: list[bytes] = []
        which, offsets = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        header: bytes | None = None
        numbers = self._numbers(rows)
        for i, part in enumerate(self._parts):
            mine = np.flatnonzero(numbers == i)
            if not mine.size:
                continue
            located = part.locate(rows[mine] - self._begin(i))
            if located is None or located.in_memory or (header is not None and located.header != header):
                return None
            if paths and located.is_remote != is_url(paths[0]):
                return None
            header = located.header
            which[mine] = located.which + len(paths)
            offsets[mine] = located.offsets
            paths += located.paths
        return Located(paths, which, offsets, header or b"")

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of each range of rows that belongs to one source."""
        for part, own, start in self._stretches(rows):
            part.read_other_fields(own, portion(into, start, len(own)))

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """Return the versions of each range of rows that belongs to one source, or None if one source has none."""
        versions = [part.row_versions(own) for part, own, _ in self._stretches(rows)]
        return None if any(each is None for each in versions) else np.concatenate(versions)  # type: ignore[arg-type]

    def chunks(self) -> ChunkStarts | None:
        """Return the chunks of all sources, or None unless every source has chunks."""
        chunks = [found for part in self._parts if (found := part.chunks()) is not None]
        if len(chunks) < len(self._parts):
            return None
        starts = [each.starts[:-1] + self._begin(i) for i, each in enumerate(chunks)]
        nbytes = [each.nbytes for each in chunks if each.nbytes is not None]
        known = np.concatenate(nbytes) if len(nbytes) == len(chunks) else None
        groups, streams = None, [each.streams for each in chunks if each.streams is not None]
        if any(each.groups is not None for each in chunks):
            firsts = (each.starts[:-1] if each.groups is None else each.groups for each in chunks)
            groups = np.concatenate([rows + self._begin(i) for i, rows in enumerate(firsts)])
        return ChunkStarts(np.append(np.concatenate(starts), len(self)), known, groups, min(streams, default=None))

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether any source is read by chunk and all sources have chunks."""
        return any(part.reads_by_chunk for part in self._parts) and self.chunks() is not None

    def scratch(self, rows: int) -> int:
        """Return the maximum over all sources."""
        return max(part.scratch(rows) for part in self._parts)

    @property
    def nbytes(self) -> int:
        """Total bytes of all sources."""
        return sum(part.nbytes for part in self._parts)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class numbers of all rows."""
        labels = [part.labels for part in self._parts]
        return None if any(each is None for each in labels) else np.concatenate(labels)  # type: ignore[arg-type]

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return self._parts[0].label_name

    @property
    def class_count(self) -> int | None:
        """Number of classes of all sources."""
        counts = [part.class_count for part in self._parts]
        return None if any(count is None for count in counts) else max(counts)  # type: ignore[type-var]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns that all sources have."""
        return tuple(name for name in self._parts[0].column_names if all(name in part.column_names for part in self._parts))

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of all sources."""
        return np.concatenate([part.column(name) for part in self._parts])

    def describe(self, row: int) -> str:
        """Return the name of a row in its source."""
        i = int(self._numbers(np.array([row]))[0])
        return self._parts[i].describe(row - self._begin(i))

    def path(self, row: int) -> bytes | None:
        """Return the path of a row in its source."""
        i = int(self._numbers(np.array([row]))[0])
        return self._parts[i].path(row - self._begin(i))

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return the paths of a row in its source."""
        i = int(self._numbers(np.array([row]))[0])
        return self._parts[i].paths(row - self._begin(i))

    def _identity(self) -> bytes:
        return "\0".join(part.fingerprint() for part in self._parts).encode()

    def check_unchanged(self) -> None:
        """Check all sources."""
        for source in self._parts:
            source.check_unchanged()

    def close(self) -> None:
        """Close all sources."""
        for part in self._parts:
            part.close()

    def _begin(self, i: int) -> int:
        return int(self._ends[i]) - len(self._parts[i])

    def _numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the source of each row."""
        return np.searchsorted(self._ends, rows, side="right").astype(np.int64)

    def _stretches(self, rows: NDArray[np.int64]) -> Iterator[tuple[Source, NDArray[np.int64], int]]:
        """Yield the source, its own row numbers, and the start position for each range of rows of one source."""
        numbers = self._numbers(rows)
        starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
        for start, stop in pairwise(starts):
            if start < stop:
                i = int(numbers[start])
                yield self._parts[i], rows[start:stop] - self._begin(i), start
