"""Filling of batches: the rows of a bite, replacements for bad rows, and functions of whole batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitesize.engine.bad_rows import BadRowPolicy
from bitesize.engine.batching import Batching, BatchRows
from bitesize.engine.stream import Bite, PendingBatch
from bitesize.errors import BitesizeError, LoaderClosed
from bitesize.order.keyed_random import Key, uniform
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.scratch import Scratch


class Filler:
    """Fills pending batches. An error stays with its batch, and is raised in the caller's thread.

    Parameters
    ----------
    pipeline
        Reads and renders rows.
    batching
        Batches of the loader.
    policy
        Policy for bad rows.
    """

    def __init__(self, pipeline: Pipeline, batching: Batching, policy: BadRowPolicy) -> None:
        self._pipeline, self._order, self._policy = pipeline, batching.order, policy

    def fill(self, bite: Bite, context: ReadContext) -> None:
        """Fill the rows of a bite, unless their batch has failed or is no longer needed. Count them as used in the cache of chunks."""
        batch, cache = bite.batch, bite.batch.stream.cache
        if cache is not None:
            context = ReadContext(cache, context.scratch)
        try:
            if batch.error is None and not batch.stream.canceled:
                self._fill_rows(batch, bite, context)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, with its batch
            if not isinstance(error, BitesizeError):  # errors of bitesize name file and row themselves
                stage = self.describe_stage(context.scratch)
                error.add_note(f"bitesize: while {stage} (epoch {batch.step.epoch})")
            batch.error = batch.error or error
        if cache is not None:
            cache.leave(batch.step.rows[bite.start : min(bite.stop, batch.step.real)])

    def finish(self, batch: PendingBatch, scratch: Scratch) -> None:
        """Run functions of whole batches on a batch whose rows are complete."""
        if batch.error is None and not batch.stream.canceled:
            try:
                self._pipeline.finish(batch.slot.arrays, batch.step.rows.size, self._key(batch.step, 0), scratch)
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, with its batch
                batch.error = error

    def random_numbers(self, step: BatchRows) -> Sequence[Sequence[float]]:
        """Return the random numbers of each row of a batch, for all transforms of images."""
        counts = self._pipeline.random_counts
        if not any(counts):
            return [()] * step.rows.size
        positions = step.first_position + np.arange(step.rows.size, dtype=np.int64)
        columns = [uniform(self._order.seed, step.epoch, positions, t, count) for t, count in enumerate(counts) if count]
        rows: Sequence[Sequence[float]] = np.concatenate(columns, axis=1).tolist()
        return rows

    def describe_stage(self, scratch: Scratch) -> str:
        """Return the stage at which a thread is, with the name of its row."""
        stage, row = scratch.doing
        return stage if row is None else f"{stage} {self._pipeline.source.describe(row)}"

    def _fill_rows(self, batch: PendingBatch, bite: Bite, context: ReadContext) -> None:
        step = batch.step
        real = max(0, min(bite.stop, step.real) - bite.start)
        arrays = {name: array[bite.start : bite.stop] for name, array in batch.slot.arrays.items()}
        batch.mask[bite.start + real : bite.stop] = False
        if real < bite.stop - bite.start:
            for array in arrays.values():  # padding: the slot still has values of its last batch
                array[real:] = 0
        if not real:
            return
        rows = step.rows[bite.start : bite.start + real]
        some = {name: array[:real] for name, array in arrays.items()}
        key = self._key(step, bite.start)
        failed = self._pipeline.fill(rows, batch.random_numbers[bite.start : bite.start + real], key, some, context)
        for i, error in failed.items():
            if isinstance(error, LoaderClosed):  # the row is not bad: its loader is closed
                # Another error, because this one would refer to this frame, and the frame to it and to the slot.
                raise LoaderClosed(str(error))
            self._handle_bad(batch, bite.start + i, error, context)
        self._pipeline.mix(some, batch.mask[bite.start : bite.start + real], key)

    def _handle_bad(self, batch: PendingBatch, i: int, error: Exception, context: ReadContext) -> None:
        """Raise an error for a bad row, replace the row, or mask it, as the policy demands."""
        step = batch.step
        row, position = int(step.rows[i]), step.first_position + i
        source = self._pipeline.source
        self._policy.report(step.epoch, row, source.describe(row), error)
        if not self._order.shuffle:
            batch.mask[i] = False
            return
        arrays = {name: array[i : i + 1] for name, array in batch.slot.arrays.items()}
        random_numbers, key = batch.random_numbers[i : i + 1], self._key(step, i)
        for attempt in range(self._policy.attempts):
            other = self._order.replacement(step.epoch, position, attempt)
            failed = self._pipeline.fill(np.array([other]), random_numbers, key, arrays, context)
            if not failed:
                step.rows[i] = other
                return
            self._policy.report(step.epoch, other, source.describe(other), failed[0])
        batch.mask[i] = False

    def _key(self, step: BatchRows, start: int) -> Key:
        return Key(self._order.seed, step.epoch, step.first_position + start)
