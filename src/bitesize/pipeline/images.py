"""Encoded images of a bite and their masks: read headers, decode into scratch, render into the slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import choose_eighths, decode, decode_nbytes, decoded_size, pixels_nbytes, smaller_eighths
from bitesize.decode.header import ImageInfo, read_info
from bitesize.decode.info import check_pixels
from bitesize.decode.mask import decode_mask, mask_nbytes
from bitesize.decode.reduced import log_losses
from bitesize.errors import BadFile, BadRows, BitesizeError, without_frames
from bitesize.kernels.filters import NEAREST
from bitesize.kernels.warm import Job
from bitesize.memory.mapping import aligned
from bitesize.pipeline.inference import integer_limits
from bitesize.pipeline.probe import ignored
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.reduction import Reduction, plan_reduction
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.stages import TransformStages
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.sinks import Arena, ArenaFull, EncodedSink
from bitesize.spec import Encoded, Field
from bitesize.transforms.canvas import Canvas
from bitesize.transforms.render import (
    RenderPlan,
    mask_canvas,
    mask_values,
    plan_render,
    render,
    render_mask,
    warm_up,
)
from bitesize.transforms.view import View

# A JPEG is decoded at a fraction of its size only if that leaves this many decoded pixels per output pixel in both directions.
# Below, the decoder's box filter is visible (at most 1.4 levels mean difference).
_SPARE = 1.5


class NotKept(BadFile):
    """Pixels of a cache do not serve a view for which the JPEG itself is decoded at a fraction of its size."""


class DecodePlan(NamedTuple):
    """How an image is decoded and rendered: at which scale, in eighths of its size, with which geometry for its masks, and how it is reduced first.

    ``shrunk`` is whether the pool is too small for the right scale.
    """

    view: View
    info: ImageInfo
    eighths: int
    rendering: RenderPlan
    geometry: tuple[float, ...]
    reduction: Reduction | None = None
    shrunk: bool = False


class ImageRenderer:
    """Renders rows that are encoded images.

    Parameters
    ----------
    source
        Source of the rows.
    stages
        Transforms.
    fields
        Fields in the batch.
    chw
        Whether channels come first in the batch.
    fast_decode
        Whether a JPEG may be decoded at a fraction of its size.
    max_side
        Longest side to which images are reduced before they are transformed, or None.
    """

    def __init__(
        self,
        source: Source,
        stages: TransformStages,
        fields: Mapping[str, Field],
        chw: bool,
        fast_decode: bool,
        max_side: int | None = None,
    ) -> None:
        self._image = source.primary
        stored = source.spec[self._image]
        assert isinstance(stored, Encoded)
        self._source = source
        self._stored = stored
        self._masks = {name: mask for name, mask in source.spec.items() if name != self._image and isinstance(mask, Encoded)}
        self.fields = (self._image, *self._masks)  # encoded fields
        self._views = [(view.adjust, view.random_count) for view in stages.image_transforms]
        self._fill, self._mask_fill = stages.surroundings
        self._fast_decode, self._max_side = fast_decode, max_side
        self._warps, self._spreads = stages.non_axis_aligned, stages.spreads(stored.channels, stored)
        self._full_scale = 255.0 if stored.dtype == np.uint8 else 1.0  # as for arrays of these types
        self._observe = _observer(source)
        image = fields[self._image]
        self._height, self._width = image.shape[1:] if chw else image.shape[:2]
        self._canvas = Canvas(image.shape, image.dtype, chw, integer_limits(image.dtype))
        self._mask_canvases = {name: mask_canvas(fields[name]) for name in self._masks}

    def adjusted(self, view: View, random_numbers: Sequence[float]) -> View:
        """Apply all transforms to a view."""
        view.fill = self._fill
        if self._spreads:
            view.spread(self._stored.channels)
        at = 0
        for adjust, count in self._views:
            if count:
                adjust(view, random_numbers[at : at + count])
                at += count
            else:
                adjust(view, ())
        return view

    def warm(self) -> list[Job]:
        """Return the jobs that load the compiled code."""
        decoded = self._stored.dtype
        name = f"resample {decoded} {self._canvas.stored} {self._warps}"
        return [(name, lambda: warm_up(decoded, self._canvas, self._warps))]

    def decodes_whole(self, info: ImageInfo, random_numbers: Sequence[float]) -> bool:
        """Return whether an image is decoded at its full size, for some random numbers."""
        if not self._fast_decode or self._max_side is not None:
            return True
        orientation = info.orientation if self._stored.orient else 1
        width, height = (info.height, info.width) if orientation >= 5 else (info.width, info.height)
        view = self.adjusted(View(width, height, self._full_scale), random_numbers)
        view.to_stored(orientation, info.width, info.height, 1.0)
        return decoding_eighths(view, info) == 8

    def sinks(self, scratch: Scratch) -> dict[str, EncodedSink]:
        """Return the destinations for the files of some rows."""
        arena = scratch.arena()
        return {name: EncodedSink(arena.take) for name in self.fields}

    def render(
        self,
        rows: NDArray[np.int64],
        random_numbers: Sequence[Sequence[float]],
        sinks: Mapping[str, EncodedSink],
        failed: dict[int, Exception],
        out: Mapping[str, NDArray[Any]],
        context: ReadContext,
    ) -> None:
        """Render the files in ``sinks``. Add errors to ``failed`` by index; see `Pipeline.fill`."""
        scratch = context.scratch
        scratch.clock.nbytes += sum(data.nbytes for sink in sinks.values() for data in sink.files.values())
        later = [i for i, error in failed.items() if isinstance(error, ArenaFull)]
        images, out_images = sinks[self._image].files, out[self._image]
        for i, row in enumerate(rows.tolist()):
            if i in failed:
                continue
            try:
                files, part = {self._image: images[i]}, {self._image: out_images[i]}
                for name in self._masks:
                    files[name], part[name] = sinks[name].files[i], out[name][i]
                self._render_one(files, row, random_numbers[i], part, scratch)
            except BitesizeError as error:
                failed[i] = without_frames(error)
        for i in later:  # the earlier files are rendered now, so the read buffer is free
            del failed[i]
            try:
                self._render_alone(int(rows[i]), random_numbers[i], {name: array[i] for name, array in out.items()}, context)
            except BitesizeError as error:
                failed[i] = without_frames(error)

    def decode_only(
        self, rows: NDArray[np.int64], random_numbers: Sequence[float], sinks: Mapping[str, EncodedSink], scratch: Scratch
    ) -> None:  # fmt: skip
        """Decode files without using the result, to measure the speed of decoding. Files that cannot be decoded are skipped."""
        assert scratch.decode_buffer is not None
        for i, data in sinks[self._image].files.items():
            files = {name: sink.files.get(i, data) for name, sink in sinks.items()}
            try:
                plan = self._plan(data, int(rows[i]), random_numbers)
                buffer = scratch.decode_buffer.ensure(*self._need(files, plan), self._source, int(rows[i]))
                decode(data, plan.info, self._stored.mode, plan.eighths, buffer)
            except BitesizeError:
                continue

    def _render_alone(
        self, row: int, random_numbers: Sequence[float], out: Mapping[str, NDArray[Any]], context: ReadContext
    ) -> None:
        """Read and render a row whose files did not fit the rest of the read buffer."""
        try:
            files = self._read(row, context.scratch.arena(), context)
        except ArenaFull as error:
            self._render_large(row, error.nbytes, random_numbers, out, context)
        else:
            self._render_one(files, row, random_numbers, out, context.scratch)

    def _render_large(
        self, row: int, nbytes: int, random_numbers: Sequence[float], out: Mapping[str, NDArray[Any]], context: ReadContext
    ) -> None:
        """Read and render a row whose files are larger than the read buffer. The pool provides memory for files and pixels."""
        scratch = context.scratch
        assert scratch.decode_buffer is not None
        while True:
            buffer = scratch.decode_buffer.ensure(nbytes, nbytes, self._source, row)
            try:
                files = self._read(row, Arena(buffer[:nbytes]), context)
                break
            except ArenaFull as error:
                nbytes += error.nbytes  # a mask of the image
        plan = self._fitted(
            files, self._plan(files[self._image], row, random_numbers), aligned(nbytes), scratch.decode_buffer.most
        )
        charge, size = (aligned(nbytes) + more for more in self._need(files, plan))
        if not scratch.decode_buffer.has(charge, size):
            # Drop the files before the request for all memory at once, because a waiting thread must hold no bytes of the pool.
            del files
            buffer = scratch.decode_buffer.ensure(charge, size, self._source, row)
            files = self._read(row, Arena(buffer[:nbytes]), context)
        self._decode_and_render(files, row, plan, buffer[aligned(nbytes) :], out, scratch)
        scratch.decode_buffer.yield_if_wanted()

    def _render_one(
        self, files: Mapping[str, memoryview], row: int, random_numbers: Sequence[float], out: Mapping[str, NDArray[Any]],
        scratch: Scratch
    ) -> None:  # fmt: skip
        assert scratch.decode_buffer is not None
        scratch.doing = ("decoding", row)
        plan = self._fitted(files, self._plan(files[self._image], row, random_numbers), 0, scratch.decode_buffer.most)
        buffer = scratch.decode_buffer.ensure(*self._need(files, plan), self._source, row)
        self._decode_and_render(files, row, plan, buffer, out, scratch)
        scratch.decode_buffer.yield_if_wanted()

    def _plan(self, data: memoryview, row: int, random_numbers: Sequence[float]) -> DecodePlan:
        """Read the header, adjust the view, choose the decoding scale, and keep the geometry for masks."""
        try:
            info = read_info(data)
            check_pixels(info, self._stored.mode, self._stored.pixels)
        except BadFile as error:
            raise type(error)(f"{self._source.describe(row)}: {error}") from error
        orientation = info.orientation if self._stored.orient else 1
        log_losses(self._source, row, info, self._stored.mode)
        reduction = plan_reduction(info, self._max_side, self._stored.channels)
        stored_height, stored_width = (info.height, info.width) if reduction is None else reduction.shape[:2]
        width, height = (stored_height, stored_width) if orientation >= 5 else (stored_width, stored_height)
        view = self.adjusted(View(width, height, self._full_scale), random_numbers)
        if view.height != self._height or view.width != self._width:
            raise BadFile(
                f"{self._source.describe(row)} is {width} x {height} pixels, but the first image is {self._width} x "
                f"{self._height}: to batch images of different sizes, add a transform such as bs.Resize(224)"
            )
        # Kept for masks, which are rendered separately.
        geometry = (view.a, view.b, view.c, view.d, view.e, view.f, width, height) if self._masks else ()
        if orientation != 1:
            view.to_stored(orientation, stored_width, stored_height, 1.0)
        if reduction is not None:
            rendering = plan_render(view, stored_width, stored_height, self._stored.channels)
            eighths = decoding_eighths(reduction.view, info) if self._fast_decode else 8
            if eighths != 8:
                reduction = reduction.scaled(info, eighths / 8, eighths)
            return DecodePlan(view, info, eighths, rendering, geometry, reduction)
        # The pixels that a cache keeps must not depend on random numbers.
        eighths = decoding_eighths(view, info) if self._fast_decode and self._max_side is None else 8
        if info.from_jpeg and eighths != 8:
            raise NotKept(f"{self._source.describe(row)} is decoded at {eighths} / 8 of its size")
        if eighths != 8:
            view.to_stored(1, 0, 0, eighths / 8)
        rendering = plan_render(view, *decoded_size(info, eighths), self._stored.channels)
        return DecodePlan(view, info, eighths, rendering, geometry)

    def _fitted(self, files: Mapping[str, memoryview], plan: DecodePlan, other_nbytes: int, most: int) -> DecodePlan:
        """Choose a smaller decoding scale if the pool can never hold the memory for the chosen one, and other bytes."""
        while (
            self._fast_decode
            and plan.view.kind != NEAREST
            and (smaller := smaller_eighths(plan.info, plan.eighths))
            and other_nbytes + self._need(files, plan)[0] > most
        ):
            if plan.reduction is not None:
                reduction = plan.reduction.scaled(plan.info, smaller / plan.eighths, smaller)
                plan = plan._replace(eighths=smaller, reduction=reduction, shrunk=True)
                continue
            plan.view.to_stored(1, 0, 0, smaller / plan.eighths)
            rendering = plan_render(plan.view, *decoded_size(plan.info, smaller), self._stored.channels)
            plan = plan._replace(eighths=smaller, rendering=rendering, shrunk=True)
        return plan

    def _need(self, files: Mapping[str, memoryview], plan: DecodePlan) -> tuple[int, int]:
        """Return (bytes to charge, bytes of buffer) for decoding and rendering."""
        info, mode, eighths = plan.info, self._stored.mode, plan.eighths
        kernel = aligned(4 * plan.rendering.scratch)
        if plan.reduction is not None:
            kernel = max(kernel, aligned(4 * plan.reduction.rendering.scratch)) + plan.reduction.nbytes(self._stored.dtype)
        charge = decode_nbytes(info, mode, eighths, files[self._image].nbytes) + kernel + 64
        size = aligned(pixels_nbytes(info, mode, eighths)) + kernel
        if self._masks:  # each mask is decoded after the image, into the same memory, so the largest counts
            largest = max(mask_nbytes(info, files[name].nbytes) for name in self._masks)
            line = aligned(4 * mask_values(self._width))
            charge, size = max(charge, largest + line + 64), max(size, aligned(info.width * info.height * 2) + line)
        return charge, size

    def _decode_and_render(
        self,
        files: Mapping[str, memoryview],
        row: int,
        plan: DecodePlan,
        buffer: NDArray[np.uint8],
        out: Mapping[str, NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        begun = perf_counter()
        try:
            pixels = decode(files[self._image], plan.info, self._stored.mode, plan.eighths, buffer)
        except BadFile as error:
            raise type(error)(f"{self._source.describe(row)}: {error}") from error
        if self._observe is not None:
            self._observe(row, plan.info, pixels)
        decoded = perf_counter()
        at = aligned(pixels_nbytes(plan.info, self._stored.mode, plan.eighths))
        if plan.reduction is not None:
            out_nbytes = plan.reduction.nbytes(self._stored.dtype)
            values = buffer[at + out_nbytes :][: 4 * plan.reduction.rendering.scratch].view(np.float32)
            pixels = plan.reduction.apply(pixels, values, buffer[at : at + out_nbytes])
            at += out_nbytes
        if plan.shrunk:
            scratch.shrunk.add(row)
        elif scratch.keep is not None:
            scratch.keep(row, plan.info, plan.eighths, pixels, files)
        values = buffer[at : at + 4 * plan.rendering.scratch].view(np.float32)
        render(pixels, plan.view, plan.rendering, values, self._canvas, out[self._image])
        scratch.clock.decode += decoded - begun
        scratch.clock.render += perf_counter() - decoded
        for name in self._masks:
            self._render_mask(files[name], name, row, plan.geometry, buffer, out[name])

    def _render_mask(
        self, data: memoryview, name: str, row: int, geometry: tuple[float, ...], buffer: NDArray[np.uint8], out: NDArray[Any]
    ) -> None:  # fmt: skip
        """Render a mask with the geometry of its image."""
        try:
            info = read_info(data)
            orientation = info.orientation if self._masks[name].orient else 1
            width, height = (info.height, info.width) if orientation >= 5 else (info.width, info.height)
            if (width, height) != geometry[6:]:
                raise BadFile(f"is {width} x {height} pixels, but its image is {geometry[6]:.0f} x {geometry[7]:.0f}")
            numbers = decode_mask(data, info, out.dtype, buffer)
        except BadFile as error:
            raise type(error)(f"the mask ({name!r}) of {self._source.describe(row)}: {error}") from error
        view = View(out.shape[1], out.shape[0])
        view.a, view.b, view.c, view.d, view.e, view.f = geometry[:6]
        view.to_stored(orientation, info.width, info.height, 1.0)
        at = aligned(numbers.nbytes)
        render_mask(numbers, view, self._mask_fill, buffer[at:].view(np.float32), self._mask_canvases[name], out)

    def _read(self, row: int, arena: Arena, context: ReadContext) -> dict[str, memoryview]:
        """Read one row's files again. Its other fields are already in the slot."""
        begun = perf_counter()
        sinks = {name: EncodedSink(arena.take) for name in self.fields}
        ignored_fields = {name: ignored(field) for name, field in self._source.spec.items() if name not in sinks}
        try:
            context.reader.read(np.array([row], np.int64), {**ignored_fields, **sinks})
        except BadRows as error:
            raise error.causes[0] from None
        finally:
            context.scratch.clock.read += perf_counter() - begun
        context.scratch.clock.nbytes += sum(sink.files[0].nbytes for sink in sinks.values())
        return {name: sink.files[0] for name, sink in sinks.items()}


def _observer(source: Source) -> Callable[[int, ImageInfo, NDArray[Any]], None] | None:
    """Return the observer of decoded pixels of a source, or of a source that it wraps; see `SourceWrapper.see_pixels`."""
    while isinstance(source, SourceWrapper):
        if source.see_pixels is not None:
            return source.see_pixels
        source = source.base
    return None


def decoding_eighths(view: View, info: ImageInfo) -> int:
    """Return the decoding scale in eighths, for a view in stored pixels; for raw pixels of a JPEG, that of the JPEG."""
    if info.from_jpeg:
        info = info._replace(kind="JPEG", from_jpeg=False)
    if info.kind != "JPEG" or view.kind == NEAREST:
        return 8
    if view.b == 0.0 and view.d == 0.0:
        spare_x, spare_y = abs(view.a) / _SPARE, abs(view.e) / _SPARE
    elif view.upright:
        spare_x, spare_y = abs(view.b) / _SPARE, abs(view.d) / _SPARE
    else:
        spare_x = spare_y = min(view.steps()) / _SPARE
    if spare_x < 2.0 or spare_y < 2.0:  # even half the size is too small
        return 8
    return choose_eighths(info, info.width / spare_x, info.height / spare_y)
