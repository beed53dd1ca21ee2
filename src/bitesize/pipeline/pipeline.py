"""The pipeline: reading, transforming and storing the rows of one bite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitesize.errors import BadResult, BadRows, BitesizeError, without_frames
from bitesize.kernels.warm import readers, warm
from bitesize.memory.budget import Budget
from bitesize.order.keyed_random import Key
from bitesize.pipeline.arrays import ArrayRenderer
from bitesize.pipeline.images import ImageRenderer
from bitesize.pipeline.inference import Layout, drawn_fields, mixed_fields, sort_steps
from bitesize.pipeline.probe import first_readable_row, size_of_first_row
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.scratch import Scratch, scratch_nbytes
from bitesize.pipeline.user_functions import UserFunctions
from bitesize.pipeline.value_ranges import check_ranges
from bitesize.sources.base import Source
from bitesize.sources.rows import Located
from bitesize.sources.wrapper import SourceWrapper
from bitesize.spec import Encoded, Field
from bitesize.transforms.base import Transform
from bitesize.transforms.mix import mix_pairs

# Rows that one thread takes at once. Images: few, so that a batch is spread over all threads. Fields: up to _BITE_BYTES,
# so that Python's time per bite is negligible.
_IMAGE_BITE = 8
_BITE_BYTES = 1 << 20
_LEAST_BITE = 4
# Size of the pool for reading one row, to try a function of the user before anything is charged.
_TRIAL_POOL = 256 << 20


class Pipeline:
    """Reads, decodes, transforms and casts rows into a slot.

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
    ) -> None:
        self.source = source
        self._image, self._label = source.primary, source.label_name or "y"
        self.steps = sort_steps(transforms)
        self.transforms = tuple(transforms)
        self.layout = layout
        self.random_counts = [step.random_count if isinstance(step, Transform) else 0 for step in self.transforms]
        chw = layout == "CHW"
        self._drawn = drawn_fields(source, self.steps, layout, dtype)
        check_ranges(source, self.transforms, budget)
        what = source.spec[self._image]
        self._encoded = self._fixed = None
        if isinstance(what, Encoded):
            self._encoded = ImageRenderer(source, self.steps, self._drawn, chw, fast_decode)
        else:
            masks = {name: field for name, field in self._drawn.items() if field.mask}
            self._fixed = ArrayRenderer(
                self._image,
                what,
                self._drawn[self._image],
                self.steps,
                chw,
                masks,
                isinstance(source, SourceWrapper) and source.holds_chunks,
            )
        self._beside = self._read_beside()
        # Number of rows that are read before they are cast, if these are two steps.
        self._piece = max(1, _BITE_BYTES // max(1, sum(field.nbytes for field in self._beside.values())))
        self._maps = UserFunctions(self.steps.maps, self._drawn)
        if not self._maps.known:
            self._try_row(budget, lambda row, where: self._maps.learn(row, False, where))
        self._mixed = mixed_fields(source, self.steps, self._maps.fields, layout)
        self._batch_maps = UserFunctions(self.steps.batch_maps, self._mixed)
        if not self._batch_maps.known:
            self._try_row(budget, self._learn_batch)
        self.out: dict[str, Field] = dict(self._batch_maps.fields)
        # A slot has the fields of the batch, and inputs of functions of whole batches that differ from them.
        self._home = {name: name if self.out.get(name) == field else f"{name} before" for name, field in self._mixed.items()}
        self.slot_fields = self.out | {self._home[name]: field for name, field in self._mixed.items()}
        self.bite = self._bite_rows(what)

    # --- requirements ------------------------------------------------------------------------------------------------

    def stored_shape(self) -> tuple[int, ...]:
        """Return the shape of the first row as stored, or that of a batch's rows if it cannot be read."""
        what = self.source.spec[self._image]
        if isinstance(what, Field):
            return what.shape
        try:
            return (*size_of_first_row(self.source, self._image), what.channels)
        except BitesizeError:
            return self.out[self._image].shape

    def _bite_rows(self, what: Field | Encoded) -> int:
        if isinstance(what, Encoded):
            return _IMAGE_BITE
        rows = max(_LEAST_BITE, _BITE_BYTES // max(1, what.nbytes))
        runs = self.source.chunks() if self.source.reads_by_chunk else None
        if runs is not None and (run := int(runs.starts[1])) <= rows:
            rows -= rows % run  # without shuffling, each chunk is read whole by one thread
        return rows + rows % 2 if self.steps.mixes else rows  # no pair is cut in two

    def scratch_fields(self, batch_rows: int) -> dict[str, int]:
        """Return the bytes of row scratch that a thread needs, by purpose."""
        rows = min(self.bite, batch_rows)
        need = {f"{name} drawn": rows * field.nbytes for name, field in self._drawn.items() if not self._in_place(name)}
        need |= {f"{name} read": min(self._piece, rows) * field.nbytes for name, field in self._beside.items()}
        if self._label in self._mixed and self._maps.fields[self._label] != self._mixed[self._label]:
            need[f"{self._label} mapped"] = rows * self._maps.fields[self._label].nbytes
        return need

    def _in_place(self, name: str) -> bool:
        """Return whether the kernels render a field directly into the slot."""
        return self._drawn[name] == self._mixed.get(name)

    def _read_beside(self) -> dict[str, Field]:
        """Return the fields that are read into scratch, because a kernel stores them in the batch."""
        if self._fixed is None:
            return {}
        spec = self.source.spec
        names = [] if self._fixed.direct else [self._image]
        if self.steps.needs_image:
            names += [name for name, field in self._drawn.items() if field.mask]
        return {name: spec[name] for name in names}  # type: ignore[misc]

    @property
    def kernel_values(self) -> int:
        """Number of float32 values of kernel scratch, for rows of fixed size."""
        return self._fixed.kernel_values if self._fixed is not None else 0

    @property
    def decodes(self) -> bool:
        """Return whether rows are encoded images."""
        return self._encoded is not None

    def warm(self) -> None:
        """Start to load the compiled code that rows will need."""
        drawer = self._encoded or self._fixed
        assert drawer is not None
        warm([*drawer.warm(), *([readers()] if self.source.reads_files else [])])

    # --- filling -----------------------------------------------------------------------------------------------------

    def fill(
        self,
        rows: NDArray[np.int64],
        draws: Sequence[Sequence[float]],
        key: Key,
        arrays: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read, transform and store rows in the arrays of a slot.

        Parameters
        ----------
        rows
            Row numbers, shape (k,).
        draws
            Random numbers of each row for all transforms of images, concatenated.
        key
            Key of all other random numbers of the rows.
        arrays
            For each field of a slot, an array of shape (k, *shape): a part of the slot.
        context
            With what the thread reads the rows.

        Returns
        -------
        dict
            The error of each failed row, by its index. The row's part of the slot is zero.
        """
        scratch = context.scratch
        drawn = self._drawn_into(len(rows), arrays, scratch)
        failed = self._draw(rows, draws, drawn, context)
        if self.steps.maps:
            self._map_rows(rows, drawn, failed, key, arrays, scratch)
        if self.steps.mixes and self._label in self._mixed and self._maps.fields[self._label] != self._mixed[self._label]:
            labels = (
                scratch.field(f"{self._label} mapped", self._maps.fields[self._label], len(rows))
                if self.steps.maps
                else drawn[self._label]
            )
            self._spread_labels(
                labels, failed, arrays[self._home[self._label]], lambda i: self._where(int(rows[i]), key.epoch)()
            )
        for i in failed:
            for array in arrays.values():
                array[i] = 0
        return failed

    def mix(self, arrays: Mapping[str, NDArray[Any]], good: NDArray[np.bool_], key: Key) -> None:
        """Mix pairs of rows of a slot, from an even position on. Pairs with a row that is not ``good`` stay unmixed."""
        if self.steps.mixes:
            y = arrays[self._home[self._label]] if self._label in self._mixed else None
            mix_pairs(self.steps.mixes, arrays[self._home[self._image]], y, good, key, self.layout)

    def finish(self, arrays: Mapping[str, NDArray[Any]], rows: int, key: Key, scratch: Scratch) -> None:
        """Run functions of whole batches on a complete slot."""
        if not self.steps.batch_maps:
            return
        begun = perf_counter()
        given = {name: arrays[home][:rows] for name, home in self._home.items()}
        changed = self._batch_maps.run(
            given, rows, key, lambda: f"the batch at position {key.position} of epoch {key.epoch}"
        )
        for name, array in changed.items():
            arrays[name][:rows] = array
        scratch.clock.user += perf_counter() - begun

    def _drawn_into(self, count: int, arrays: Mapping[str, NDArray[Any]], scratch: Scratch) -> dict[str, NDArray[Any]]:
        """Return the destination of each field for the kernels: the slot, or scratch if later steps change the field."""
        return {
            name: arrays[self._home[name]] if self._in_place(name) else scratch.field(f"{name} drawn", field, count)
            for name, field in self._drawn.items()
        }

    def _draw(
        self,
        rows: NDArray[np.int64],
        draws: Sequence[Sequence[float]],
        drawn: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read rows, and render or cast them."""
        context.scratch.doing = ("reading from", int(rows[0]))
        if self._encoded is None:
            return self._draw_fixed(rows, draws, drawn, context)
        readers = self._encoded.readers(context.scratch)
        failed = self._read(rows, dict(drawn) | readers, context)
        self._encoded.draw(rows, draws, readers, failed, {name: drawn[name] for name in readers}, context)
        return failed

    def _draw_fixed(
        self,
        rows: NDArray[np.int64],
        draws: Sequence[Sequence[float]],
        drawn: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read rows of fixed size, and cast them while they are in the processor's cache."""
        assert self._fixed is not None
        if self._fixed.direct:
            return self._read(rows, dict(drawn), context)
        located = context.reader.locate(rows) if self._fixed.fetches else None
        if located is not None:
            return self._fetch(located, rows, draws, drawn, context)
        scratch = context.scratch
        failed: dict[int, Exception] = {}
        for start in range(0, len(rows), self._piece):
            part = slice(start, start + self._piece)
            out = {name: array[part] for name, array in drawn.items()}
            count = len(rows[part])
            beside = {name: scratch.field(f"{name} read", field, count) for name, field in self._beside.items()}
            failed |= {start + i: error for i, error in self._read(rows[part], out | beside, context).items()}
            begun = perf_counter()
            self._fixed.draw(beside, draws[part], out, scratch)
            scratch.clock.draw += perf_counter() - begun
        return failed

    def _fetch(
        self,
        located: Located,
        rows: NDArray[np.int64],
        draws: Sequence[Sequence[float]],
        drawn: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read located rows and cast them in one step. Rows that fail are read again in Python, to find the cause."""
        assert self._fixed is not None
        scratch = context.scratch
        begun = perf_counter()
        context.reader.read_other_fields(rows, {name: array for name, array in drawn.items() if name != self._image})
        room = scratch.field(f"{self._image} read", self._fixed.stored, min(len(rows), self._piece))
        good = self._fixed.fetch(located, draws, drawn[self._image], room)
        scratch.clock.fetch += perf_counter() - begun
        failed: dict[int, Exception] = {}
        for i in np.flatnonzero(~good).tolist():
            out = {name: array[i : i + 1] for name, array in drawn.items()}
            error = self._read(rows[i : i + 1], out | {self._image: room[:1]}, context)
            if error:
                failed[i] = error[0]
            else:
                self._fixed.draw({self._image: room[:1]}, draws[i : i + 1], out, scratch)
        return failed

    def read_and_decode(self, rows: NDArray[np.int64], context: ReadContext) -> None:
        """Read rows, and decode or cast them, without using the result, to measure the speed.

        The scratch must have the fields of `bound_fields`.
        """
        scratch = context.scratch
        draws = (0.5,) * sum(self.random_counts)
        encoded = self._encoded.fields if self._encoded is not None else ()
        drawn = {
            name: scratch.field(f"{name} drawn", field, len(rows))
            for name, field in self._drawn.items()
            if name not in encoded
        }
        if self._encoded is None:
            self._draw_fixed(rows, [draws] * len(rows), drawn, context)
            return
        readers = self._encoded.readers(scratch)
        self._read(rows, drawn | readers, context)
        self._encoded.decode_only(rows, draws, readers, scratch)

    def bound_fields(self, rows: int) -> dict[str, int]:
        """Return the bytes of scratch that `read_and_decode` needs, by purpose."""
        encoded = self._encoded.fields if self._encoded is not None else ()
        need = {f"{name} drawn": rows * field.nbytes for name, field in self._drawn.items() if name not in encoded}
        return need | {f"{name} read": min(rows, self._piece) * field.nbytes for name, field in self._beside.items()}

    def _read(self, rows: NDArray[np.int64], into: Mapping[str, Any], context: ReadContext) -> dict[int, Exception]:
        begun = perf_counter()
        try:
            context.reader.read(rows, into)
        except BadRows as error:
            return {i: without_frames(cause) for i, cause in error.causes.items()}
        finally:
            context.scratch.clock.read += perf_counter() - begun
        return {}

    def _map_rows(
        self,
        rows: NDArray[np.int64],
        drawn: Mapping[str, NDArray[Any]],
        failed: Mapping[int, Exception],
        key: Key,
        arrays: Mapping[str, NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        """Run functions of rows, and store their results."""
        begun = perf_counter()
        fields = self._maps.fields
        out = {
            name: arrays[self._home[name]]
            if field == self._mixed[name]
            else scratch.field(f"{name} mapped", field, len(rows))
            for name, field in fields.items()
        }
        for i in range(len(rows)):
            if i in failed:
                continue
            scratch.doing = ("mapping", int(rows[i]))
            row = {name: array[i] for name, array in drawn.items()}
            changed = self._maps.run(
                row, None, key._replace(position=key.position + i), self._where(int(rows[i]), key.epoch)
            )
            for name in out:
                if name in changed:
                    out[name][i] = changed[name]
                elif out[name] is not drawn.get(name):
                    out[name][i] = row[name]
        scratch.clock.user += perf_counter() - begun

    def _where(self, row: int, epoch: int) -> Callable[[], str]:
        return lambda: f"{self.source.describe(row)} (row {row}, epoch {epoch})"

    def _spread_labels(
        self, labels: NDArray[Any], failed: Mapping[int, Exception], out: NDArray[Any], where: Callable[[int], str]
    ) -> None:  # fmt: skip
        """Convert class numbers to shares of classes."""
        out[...] = 0.0
        for i, label in enumerate(labels.tolist()):
            if i in failed:
                continue
            if not 0 <= label < out.shape[1]:
                raise BadResult(f"{where(i)}: the label is {label}, but there are {out.shape[1]} classes")
            out[i, label] = 1.0

    # --- outputs of the user's functions -----------------------------------------------------------------------------

    def _try_row(self, budget: Budget, learn: Callable[[dict[str, NDArray[Any]], Callable[[], str]], None]) -> None:
        """Render the first readable row alone, and call ``learn`` with it."""
        layout = {f"{name} drawn": field for name, field in self._drawn.items()}
        layout |= {f"{name} read": field for name, field in self._beside.items()}
        need = {name: field.nbytes for name, field in layout.items()}
        charge = budget.charge(scratch_nbytes(need, self.decodes, self.kernel_values), "a trial row")
        pool = budget.pool(min(_TRIAL_POOL, budget.free), "a trial row") if self.decodes else None
        try:
            scratch = Scratch(need, self.decodes, self.kernel_values, pool)
            context = ReadContext(self.source, scratch)
            drawn = {name: scratch.field(f"{name} drawn", field, 1) for name, field in self._drawn.items()}

            def draw(row: int) -> int:
                """Render one row, or raise its error."""
                failed = self._draw(np.array([row], np.int64), [(0.5,) * sum(self.random_counts)], drawn, context)
                if failed:
                    raise failed[0]
                return row

            row = first_readable_row(self.source, draw)
            scratch.rest()
        finally:
            if pool is not None:
                pool.close()
        learn({name: array[0] for name, array in drawn.items()}, self._where(row, 0))
        charge.release()

    def _learn_batch(self, row: dict[str, NDArray[Any]], where: Callable[[], str]) -> None:
        row |= self._maps.run(row, None, Key(0, 0, 0), where) if self.steps.maps else {}
        batch = {name: row[name][None] for name in self._mixed}
        if self._label in batch and self._maps.fields[self._label] != self._mixed[self._label]:
            spread = np.zeros((1, *self._mixed[self._label].shape), np.float32)
            self._spread_labels(batch[self._label], {}, spread, lambda i: where())
            batch[self._label] = spread
        self._batch_maps.learn(batch, True, where)
