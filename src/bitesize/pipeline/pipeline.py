"""The pipeline: reading, transforming and storing the rows of one bite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitesize.errors import BadResult, BitesizeError
from bitesize.memory.budget import Budget
from bitesize.order.keyed_random import Key
from bitesize.order.order import Order
from bitesize.order.permutation import permute_jobs
from bitesize.packed.cache_settings import Cache
from bitesize.pipeline.cached_rendering import CachedRenderer
from bitesize.pipeline.caching import CachePlan, plan_cache
from bitesize.pipeline.inference import Layout, mixed_fields, rendered_fields
from bitesize.pipeline.probe import size_of_first_row
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.rendering import RowRenderer, bite_rows
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.stages import sort_transforms
from bitesize.pipeline.stored_rows import StoredRows
from bitesize.pipeline.trial import describe_row, trial_row
from bitesize.pipeline.user_functions import UserFunctions
from bitesize.pipeline.value_ranges import check_ranges
from bitesize.sources.base import Source
from bitesize.spec import Field, is_volume
from bitesize.transforms.mix import mix_pairs


class Pipeline:
    """Reads, decodes, transforms and casts rows into a slot.

    A row passes these stages: it is read and rendered, functions of the user map it, pairs of rows are mixed, and functions of the user
    map the whole batch. The fields of each stage are known before the first batch.

    Parameters
    ----------
    source
        Source of the rows.
    transforms
        Transforms of each row, in order.
    layout
        Position of the channels of images: ``"HWC"`` or ``"CHW"``.
    dtype
        Dtype of ``x``, or None for the dtype after the transforms.
    fast_decode
        Whether a JPEG may be decoded at a fraction of its size.
    budget
        Charged while a row is read to find the outputs of the user's functions.
    cache
        Settings of a cache on disk, or None.

    Attributes
    ----------
    out : dict of str to Field
        Fields of a batch.
    slot_fields : dict of str to Field
        Fields of a slot: those of the batch, and inputs of functions of whole batches that differ from them.
    bite : int
        Number of rows that one thread reads and renders at once.
    cached : CachedRenderer or None
        Renderer with a cache on disk.
    stored : StoredRows or None
        The source, if a cache on disk keeps its rows in their stored form.
    not_cached : str
        Why a cache would hold nothing, if one was asked for.

    Raises
    ------
    BadSetting
        If transforms, layout or dtype do not fit the source.
    """

    def __init__(
        self,
        source: Source,
        transforms: Sequence[Any],
        layout: Layout,
        dtype: DTypeLike | None,
        fast_decode: bool,
        budget: Budget,
        cache: Cache | None = None,
        stored: StoredRows | str | None = None,
    ) -> None:
        self.source = source
        self.stored = stored if isinstance(stored, StoredRows) else None
        self.stages = sort_transforms(transforms).for_rows(is_volume(source.spec[source.primary]))
        self.transforms = tuple(transforms)
        self.layout = layout
        self._image, self._label = source.primary, source.label_name or "y"
        rendered = rendered_fields(source, self.stages, layout, dtype)
        check_ranges(source, self.transforms, budget)
        kept = None if cache is None or stored is not None else plan_cache(source, self.stages, rendered, cache)
        max_side = kept.max_side if isinstance(kept, CachePlan) else None
        self._renderer = RowRenderer(source, self.stages, rendered, layout, fast_decode, max_side=max_side)
        self.not_cached = kept if isinstance(kept, str) else stored if isinstance(stored, str) else ""
        self.cached = (
            CachedRenderer(
                source,
                self._renderer,
                kept,
                layout,
                fast_decode,
                cache is not None and cache.size != 0 and not kept.not_kept,
            )
            if isinstance(kept, CachePlan)
            else None
        )
        self._maps = UserFunctions(self.stages.maps, rendered)
        if not self._maps.known:
            with trial_row(source, self._renderer, budget) as (row, describe):
                self._maps.learn(row, False, describe)
        self._mixed = mixed_fields(source, self.stages, self._maps.fields, layout)
        self._batch_maps = UserFunctions(self.stages.batch_maps, self._mixed)
        if not self._batch_maps.known:
            with trial_row(source, self._renderer, budget) as (row, describe):
                self._learn_batch(row, describe)
        self.out: dict[str, Field] = dict(self._batch_maps.fields)
        self._home = {name: name if self.out.get(name) == field else f"{name} before" for name, field in self._mixed.items()}
        self.slot_fields = self.out | {self._home[name]: field for name, field in self._mixed.items()}
        # Fields that are stored directly in the slot, because no later stage changes their shape or dtype.
        self._rendered_in_place = frozenset(name for name in rendered if rendered[name] == self._mixed.get(name))
        self._mapped_in_place = frozenset(name for name, field in self._maps.fields.items() if field == self._mixed[name])
        self._spreads_labels = self._label in self._mixed and self._label not in self._mapped_in_place
        self.bite = bite_rows(source, pairs=bool(self.stages.mixes))

    def _learn_batch(self, row: dict[str, NDArray[Any]], describe: Callable[[], str]) -> None:
        """Find the outputs of functions of whole batches, with a batch of one row."""
        row |= self._maps.run(row, None, Key(0, 0, 0), describe) if self.stages.maps else {}
        batch = {name: row[name][None] for name in self._mixed}
        if self._label in batch and self._maps.fields[self._label] != self._mixed[self._label]:
            shares = np.zeros((1, *self._mixed[self._label].shape), np.float32)
            _spread_labels(np.zeros(1, np.int64), batch[self._label], {}, shares, lambda row: describe())
            batch[self._label] = shares
        self._batch_maps.learn(batch, True, describe)

    # --- requirements ------------------------------------------------------------------------------------------------

    @property
    def random_counts(self) -> Sequence[int]:
        """Number of random numbers for a row, by transform of images."""
        return self._renderer.random_counts

    @property
    def decodes(self) -> bool:
        """Return whether rows are encoded images."""
        return self._renderer.decodes

    @property
    def kernel_values(self) -> int:
        """Number of float32 values of kernel scratch, for rows of fixed size."""
        cached = self.cached.kernel_values if self.cached is not None else 0
        return max(self._renderer.kernel_values, cached)

    def stored_shape(self) -> tuple[int, ...]:
        """Return the shape of the first row as stored, or that of a batch's rows if it cannot be read."""
        stored = self.source.spec[self._image]
        if isinstance(stored, Field):
            return stored.shape
        try:
            return (*size_of_first_row(self.source, self._image), stored.channels)
        except BitesizeError:
            return self.out[self._image].shape

    def scratch_fields(self, batch_rows: int) -> dict[str, int]:
        """Return the bytes of row scratch that a thread needs, by purpose."""
        rows = min(self.bite, batch_rows)
        in_scratch = [name for name in self._renderer.fields if name not in self._rendered_in_place]
        need = self._renderer.scratch_fields(rows, in_scratch)
        if self.cached is not None:
            need |= self.cached.scratch_fields(rows)
        if self._spreads_labels:
            need[f"{self._label} mapped"] = rows * self._maps.fields[self._label].nbytes
        return need

    def bound_fields(self, rows: int) -> dict[str, int]:
        """Return the bytes of scratch that `read_and_decode` needs, by purpose."""
        return self._renderer.scratch_fields(rows, self._renderer.measured_fields())

    def warm(self, order: Order | None = None, keeps_rows: bool = False) -> None:
        """Start to load the compiled code that rows, and their order, will need.

        ``keeps_rows`` is whether rows of files are kept in memory.
        """
        self._renderer.warm(keeps_rows, permute_jobs(order.n) if order is not None and order.shuffle else [])
        if self.cached is not None:
            self.cached.warm()

    # --- filling -----------------------------------------------------------------------------------------------------

    def fill(
        self,
        rows: NDArray[np.int64],
        random_numbers: Sequence[Sequence[float]],
        key: Key,
        arrays: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read, transform and store rows in the arrays of a slot.

        Parameters
        ----------
        rows
            Row numbers, shape (k,).
        random_numbers
            Random numbers of each row for all transforms of images, concatenated.
        key
            Key of all other random numbers of the rows.
        arrays
            For each field of a slot, an array of shape (k, *shape): a part of the slot.
        context
            Reader of the rows, and working memory of the thread.

        Returns
        -------
        dict
            The error of each failed row, by its index. The row's part of the slot is zero.
        """
        scratch, home = context.scratch, self._home
        rendered = {
            name: arrays[home[name]]
            if name in self._rendered_in_place
            else scratch.field(f"{name} rendered", field, len(rows))
            for name, field in self._renderer.fields.items()
        }
        renderer = self.cached or self._renderer
        failed = renderer.render(rows, random_numbers, rendered, context)
        mapped = rendered
        if self.stages.maps:
            mapped = {
                name: arrays[home[name]]
                if name in self._mapped_in_place
                else scratch.field(f"{name} mapped", field, len(rows))
                for name, field in self._maps.fields.items()
            }
            describe = partial(describe_row, self.source, key.epoch)
            self._maps.run_rows(rows, rendered, mapped, failed, key, describe, scratch)
        if self._spreads_labels:
            describe = partial(describe_row, self.source, key.epoch)
            _spread_labels(rows, mapped[self._label], failed, arrays[home[self._label]], describe)
        for i in failed:
            for array in arrays.values():
                array[i] = 0
        return failed

    def mix(self, arrays: Mapping[str, NDArray[Any]], good: NDArray[np.bool_], key: Key) -> None:
        """Mix pairs of rows of a slot, from an even position on. Pairs with a row that is not ``good`` stay unmixed."""
        if self.stages.mixes:
            y = arrays[self._home[self._label]] if self._label in self._mixed else None
            mix_pairs(self.stages.mixes, arrays[self._home[self._image]], y, good, key, self.layout)

    def finish(self, arrays: Mapping[str, NDArray[Any]], rows: int, key: Key, scratch: Scratch) -> None:
        """Run functions of whole batches on a complete slot."""
        if not self.stages.batch_maps:
            return
        begun = perf_counter()
        batch = {name: arrays[home][:rows] for name, home in self._home.items()}
        changed = self._batch_maps.run(
            batch, rows, key, lambda: f"the batch at position {key.position} of epoch {key.epoch}"
        )
        for name, array in changed.items():
            arrays[name][:rows] = array
        scratch.clock.user += perf_counter() - begun

    def read_and_decode(self, rows: NDArray[np.int64], context: ReadContext) -> None:
        """Read rows, and decode or cast them, without using the result, to measure the speed.

        The scratch must have the fields of `bound_fields`.
        """
        self._renderer.read_and_decode(rows, context)


def _spread_labels(
    rows: NDArray[np.int64],
    labels: NDArray[Any],
    failed: Mapping[int, Exception],
    out: NDArray[Any],
    describe: Callable[[int], str],
) -> None:
    """Convert class numbers to shares of classes."""
    out[...] = 0.0
    for i, label in enumerate(labels.tolist()):
        if i in failed:
            continue
        if not 0 <= label < out.shape[1]:
            raise BadResult(f"{describe(int(rows[i]))}: the label is {label}, but there are {out.shape[1]} classes")
        out[i, label] = 1.0
