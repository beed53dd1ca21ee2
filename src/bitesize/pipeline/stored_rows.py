"""Rows that a cache on disk keeps in their stored form: of data at addresses, so that each is requested once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from bitesize.errors import BadRows, BadSetting
from bitesize.files.state import FileState, checked_states
from bitesize.packed.cache_settings import Cache
from bitesize.packed.fields import ShardField
from bitesize.packed.row_cache import RowCache
from bitesize.pipeline.cached_rows import CachedRows
from bitesize.pipeline.caching import CachePlan, root_of, unread_fields
from bitesize.pipeline.stages import TransformStages
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import EncodedInto, Into, Located, raise_bad
from bitesize.sources.row_source import RowSource
from bitesize.sources.sinks import EncodedSink, new_buffers, portion
from bitesize.spec import Encoded, Field
from bitesize.storage.url import is_url

# Number of rows whose size is looked at to estimate the bytes of all rows.
_SAMPLED = 16


def keeps_stored(source: Source, cache: Cache) -> bool:
    """Return whether a cache keeps rows in their stored form: by its setting, or for data at addresses if values must be exact."""
    return cache.kind == "bytes" or (cache.kind == "exact" and cache.max_side is None and is_remote(source))


def is_remote(source: RowSource) -> bool:
    """Return whether files of a source are at addresses: of any of the sources that it joins, and of any of a few rows."""
    if source.derived_from:
        return any(map(is_remote, source.derived_from))
    rows = np.unique(np.linspace(0, len(source) - 1, min(_SAMPLED, len(source))).astype(np.int64))
    paths = [path for row in rows.tolist() for path in source.paths(row)]
    return any(map(is_url, paths or [path for path, _ in checked_states(source.check_unchanged)]))


def plan_stored(source: Source, stages: TransformStages, cache: Cache) -> CachePlan | str:
    """Decide what a cache holds of rows in their stored form, or return why it would hold nothing.

    Raises
    ------
    BadSetting
        If ``max_side`` is set: it changes images after they are decoded.
    """
    if cache.max_side is not None:
        raise BadSetting('Cache: max_side= reduces decoded images, and kind="bytes" keeps them encoded: use kind="exact"')
    root = root_of(source)
    if root.row_versions(np.zeros(1, np.int64)) is None and not _version_of_all(root):
        return "its rows have no files whose changes could be noticed"
    names = [name for name, field in source.spec.items() if isinstance(field, Encoded) or name == source.primary]
    names += [name for name in unread_fields(root) if name not in names]
    spec = {name: source.spec[name] for name in names}
    fields = {
        name: ShardField("blob") if isinstance(field, Encoded) else ShardField("fixed", field.shape, field.dtype)
        for name, field in spec.items()
    }
    nbytes = sum(_mean_nbytes(source, name) for name in names) + 16
    return CachePlan("stored", (), stages, spec, fields, None, nbytes, 1.0)


def _mean_nbytes(source: Source, name: str) -> int:
    """Return the mean bytes of a field of some rows, as stored."""
    field = source.spec[name]
    if isinstance(field, Field):
        return field.nbytes
    rows = np.unique(np.linspace(0, len(source) - 1, min(_SAMPLED, len(source))).astype(np.int64))
    files = [source.paths(row) for row in rows.tolist()]
    encoded = sum(isinstance(field, Encoded) for field in source.spec.values())
    if all(files):
        return sum(FileState.of(path).size for of_row in files for path in of_row) // (len(rows) * encoded)
    sink = EncodedSink()
    source.read(rows[:1], new_buffers(source.spec, 1) | {name: sink})
    return sink.files[0].nbytes


def _version_of_all(root: Source) -> int:
    """Return one number for the states of all files of a source whose files hold many rows; 0 if there are none."""
    states = [state.version for _, state in checked_states(root.check_unchanged)]
    return xxhash.xxh3_64_intdigest(np.array(states, np.uint64).tobytes()) or 1 if states else 0


class StoredRows(SourceWrapper):
    """A source whose rows are read from a cache on disk if they are there, and otherwise from the source, and then kept.

    Parameters
    ----------
    base
        The source.
    plan
        What is kept of a row.
    keeps
        Whether the cache has a size.
    """

    usable_share = 1.0

    def __init__(self, base: Source, plan: CachePlan, keeps: bool = True) -> None:
        super().__init__(base)
        self.plan, self.keeps, self.hits = plan, keeps, 0
        self._root, self._kept = root_of(base), CachedRows(base, plan)
        self._names = tuple(plan.spec)
        self._version = _version_of_all(self._root)
        self._opened: RowCache | None = None

    @property
    def cache_nbytes(self) -> int:
        """Bytes of memory for the index of the rows in the cache."""
        return RowCache.index_nbytes(self.plan.fields, len(self._root)) + self._kept.numbers_nbytes if self.keeps else 0

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of rows in the opened data, under which the cache keeps them."""
        return self._kept.numbers(rows)

    def attach(self, cache: RowCache) -> None:
        """Set the rows, once memory for their index is charged."""
        self._kept.attach(cache)
        self._opened = cache

    def found(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are in the cache, in the version that their files have now."""
        return self._kept.found(rows, self._versions)

    def _versions(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        versions = self._root.row_versions(numbers)
        return np.full(len(numbers), self._version, np.uint64) if versions is None else versions

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return where rows lie in the cache, if all of them are there; other rows are not located, so that `read` keeps them."""
        if self._opened is None:
            return self.base.locate(rows)
        located = self._kept.locate(rows) if rows.size and self.found(rows).all() else None
        self.hits += len(rows) if located is not None else 0
        return located

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows from the cache or from the source, and add the latter to the cache."""
        if self._opened is None or not all(name in into for name in self._names):
            self.base.read(rows, into)
            return
        found, failed = self.found(rows), dict[int, Exception]()
        cuts = [0, *(np.flatnonzero(np.diff(found)) + 1).tolist(), len(rows)]
        for start, stop in pairwise(cuts):
            work = self._read_kept if found[start] else self._read_other
            errors = work(rows[start:stop], portion(into, start, stop - start))
            failed |= {start + i: error for i, error in errors.items()}
        raise_bad(failed)

    def _read_kept(self, rows: NDArray[np.int64], into: Into) -> dict[int, Exception]:
        """Read rows of the cache. Those that cannot be read from it are read from the source."""
        others = {name: buffer for name, buffer in into.items() if name not in self._names}
        if others:
            self.base.read_other_fields(rows, others)
        try:
            self._kept.read(rows, {name: into[name] for name in self._names})
        except BadRows as error:
            failed = {}
            for i in error.causes:
                for cause in self._read_other(rows[i : i + 1], portion(into, i, 1)).values():
                    failed[i] = cause
            return failed
        self.hits += len(rows)
        return {}

    def _read_other(self, rows: NDArray[np.int64], into: Into) -> dict[int, Exception]:
        """Read rows of the source, and add them to the cache."""
        assert self._opened is not None
        numbers = self._kept.numbers(rows)
        versions = self._versions(numbers)  # before anything is read: a file may change meanwhile
        sinks = {name: _Recorder(into[name]) for name in self._names if isinstance(self.spec[name], Encoded)}
        failed: Mapping[int, Exception] = {}
        try:
            self.base.read(rows, {**into, **sinks})
        except BadRows as error:
            failed = error.causes
        wanted = self._opened.wanted(numbers) & (versions != 0)
        wanted[list(failed)] = False
        for sink in sinks.values():
            wanted[[i for i in range(len(rows)) if i not in sink.buffers]] = False
        chosen = np.flatnonzero(wanted)
        for part in np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1) if chosen.size else ():
            run = slice(int(part[0]), int(part[-1]) + 1)  # views, because a copy is not charged
            values: dict[str, Any] = {
                name: [sinks[name].buffers[i] for i in part.tolist()] if name in sinks else into[name][run]
                for name in self._names
            }
            self._opened.add(numbers[run], versions[run], values)
        return dict(failed)


class _Recorder:
    """Passes requests for buffers on, and remembers the buffers."""

    __slots__ = ("_into", "buffers")

    def __init__(self, into: EncodedInto) -> None:
        self._into, self.buffers = into, dict[int, memoryview]()

    def put(self, i: int, nbytes: int) -> memoryview:
        """Return the buffer of a row."""
        self.buffers[i] = self._into.put(i, nbytes)
        return self.buffers[i]
