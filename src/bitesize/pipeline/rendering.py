"""Rows from source to batch, without functions of the user: read, then rendered or cast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import ImageInfo
from bitesize.errors import BadRows, without_frames
from bitesize.kernels.warm import Job, readers, warm
from bitesize.pipeline.arrays import ArrayRenderer, Place
from bitesize.pipeline.images import ImageRenderer
from bitesize.pipeline.inference import Layout
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.stages import TransformStages
from bitesize.pipeline.volumes import VolumeRenderer
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Located
from bitesize.spec import Encoded, Field, is_volume

# Rows that one thread takes at once. Images: few, so that a batch is spread over all threads. Fields: up to _BITE_BYTES,
# so that Python's time per bite is negligible.
_IMAGE_BITE = 8
_BITE_BYTES = 1 << 20
_LEAST_BITE = 4
# Random numbers of a row that is rendered to inspect or to measure it.
_MIDDLE = 0.5


class RowRenderer:
    """Reads rows, and renders or casts them.

    Parameters
    ----------
    source
        Source of the rows.
    stages
        Transforms.
    fields
        Fields of a row after it was rendered; see `rendered_fields`.
    layout
        Position of the channels of images.
    fast_decode
        Whether a JPEG may be decoded at a fraction of its size.
    max_side
        Longest side to which encoded images are reduced first, or None.
    full_scale
        Value of full brightness of rows of fixed size; by default, that of their dtype.

    Attributes
    ----------
    random_counts : list of int
        Number of random numbers for a row, by transform of images.
    """

    def __init__(
        self,
        source: Source,
        stages: TransformStages,
        fields: Mapping[str, Field],
        layout: Layout,
        fast_decode: bool,
        *,
        max_side: int | None = None,
        full_scale: float | None = None,
    ) -> None:
        self.fields = fields
        self.random_counts = [view.random_count for view in stages.image_transforms]
        self._source, self._image = source, source.primary
        self._images: ImageRenderer | None = None
        self._arrays: ArrayRenderer | None = None
        stored, chw = source.spec[self._image], layout == "CHW"
        if isinstance(stored, Encoded):
            self._images = ImageRenderer(source, stages, fields, chw, fast_decode, max_side)
        else:
            masks = {name: field for name, field in fields.items() if field.mask}
            renderer = VolumeRenderer if is_volume(stored) else ArrayRenderer
            self._arrays = renderer(
                self._image, stored, fields[self._image], stages, chw, masks, _place(source), full_scale
            )  # fmt: skip
        # Fields that are read into scratch, because a kernel stores them in the batch; and how many rows at a time.
        self._read_fields = self._fields_to_read(stages)
        self.piece = max(1, _BITE_BYTES // max(1, sum(field.nbytes for field in self._read_fields.values())))

    def _fields_to_read(self, stages: TransformStages) -> dict[str, Field]:
        if self._arrays is None:
            return {}
        names = [] if self._arrays.direct else [self._image]
        if stages.needs_image:
            names += [name for name, field in self.fields.items() if field.mask]
        return {name: self._source.spec[name] for name in names}  # type: ignore[misc]

    # --- requirements ------------------------------------------------------------------------------------------------

    @property
    def decodes(self) -> bool:
        """Return whether rows are encoded images."""
        return self._images is not None

    @property
    def kernel_values(self) -> int:
        """Number of float32 values of kernel scratch, for rows of fixed size."""
        return self._arrays.kernel_values if self._arrays is not None else 0

    def scratch_fields(self, rows: int, rendered: Iterable[str]) -> dict[str, int]:
        """Return the bytes of scratch for ``rows`` rows, by purpose, if the fields ``rendered`` are rendered into scratch."""
        need = {f"{name} rendered": rows * self.fields[name].nbytes for name in rendered}
        return need | {f"{name} read": min(self.piece, rows) * field.nbytes for name, field in self._read_fields.items()}

    def measured_fields(self) -> tuple[str, ...]:
        """Return the fields that `read_and_decode` stores in scratch."""
        encoded = self._images.fields if self._images is not None else ()
        return tuple(name for name in self.fields if name not in encoded)

    def whole_share(self, infos: Sequence[ImageInfo]) -> float:
        """Estimate the share of rows that are decoded at their full size, by the headers of some images."""
        if self._images is None or not infos:
            return 1.0
        random, count, draws = np.random.default_rng(0), sum(self.random_counts), 8
        whole = [
            self._images.decodes_whole(info, numbers) for info in infos for numbers in random.random((draws, count)).tolist()
        ]
        return sum(whole) / len(whole)

    def warm(self, keeps_rows: bool = False, more: Sequence[Job] = ()) -> None:
        """Start to load the compiled code that rows will need, and then ``more``."""
        jobs = self._images.warm() if self._images is not None else []
        if self._arrays is not None:
            jobs = self._arrays.warm(keeps_rows)
            if self._arrays.direct and not (more or self._source.reads_files):
                jobs = []  # little data is not worth loading the compiler
        warm([*jobs, *([readers()] if self._source.reads_files else []), *more])

    # --- rendering ---------------------------------------------------------------------------------------------------

    def render(
        self,
        rows: NDArray[np.int64],
        random_numbers: Sequence[Sequence[float]],
        out: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read rows, and render or cast them into ``out``, which has an array for each field; see `Pipeline.fill`."""
        context.scratch.doing = ("reading from", int(rows[0]))
        if self._images is None:
            return self._render_arrays(rows, random_numbers, out, context)
        context.scratch.shrunk.clear()
        sinks = self._images.sinks(context.scratch)
        failed = _read(rows, dict(out) | sinks, context)
        self._images.render(rows, random_numbers, sinks, failed, {name: out[name] for name in sinks}, context)
        return failed

    def stored_arrays(self, rows: int, scratch: Scratch) -> dict[str, NDArray[Any]]:
        """Return scratch for at most `piece` rows of the fields of fixed size that `render_stored` reads."""
        return {name: scratch.field(f"{name} read", field, rows) for name, field in self._read_fields.items()}

    def render_stored(
        self, stored: Mapping[str, NDArray[Any]], random_numbers: Sequence[Sequence[float]], out: Mapping[str, NDArray[Any]],
        scratch: Scratch
    ) -> None:  # fmt: skip
        """Render or cast rows of fixed size that are in `stored_arrays`."""
        assert self._arrays is not None
        if not self._arrays.direct:
            self._arrays.render(stored, random_numbers, out, scratch)

    def render_alone(self, row: int, context: ReadContext) -> dict[str, NDArray[Any]]:
        """Return the fields of one row, rendered into scratch with fixed random numbers. Raise the error of a bad row."""
        rendered = {name: context.scratch.field(f"{name} rendered", field, 1) for name, field in self.fields.items()}
        failed = self.render(np.array([row], np.int64), [(_MIDDLE,) * sum(self.random_counts)], rendered, context)
        if failed:
            raise failed[0]
        return {name: array[0] for name, array in rendered.items()}

    def _render_arrays(
        self,
        rows: NDArray[np.int64],
        random_numbers: Sequence[Sequence[float]],
        out: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read rows of fixed size, and cast them while they are in the processor's cache."""
        assert self._arrays is not None
        located = context.reader.locate(rows) if self._arrays.may_fetch else None
        if located is not None and self._arrays.fetches(located):
            return self._fetch(located, rows, random_numbers, out, context)
        if self._arrays.direct:
            return _read(rows, dict(out), context)
        scratch = context.scratch
        failed: dict[int, Exception] = {}
        for start in range(0, len(rows), self.piece):
            part = slice(start, start + self.piece)
            out_part = {name: array[part] for name, array in out.items()}
            count = len(rows[part])
            stored = self.stored_arrays(count, scratch)
            failed |= {start + i: error for i, error in _read(rows[part], out_part | stored, context).items()}
            begun = perf_counter()
            self._arrays.render(stored, random_numbers[part], out_part, scratch)
            scratch.clock.render += perf_counter() - begun
        return failed

    def _fetch(
        self,
        located: Located,
        rows: NDArray[np.int64],
        random_numbers: Sequence[Sequence[float]],
        out: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> dict[int, Exception]:
        """Read located rows and cast them in one step. Rows that fail are read again in Python, to find the cause."""
        assert self._arrays is not None
        scratch = context.scratch
        begun = perf_counter()
        context.reader.read_other_fields(rows, {name: array for name, array in out.items() if name != self._image})
        if self._arrays.direct:
            self._arrays.fetch(located, random_numbers, out[self._image], out[self._image])
            scratch.clock.fetch += perf_counter() - begun
            return {}
        stored = scratch.field(f"{self._image} read", self._arrays.stored, min(len(rows), self.piece))
        bad = self._arrays.fetch(located, random_numbers, out[self._image], stored)
        scratch.clock.fetch += perf_counter() - begun
        failed: dict[int, Exception] = {}
        for i in bad.tolist():
            out_row = {name: array[i : i + 1] for name, array in out.items()}
            errors = _read(rows[i : i + 1], out_row | {self._image: stored[:1]}, context)
            if errors:
                failed[i] = errors[0]
            else:
                self._arrays.render({self._image: stored[:1]}, random_numbers[i : i + 1], out_row, scratch)
        return failed

    def read_and_decode(self, rows: NDArray[np.int64], context: ReadContext) -> None:
        """Read rows, and decode or cast them, without using the result, to measure the speed."""
        random_numbers = (_MIDDLE,) * sum(self.random_counts)
        out = {
            name: context.scratch.field(f"{name} rendered", self.fields[name], len(rows)) for name in self.measured_fields()
        }
        if self._images is None:
            self._render_arrays(rows, [random_numbers] * len(rows), out, context)
            return
        sinks = self._images.sinks(context.scratch)
        _read(rows, out | sinks, context)
        self._images.decode_only(rows, random_numbers, sinks, context.scratch)


def _place(source: Source) -> Place:
    """Return where a source locates rows, if it does."""
    if isinstance(source, SourceWrapper) and source.holds_chunks:
        return "addresses"
    located = source.locate(np.zeros(1, np.int64))
    if located is None or not located.in_memory:
        return "files"
    return "addresses" if located.array is None else "array"


def _read(rows: NDArray[np.int64], into: Mapping[str, Any], context: ReadContext) -> dict[int, Exception]:
    """Read rows; return the errors of bad rows, by index."""
    begun = perf_counter()
    try:
        context.reader.read(rows, into)
    except BadRows as error:
        return {i: without_frames(cause) for i, cause in error.causes.items()}
    finally:
        context.scratch.clock.read += perf_counter() - begun
    return {}


def bite_rows(source: Source, *, pairs: bool) -> int:
    """Return the number of rows that one thread reads and renders at once. No two rows of a pair are cut apart if ``pairs`` are mixed."""
    stored = source.spec[source.primary]
    if isinstance(stored, Encoded):
        return _IMAGE_BITE
    rows = max(_LEAST_BITE, _BITE_BYTES // max(1, stored.nbytes))
    chunks = source.chunks() if source.reads_by_chunk else None
    if chunks is not None and (chunk_rows := int(chunks.starts[1])) <= rows:
        rows -= rows % chunk_rows  # without shuffling, each chunk is read whole by one thread
    return rows + rows % 2 if pairs else rows
