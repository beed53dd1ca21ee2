"""Encoded images of a bite: looked at, decoded into scratch, drawn into the slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import choose_eighths, decode, decode_nbytes, decoded_size, pixels_nbytes
from bitesize.decode.header import ImageInfo, read_info
from bitesize.engine.scratch import NoRoom, Reader, Scratch
from bitesize.errors import BadFile, BadRows, BitesizeError
from bitesize.memory.mapping import aligned
from bitesize.sources.base import Source
from bitesize.spec import Encoded, Field
from bitesize.transforms.render import kernel_need, render
from bitesize.transforms.view import View

Layout = Literal["HWC", "CHW"]

# The field that transforms apply to.
IMAGE = "x"
# A JPEG is decoded at a fraction of its size only if that leaves this many decoded pixels an output pixel, both ways:
# below, the decoder's box filter shows (at most 1.4 levels mean difference).
_SPARE = 1.5


class EncodedRows:
    """Draws rows that are encoded images.

    Parameters
    ----------
    source, what
        Where rows come from, and what their image field is.
    shape, layout
        Of one row in the batch.
    limits
        Least and greatest value of an integer output; (0, 0) for floats.
    adjust
        Applies all transforms to a view, given the row's random numbers.
    fast_decode
        Whether a JPEG may be decoded at a fraction of its size.
    """

    def __init__(
        self,
        source: Source,
        what: Encoded,
        shape: tuple[int, ...],
        layout: Layout,
        limits: tuple[float, float],
        adjust: Callable[[View, Sequence[float]], View],
        fast_decode: bool,
    ) -> None:
        self._source = source
        self._what = what
        self._shape = shape
        self._layout = layout
        self._limits = limits
        self._adjust = adjust
        self._fast_decode = fast_decode

    def draw(
        self,
        rows: NDArray[np.int64],
        draws: Sequence[Sequence[float]],
        reader: Reader,
        failed: dict[int, Exception],
        out: NDArray[Any],
        scratch: Scratch,
    ) -> None:
        """Draw what was read into ``reader``, and note in ``failed`` what could not be, by index; see `Pipeline.fill`."""
        hwc = out.transpose(0, 2, 3, 1) if self._layout == "CHW" else out
        later = [i for i, error in failed.items() if isinstance(error, NoRoom)]
        for i in later:
            del failed[i]
        for i, data in reader.files.items():
            if i in failed or i in later:
                continue
            try:
                self._draw_one(data, int(rows[i]), draws[i], hwc[i], scratch)
            except BitesizeError as error:
                failed[i] = error
        for i in later:
            try:
                self._draw_alone(int(rows[i]), draws[i], hwc[i], scratch)
            except BitesizeError as error:
                failed[i] = error

    def _draw_alone(self, row: int, draws: Sequence[float], out: NDArray[Any], scratch: Scratch) -> None:
        """Read and draw a row whose file did not fit what was left of the read buffer."""
        reader = scratch.reader()
        try:
            self._read_x(row, reader)
        except NoRoom as error:
            self._draw_large(row, error.nbytes, draws, out, scratch)
        else:
            self._draw_one(reader.files[0], row, draws, out, scratch)

    def _draw_large(self, row: int, nbytes: int, draws: Sequence[float], out: NDArray[Any], scratch: Scratch) -> None:
        """Read and draw a row whose file is larger than the read buffer: file and pixels both come out of the pool."""
        assert scratch.transient is not None
        what = self._source.describe(row)
        buffer = scratch.transient.ensure(nbytes, nbytes, what)
        self._read_x(row, Reader(buffer))
        view, info, eighths, need = self._look(memoryview(buffer)[:nbytes], row, draws)  # type: ignore[arg-type]
        charge, size = self._decode_need(info, eighths, need, nbytes)
        # What was read is given up before asking for all of it at once: no thread waits with bytes in its hands.
        buffer = scratch.transient.ensure(aligned(nbytes) + charge, aligned(nbytes) + size, what)
        self._read_x(row, Reader(buffer))
        data = memoryview(buffer)[:nbytes]  # type: ignore[arg-type]
        self._decode_and_render(data, row, view, info, eighths, need, buffer[aligned(nbytes) :], out)
        scratch.transient.yield_if_wanted()

    def _draw_one(self, data: memoryview, row: int, draws: Sequence[float], out: NDArray[Any], scratch: Scratch) -> None:
        assert scratch.transient is not None
        view, info, eighths, need = self._look(data, row, draws)
        buffer = scratch.transient.ensure(*self._decode_need(info, eighths, need, data.nbytes), self._source.describe(row))
        self._decode_and_render(data, row, view, info, eighths, need, buffer, out)
        scratch.transient.yield_if_wanted()

    def _look(self, data: memoryview, row: int, draws: Sequence[float]) -> tuple[View, ImageInfo, int, tuple[int, int, int]]:
        """Read the header, adjust the view, and choose the scale to decode at."""
        try:
            info = read_info(data)
        except BadFile as error:
            raise BadFile(f"{self._source.describe(row)}: {error}") from error
        orientation = info.orientation if self._what.orient else 1
        width, height = (info.height, info.width) if orientation >= 5 else (info.width, info.height)
        view = self._adjust(View(width, height), draws)
        out_h, out_w = self._shape[:2] if self._layout == "HWC" else self._shape[1:]
        if view.height != out_h or view.width != out_w:
            raise BadFile(
                f"{self._source.describe(row)} is {width} x {height} pixels and the first image {out_w} x "
                f"{out_h}: to batch images of different sizes, add a transform such as bs.Resize(224)"
            )
        view.to_stored(orientation, info.width, info.height, 1.0)
        eighths = _eighths(view, info) if self._fast_decode else 8
        view.to_stored(1, 0, 0, eighths / 8)
        return view, info, eighths, kernel_need(view, decoded_size(info, eighths)[0], self._what.channels)

    def _decode_need(self, info: ImageInfo, eighths: int, need: tuple[int, int, int], file_nbytes: int) -> tuple[int, int]:
        """Tell (bytes to charge, bytes of buffer) for decoding and drawing."""
        kernel = aligned(4 * need[2])
        return decode_nbytes(info, self._what.mode, eighths, file_nbytes) + kernel + 64, aligned(
            pixels_nbytes(info, self._what.mode, eighths)
        ) + kernel

    def _decode_and_render(
        self,
        data: memoryview,
        row: int,
        view: View,
        info: ImageInfo,
        eighths: int,
        need: tuple[int, int, int],
        buffer: NDArray[np.uint8],
        out: NDArray[Any],
    ) -> None:
        try:
            pixels = decode(data, info, self._what.mode, eighths, buffer)
        except BadFile as error:
            raise BadFile(f"{self._source.describe(row)}: {error}") from error
        at = aligned(pixels.nbytes)
        scratch = buffer[at : at + 4 * need[2]].view(np.float32)
        render(pixels, view, self._limits, need, scratch, out)

    def _read_x(self, row: int, reader: Reader) -> None:
        """Read one row's file again; its other fields are in the slot already."""
        into = {name: reader if name == IMAGE else ignored(field) for name, field in self._source.spec.items()}
        try:
            self._source.read(np.array([row], np.int64), into)
        except BadRows as error:
            raise error.causes[0] from None


def _eighths(view: View, info: ImageInfo) -> int:
    """Choose the scale to decode at, for a view in stored pixels."""
    turned = view.a == 0.0 and view.e == 0.0
    out_x, out_y = (view.height, view.width) if turned else (view.width, view.height)
    part_x = abs(view.a) * view.width + abs(view.b) * view.height
    part_y = abs(view.d) * view.width + abs(view.e) * view.height
    return choose_eighths(info, _SPARE * out_x * info.width / part_x, _SPARE * out_y * info.height / part_y)


def size_of_first_row(source: Source, what: Encoded) -> tuple[int, int]:
    """Learn the size of the images from the first; later ones must have the same."""
    reader = OneFile()
    try:
        source.read(np.zeros(1, np.int64), {name: reader if name == IMAGE else ignored(field)
                                                 for name, field in source.spec.items()})  # fmt: skip
        info = read_info(memoryview(reader.data))
    except BadRows as error:
        raise next(iter(error.causes.values())) from None
    except BadFile as error:
        raise BadFile(f"{source.describe(0)} (row 0): {error}") from error
    turned = what.orient and info.orientation >= 5
    return (info.width, info.height) if turned else (info.height, info.width)


class OneFile:
    """Takes the bytes of one file, whatever its size: for a look at its header."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, i: int, nbytes: int) -> memoryview:
        """Give a buffer."""
        self.data = bytearray(nbytes)
        return memoryview(self.data)


def ignored(field: Field | Encoded) -> Any:
    """Give something for a source to read a field into that nobody looks at."""
    return np.empty((1, *field.shape), field.dtype) if isinstance(field, Field) else OneFile()
