"""Rows whose images are packed decoded, upright and reduced to a longest side; or encoded again as JPEG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import decode, decode_nbytes, decoded_size, pixels_nbytes
from bitesize.decode.header import ImageInfo, read_info
from bitesize.decode.info import check_pixels
from bitesize.decode.mask import decode_mask, mask_nbytes
from bitesize.decode.reduced import log_losses
from bitesize.errors import BadFile, BitesizeError, without_frames
from bitesize.memory.mapping import aligned, allocate
from bitesize.packed.fields import ShardField
from bitesize.packing.pieces import Failure, Piece
from bitesize.packing.reading import LargeRows, RowReader
from bitesize.pipeline.images import decoding_eighths
from bitesize.pipeline.inference import integer_limits
from bitesize.pipeline.reduction import Size, reduced_size
from bitesize.sources.base import Source
from bitesize.sources.row import turned
from bitesize.sources.sinks import ArenaFull
from bitesize.spec import Encoded, Field
from bitesize.transforms.canvas import Canvas
from bitesize.transforms.render import RenderPlan, mask_canvas, mask_values, plan_render, render, render_mask
from bitesize.transforms.view import View


def upright_size(info: ImageInfo, orient: bool) -> Size:
    """Return height and width of an image after rotation by its EXIF orientation."""
    return (info.width, info.height) if orient and info.orientation >= 5 else (info.height, info.width)


class ImageWork(NamedTuple):
    """How one image is decoded: its header, its size in the store, and the memory that it needs.

    Attributes
    ----------
    info : ImageInfo
        The header.
    size : tuple of int
        Height and width in the store.
    view : View or None
        How the image is reduced; None if it keeps its size.
    eighths : int
        Scale of decoding.
    plan : RenderPlan or None
        How the view is rendered.
    buffers : tuple of int
        Bytes of decoded pixels, of kernel scratch, and of the result.
    beside : int
        Bytes that the decoder needs for itself.
    """

    info: ImageInfo
    size: Size
    view: View | None
    eighths: int
    plan: RenderPlan | None
    buffers: tuple[int, int, int]
    beside: int

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(map(aligned, self.buffers))


class Decoding:
    """Decodes the images and masks of rows.

    Parameters
    ----------
    source
        Source of the rows.
    fields
        The fields of the shards.
    reader
        Reader of the thread.
    large
        Memory for large rows.
    max_side
        Longest side of an image in the store, or None.
    quality
        JPEG quality, or None to store pixels.
    nbytes
        Bytes of the thread for decoding.
    """

    def __init__(
        self,
        source: Source,
        fields: Mapping[str, ShardField],
        reader: RowReader,
        large: LargeRows,
        max_side: int | None,
        quality: int | None,
        nbytes: int,
    ) -> None:
        self._source, self._fields, self._reader, self._large = source, fields, reader, large
        self._max_side, self._quality, self._memory = max_side, quality, allocate(nbytes)
        self._encoded = {name: field for name, field in source.spec.items() if isinstance(field, Encoded)}

    def pieces(self, start: int, stop: int) -> Iterator[Piece | Failure]:
        """Yield the rows from ``start`` to ``stop``, in order, one by one."""
        row = start
        while row < stop:
            rows = np.arange(row, min(row + self._reader.rows, stop), dtype=np.int64)
            stored = self._reader.read(rows)
            for i in range(len(rows)):
                error = stored.failed.get(i)
                if isinstance(error, ArenaFull):
                    break  # read again, after the rows before it
                row += 1
                if error is not None:
                    yield Failure(int(rows[i]), error)
                    continue
                files = {name: of[i] for name, of in stored.files.items()}
                yield from self._row(int(rows[i]), files, {name: array[i : i + 1] for name, array in stored.arrays.items()})
            else:
                continue
            if row == rows[0]:
                with self._large.row(self._reader, self._source, row) as alone:
                    if 0 in alone.failed:
                        yield Failure(row, alone.failed[0])
                    else:
                        yield from self._row(row, {name: of[0] for name, of in alone.files.items()}, alone.arrays)
                row += 1

    def _row(self, row: int, files: Mapping[str, memoryview], values: dict[str, NDArray[Any]]) -> Iterator[Piece | Failure]:
        try:
            works = {name: self._work(name, row, files) for name in self._encoded}
            need, beside = sum(work.nbytes for work in works.values()), sum(work.beside for work in works.values())
            if need + beside <= len(self._memory):
                yield Piece(1, self._decoded(row, files, works, values, self._memory))
            else:
                with self._large.memory(need, self._source.describe(row), beside) as memory:
                    yield Piece(1, self._decoded(row, files, works, values, memory))
        except BadFile as error:
            yield Failure(row, without_frames(type(error)(f"{self._source.describe(row)}: {error}")))
        except BitesizeError as error:
            yield Failure(row, without_frames(error))

    def _decoded(
        self, row: int, files: Mapping[str, memoryview], works: Mapping[str, ImageWork], values: Mapping[str, Any], memory: NDArray[np.uint8]
    ) -> dict[str, Any]:  # fmt: skip
        done: dict[str, Any] = dict(values)
        for name, work in works.items():
            if self._fields[name].kind == "blob" and _is_kept(work):
                done[name] = [files[name]]
                memory = memory[work.nbytes :]
                continue
            pixels = self._pixels(name, row, files[name], work, memory)
            memory = memory[work.nbytes :]
            if self._fields[name].kind == "blob":
                done[name] = [_jpeg(pixels, self._quality or 0)]
            elif self._fields[name].kind == "pixels":
                done[name] = [pixels]
            else:
                done[name] = self._of_one_shape(name, pixels)
        return done

    def _of_one_shape(self, name: str, pixels: NDArray[Any]) -> NDArray[Any]:
        shape = self._fields[name].shape
        if pixels.size != np.prod(shape) or pixels.shape[: len(shape)] != shape:
            raise BadFile(
                f"is {pixels.shape[1]} x {pixels.shape[0]} pixels, but the images before are {shape[1]} x {shape[0]}"
            )
        return pixels.reshape(1, *shape)

    def _work(self, name: str, row: int, files: Mapping[str, memoryview]) -> ImageWork:
        info, field = read_info(files[name]), self._encoded[name]
        mask = field.kind == "mask"
        full = upright_size(info, field.orient)
        if mask and name != self._source.primary:
            self._check_size(name, row, full, files)
        size = reduced_size(full, self._max_side)
        view, eighths, plan = None, 8, None
        if size != full:
            view = View(full[1], full[0], 255.0)
            view.rescale(size[1], size[0])
            if field.channels not in (1, 3, 4):
                view.spread(field.channels)
            view.to_stored(info.orientation if field.orient else 1, info.width, info.height, 1.0)
            if not mask:
                eighths = decoding_eighths(view, info)
                view.to_stored(1, 0, 0, eighths / 8)
                plan = plan_render(view, *decoded_size(info, eighths), field.channels)
        dtype = self._fields[name].dtype or field.dtype
        pixels = size[0] * size[1] * field.channels * dtype.itemsize
        moved = view is not None or (field.orient and info.orientation != 1)
        result = pixels if moved else 0  # otherwise decoded pixels are stored
        if mask:
            scratch = 4 * mask_values(size[1])
            return ImageWork(
                info,
                size,
                view,
                8,
                None,
                (info.width * info.height * 2, scratch, result),
                mask_nbytes(info, len(files[name])),
            )
        check_pixels(info, field.mode, field.pixels)
        log_losses(self._source, row, info, field.mode)
        decoded = pixels_nbytes(info, field.mode, eighths)
        beside = decode_nbytes(info, field.mode, eighths, len(files[name])) - decoded
        if self._quality is not None:
            beside += 2 * pixels  # the encoder's, and its result
        return ImageWork(info, size, view, eighths, plan, (decoded, 4 * plan.scratch if plan else 0, result), beside)

    def _check_size(self, name: str, row: int, size: Size, files: Mapping[str, memoryview]) -> None:
        """Raise `BadFile` if a mask has not the size of its image."""
        primary = self._source.primary
        if primary not in self._encoded:
            return
        image = upright_size(read_info(files[primary]), self._encoded[primary].orient)
        if size != image:
            raise BadFile(f"the mask ({name!r}) is {size[1]} x {size[0]} pixels, but its image is {image[1]} x {image[0]}")

    def _pixels(self, name: str, row: int, data: memoryview, work: ImageWork, memory: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the pixels of an image or a mask for the store, shape (height, width, channels)."""
        field, info = self._encoded[name], work.info
        starts = np.cumsum([0, *map(aligned, work.buffers)]).tolist()
        decoded, scratch, result = (memory[a:b] for a, b in pairwise(starts))
        orientation = info.orientation if field.orient else 1
        mask, dtype = field.kind == "mask", self._fields[name].dtype or field.dtype
        native = dtype.newbyteorder("=")
        if mask:
            pixels = decode_mask(data, info, native, decoded)
        else:
            pixels = decode(data, info, field.mode, work.eighths, decoded)
        if work.view is None and orientation == 1:
            return pixels
        height, width = work.size
        out = result[: height * width * field.channels * native.itemsize].view(native).reshape(height, width, field.channels)
        values = scratch.view(np.float32)
        if work.view is None:
            out[...] = turned(pixels, orientation)
        elif mask:
            canvas = mask_canvas(Field((height, width), native, mask=True))
            render_mask(pixels, work.view, 0, values, canvas, out[..., 0])
        else:
            assert work.plan is not None
            canvas = Canvas(out.shape, native, False, integer_limits(native))
            render(pixels, work.view, work.plan, values, canvas, out)
        return out

    def close(self) -> None:
        """Free the memory."""
        self._reader.close()
        self._memory = np.empty(0, np.uint8)


def _is_kept(work: ImageWork) -> bool:
    """Return whether a file is stored unchanged: a JPEG that is not too large would only lose by being encoded again."""
    return work.info.kind == "JPEG" and work.view is None


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    import simplejpeg

    colors = "RGB" if pixels.shape[2] == 3 else "GRAY"
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality, colors, "420" if colors == "RGB" else "444"
    )
    return encoded
