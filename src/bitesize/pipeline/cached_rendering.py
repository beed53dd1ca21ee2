"""Rendering of rows with a cache on disk: rows in the cache are read from there, all others are decoded and added to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.info import ImageInfo
from bitesize.packed.row_cache import RowCache
from bitesize.pipeline.cached_rows import CachedRows
from bitesize.pipeline.caching import FROM_JPEG, STATE, CachePlan, root_of
from bitesize.pipeline.inference import Layout
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.rendering import RowRenderer
from bitesize.sources.base import Source


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows of a bite: their numbers, also in the cache, versions and random numbers, and the arrays to render them into."""

    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    versions: NDArray[np.uint64]
    random_numbers: Sequence[Sequence[float]]
    out: Mapping[str, NDArray[Any]]

    def part(self, part: slice) -> _Rows:
        """Return some of the rows, in views of the arrays."""
        some = {name: array[part] for name, array in self.out.items()}
        return _Rows(self.rows[part], self.numbers[part], self.versions[part], self.random_numbers[part], some)


class CachedRenderer:
    """Renders rows like a `RowRenderer`, with a cache of what precedes the first random transform.

    Parameters
    ----------
    source
        Source of the rows.
    renderer
        Renders rows completely.
    plan
        What is kept.
    layout
        Position of the channels in the batch.
    fast_decode
        Whether a JPEG may be decoded at a fraction of its size.
    keeps
        Whether anything is kept; if not, values are those that a cache would have.
    """

    def __init__(
        self, source: Source, renderer: RowRenderer, plan: CachePlan, layout: Layout, fast_decode: bool, keeps: bool = True
    ) -> None:
        self.keeps = keeps
        self._source, self._root = source, root_of(source)
        self.plan, self._kept = plan, CachedRows(source, plan)
        self._names = tuple(plan.spec)
        self._renderer, self._before = renderer, None
        images = {name: renderer.fields[name] for name in self._names}
        # Rows as in a batch are in the layout of the batch already.
        layout = "HWC" if plan.form == "batch" else layout
        self._after = RowRenderer(self._kept, plan.after, images, layout, fast_decode, full_scale=plan.full_scale)
        if plan.form == "resized":
            others = {name: field for name, field in renderer.fields.items() if name not in plan.spec}
            before = replace(plan.after, image_transforms=plan.before)
            self._before = RowRenderer(
                source, before, {**others, **plan.rendered}, "HWC", fast_decode, max_side=plan.max_side
            )
        self._opened: RowCache | None = None

    # --- requirements ------------------------------------------------------------------------------------------------

    def scratch_fields(self, rows: int) -> dict[str, int]:
        """Return the bytes of scratch for ``rows`` rows, by purpose, in addition to that of the complete renderer."""
        return self._after.scratch_fields(rows, ())

    @property
    def kernel_values(self) -> int:
        """Number of float32 values of kernel scratch, for rows of fixed size."""
        return self._after.kernel_values

    @property
    def cache_nbytes(self) -> int:
        """Bytes of memory for the index of the rows in the cache."""
        if not self.keeps:
            return 0
        return RowCache.index_nbytes(self.plan.fields, len(self._root)) + self._kept.numbers_nbytes

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of rows in the opened data, under which the cache keeps them."""
        return self._kept.numbers(rows)

    @property
    def usable_share(self) -> float:
        """Estimated share of reads that decoded images serve; for the others, a JPEG is decoded at a fraction of its size."""
        return self._renderer.whole_share(self.plan.infos)

    def warm(self) -> None:
        """Start to load the compiled code that rows of the cache need."""
        self._after.warm()

    def attach(self, cache: RowCache) -> None:
        """Set the rows, once memory for their index is charged. Until then, rows are only decoded."""
        self._kept.attach(cache)
        self._opened = cache

    def found(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are in the cache, in the version that their files have now."""
        return self._kept.found(rows, self._versions)

    def _versions(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        versions = self._root.row_versions(numbers)
        assert versions is not None
        return versions

    @property
    def _cache(self) -> RowCache:
        assert self._opened is not None
        return self._opened

    # --- rendering ---------------------------------------------------------------------------------------------------

    def render(
        self,
        rows: NDArray[np.int64],
        random_numbers: Sequence[Sequence[float]],
        out: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read rows from the cache or the source, and render them into ``out``; see `Pipeline.fill`."""
        if self._opened is None:  # nothing is kept, but values are the same as with a cache
            if self.plan.form == "resized":
                return self._render_resized(rows, random_numbers, out, context)
            return self._renderer.render(rows, random_numbers, out, context)
        numbers = self._kept.numbers(rows)
        versions = self._versions(numbers)  # before anything is read: a file may change meanwhile
        bite = _Rows(rows, numbers, versions, random_numbers, out)
        hits = self._cache.find(numbers, versions)
        context.scratch.clock.cached_rows += int(hits.sum())
        failed: dict[int, Exception] = {}
        cuts = [0, *(np.flatnonzero(np.diff(hits)) + 1).tolist(), len(rows)]
        for start, stop in pairwise(cuts):
            work = self._render_kept if hits[start] else self._render_other
            errors = work(bite.part(slice(start, stop)), context)
            failed |= {start + i: error for i, error in errors.items()}
        return failed

    def _render_kept(self, bite: _Rows, context: ReadContext) -> dict[int, Exception]:
        """Render rows of the cache. Those that cannot be read from it are rendered from the source."""
        others = {name: array for name, array in bite.out.items() if name not in self._names}
        if others:
            context.reader.read_other_fields(bite.rows, others)
        images = {name: bite.out[name] for name in self._names}
        errors = self._after.render(bite.rows, bite.random_numbers, images, ReadContext(self._kept, context.scratch))
        context.scratch.clock.cached_rows -= len(errors)
        failed = {}
        for i in errors:
            for error in self._render_other(bite.part(slice(i, i + 1)), context).values():
                failed[i] = error
        return failed

    def _render_other(self, bite: _Rows, context: ReadContext) -> dict[int, Exception]:
        """Render rows of the source, and add them to the cache."""
        if self.plan.form == "decoded":
            return self._render_decoded(bite, context)
        if self.plan.form == "batch":
            failed = self._renderer.render(bite.rows, bite.random_numbers, bite.out, context)
            self._add(bite, failed, bite.out, context)
            return failed

        def add(part: slice, failed: Mapping[int, Exception], resized: Mapping[str, NDArray[Any]]) -> None:
            self._add(bite.part(part), failed, resized, context)

        return self._render_resized(bite.rows, bite.random_numbers, bite.out, context, add)

    def _render_resized(
        self,
        rows: NDArray[np.int64],
        random_numbers: Sequence[Sequence[float]],
        out: Mapping[str, NDArray[Any]],
        context: ReadContext,
        add: Callable[[slice, Mapping[int, Exception], Mapping[str, NDArray[Any]]], None] | None = None,
    ) -> dict[int, Exception]:
        """Resize images, add them, and apply the other transforms, some rows at a time."""
        assert self._before is not None
        failed: dict[int, Exception] = {}
        for start in range(0, len(rows), self._after.piece):
            part = slice(start, start + self._after.piece)
            # Fields that no other transform changes are resized directly into the batch.
            resized = {name: array[part] for name, array in out.items()}
            resized |= self._after.stored_arrays(len(rows[part]), context.scratch)
            errors = self._before.render(rows[part], [()] * len(rows[part]), resized, context)
            if add is not None:
                add(part, errors, resized)
            images = {name: out[name][part] for name in self._names}
            self._after.render_stored(resized, random_numbers[part], images, context.scratch)
            failed |= {start + i: error for i, error in errors.items()}
        return failed

    def _wanted(self, bite: _Rows) -> NDArray[np.bool_]:
        """Return which rows should be added."""
        wanted: NDArray[np.bool_] = self._cache.wanted(bite.numbers) & (bite.versions != 0)
        return wanted

    def _add(
        self, bite: _Rows, failed: Mapping[int, Exception], values: Mapping[str, NDArray[Any]], context: ReadContext
    ) -> None:  # fmt: skip
        """Add those of some rows that are wanted, and were just rendered from images at the right scale."""
        wanted = self._wanted(bite) & [row not in context.scratch.shrunk for row in bite.rows.tolist()]
        wanted[list(failed)] = False
        begun = perf_counter()
        for start, stop in _runs(wanted):  # views, because a copy is not charged
            run = slice(start, stop)
            self._cache.add(bite.numbers[run], bite.versions[run], {name: values[name][run] for name in self._names})
        context.scratch.clock.cache += perf_counter() - begun

    def _render_decoded(self, bite: _Rows, context: ReadContext) -> dict[int, Exception]:
        """Render rows, and add the decoded pixels of each on the way."""
        wanted = self._wanted(bite)
        facts = {
            row: (number, version)
            for row, number, version, one in zip(
                bite.rows.tolist(), bite.numbers, bite.versions, wanted.tolist(), strict=True
            )
            if one
        }

        def keep(row: int, info: ImageInfo, eighths: int, pixels: NDArray[Any], files: Mapping[str, memoryview]) -> None:
            """Add an image that was decoded at its full size, or reduced."""
            if row not in facts or (eighths != 8 and self.plan.max_side is None):
                return
            number, version = facts.pop(row)
            scalable = info.kind == "JPEG" and not info.by_pillow and self.plan.max_side is None
            state = info.orientation | (FROM_JPEG if scalable else 0)
            values: dict[str, Any] = {name: [data] for name, data in files.items() if name != self._source.primary}
            values |= {self._source.primary: [pixels], STATE: np.array([state], np.uint8)}
            begun = perf_counter()
            self._cache.add(np.array([number]), np.array([version]), values)
            context.scratch.clock.cache += perf_counter() - begun

        context.scratch.keep = keep if facts else None
        try:
            return self._renderer.render(bite.rows, bite.random_numbers, bite.out, context)
        finally:
            context.scratch.keep = None


def _runs(chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and stop of each run of chosen entries."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
