"""Rows of fixed size: cast into the slot many at a time, or rendered one by one if their transforms differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bitesize.files.pread import HAS_PREADV, READ_FLAGS, joined
from bitesize.kernels.filters import PLAIN as AS_IT_IS
from bitesize.kernels.warm import Job, is_warm
from bitesize.pipeline.inference import READ_TYPES, integer_limits
from bitesize.pipeline.scratch import Scratch
from bitesize.pipeline.stages import TransformStages
from bitesize.sources.protocol import Located, flat_rows
from bitesize.spec import Field, axes_of_rows
from bitesize.transforms.canvas import Canvas, storage
from bitesize.transforms.render import (
    RowPlans,
    mask_canvas,
    mask_values,
    most_values,
    plan_render,
    plan_rows,
    render_mask,
    render_rows,
    warm_up,
)
from bitesize.transforms.view import PLAIN, View

# Where rows are located: in files, at addresses in memory, or in one array in memory.
Place = Literal["files", "addresses", "array"]
# Approximate number of values that are multiplied and added at once: a few KB, which stay in the fastest cache.
_CHUNK = 1536
# Bytes that are read before they are cast: a part of the cache of a core.
_PIECE_BYTES = 1 << 17
_NONE = np.empty(0, np.int64)
# Name of the compiled code that copies rows.
_GATHER = "gather"


class ArrayRenderer:
    """Renders or casts rows of a `Field` into the batch.

    Parameters
    ----------
    name
        Name of the field.
    stored
        The field in the source.
    rendered
        The field in the batch.
    stages
        Transforms.
    chw
        Whether channels come first in the batch.
    masks
        Fields that move with the image.
    located
        Where rows are located that are fetched in one step.
    full_scale
        Value of full brightness; by default, 255 for uint8 and 1 for other dtypes, which are not rescaled.
    """

    def __init__(
        self,
        name: str,
        stored: Field,
        rendered: Field,
        stages: TransformStages,
        chw: bool,
        masks: Mapping[str, Field],
        located: Place,
        full_scale: float | None = None,
    ) -> None:
        self._name = name
        self.stored, self.rendered = stored, rendered
        self._masks = masks if stages.needs_image else {}
        self._views = [(view.adjust, view.random_count) for view in stages.image_transforms]
        self._warps = stages.non_axis_aligned or bool(self._masks)
        self._needs_image, self._random = stages.needs_image, stages.random
        self._fill, self._mask_fill = stages.surroundings
        axes = axes_of_rows(stored)
        self._channels = stages.channels_of(stored)
        self._spread = stages.spreads(self._channels, stored)
        self._chw = chw and axes.endswith("C")
        self._resamples = not all(step.whole_pixels for step in stages.image_transforms)
        self._full_scale = full_scale or (255.0 if stored.dtype == np.uint8 else 1.0)
        self._height, self._width = stored.shape[axes.index("H") :][:2] if axes else (1, 1)
        self._limits = integer_limits(rendered.dtype)
        self._canvas = self._make_canvas() if axes else None
        self._mask_canvases = {name: self._make_mask_canvas(field) for name, field in self._masks.items()}
        self._code = storage(rendered.dtype)
        known = stored.dtype in READ_TYPES
        # Whether float32 is wide enough for intermediate values; otherwise compiled code uses float64, for the types that it supports.
        self.narrow = known and _is_narrow(rendered.dtype) and (_is_narrow(stored.dtype) or stored.dtype == np.float64)
        self._compiled = known and (self.narrow or rendered.dtype in READ_TYPES)
        # What all rows have in common, if nothing is random.
        self._plan_of_all: RowPlans | None = None
        self._constant: tuple[NDArray[Any], NDArray[Any], bool, tuple[float, float]] | None = None
        # Rows that are only cast can be fetched in one step.
        self._one_step, self._located = self.narrow and not stages.needs_image, located
        self._fetch_names: dict[Place, str] = {place: f"fetch {stored} {rendered} {place}" for place in get_args(Place)}
        # Rows without transforms and casts are read directly into the slot.
        self.direct = not stages.image_transforms and not self._chw and rendered.dtype == stored.dtype

    @property
    def kernel_values(self) -> int:
        """Largest number of float32 values of scratch that rendering a row needs."""
        if not self._needs_image:
            return 0
        return self._render_values()

    def _render_values(self) -> int:
        """Return the number of float32 values of scratch for rows whose pixels are moved."""
        out_h, out_w = self.rendered.shape[1:] if self._chw else self.rendered.shape[:2]
        if not self._random:
            plan = plan_render(self._adjusted(()), self._width, self._height, self._channels)
            return max(plan.scratch, mask_values(out_w))
        return max(most_values(self._width, self._height, self._channels, out_w, out_h), mask_values(out_w))

    def _make_canvas(self) -> Canvas:
        return Canvas(self.rendered.shape, self.rendered.dtype, self._chw, self._limits)

    def _make_mask_canvas(self, field: Field) -> Canvas:
        return mask_canvas(field)

    def _new_view(self) -> View:
        return View(self._width, self._height, self._full_scale)

    def warm(self, keeps_rows: bool) -> list[Job]:
        """Return the jobs that load the compiled code, also for rows of files that are kept in memory if ``keeps_rows``."""
        if self.direct:
            return [(_GATHER, _warm_gather)] if keeps_rows or self._located == "array" else []
        if self.stored.dtype not in READ_TYPES:
            return []
        if self._needs_image:
            return self._warm_rendering()
        one = (1, 1, self._channels)
        rows, random_numbers = np.zeros((1, *one), self.stored.dtype), [(0.5,) * sum(count for _, count in self._views)]
        out = np.zeros((1, *(one[::-1] if self._chw else one)), self.rendered.dtype)
        jobs: list[Job] = [(f"cast {self.stored} {self.rendered}", lambda: self._cast(rows, random_numbers, out))]
        if self._one_step:
            zero = np.zeros(1, np.int64)
            where = {
                "files": Located([b""], zero, zero),
                "addresses": Located([], zero, zero + rows.ctypes.data, in_memory=True),
                "array": Located([], zero, zero, in_memory=True, array=flat_rows(rows)),
            }
            places = {self._located, "array"} if keeps_rows else {self._located}
            jobs += [
                (self._fetch_names[place], partial(self._warm_fetch, where[place], random_numbers, out, rows))
                for place in sorted(places if HAS_PREADV else places & {"array"})
            ]
        return jobs

    def _warm_rendering(self) -> list[Job]:
        """Return the jobs that load the compiled code for rows whose pixels are moved."""
        canvas, read = self._canvas, self.stored.dtype
        assert canvas is not None
        return [(f"resample {read} {canvas.stored} {self._warps}", lambda: warm_up(read, canvas, self._warps))]

    def _warm_fetch(
        self, where: Located, random_numbers: Sequence[Sequence[float]], out: NDArray[Any], rows: NDArray[Any]
    ) -> None:  # fmt: skip
        self.fetch(where, random_numbers, out, rows)

    @property
    def may_fetch(self) -> bool:
        """Return whether located rows may be read in one step: rows that are only copied, if the compiled code is loaded."""
        return is_warm(_GATHER) if self.direct else self._one_step

    def fetches(self, located: Located) -> bool:
        """Return whether located rows can be read and cast in one step, because the compiled code is loaded."""
        if self.direct:
            return located.array is not None and is_warm(_GATHER)
        if located.is_remote:
            return False
        place: Place = "files" if not located.in_memory else "addresses" if located.array is None else "array"
        return self._one_step and is_warm(self._fetch_names[place])

    def render(
        self, rows: Mapping[str, NDArray[Any]], random_numbers: Sequence[Sequence[float]], out: Mapping[str, NDArray[Any]],
        scratch: Scratch
    ) -> None:  # fmt: skip
        """Render or cast rows, as read, into the batch; see `Pipeline.fill`."""
        if self._needs_image:
            self._render_images(rows, random_numbers, out, scratch.kernel)
        else:
            self._cast(rows[self._name], random_numbers, out[self._name])

    def _render_images(
        self, rows: Mapping[str, NDArray[Any]], random_numbers: Sequence[Sequence[float]], out: Mapping[str, NDArray[Any]],
        scratch: NDArray[np.float32]
    ) -> None:  # fmt: skip
        assert self._canvas is not None
        images = rows[self._name].reshape(-1, self._height, self._width, self._channels)
        planned = self._plan_of_all
        if planned is None:
            views = [self._adjusted(numbers) for numbers in random_numbers[: None if self._random else 1]]
            planned = plan_rows(views, self._width, self._height, self._channels, self._canvas)
            self._plan_of_all = None if self._random else planned
        render_rows(images, planned, scratch, self._canvas, out[self._name])
        for name in self._masks:
            for i in range(len(images)):
                view = self._adjusted(random_numbers[i])
                canvas = self._mask_canvases[name]
                render_mask(rows[name][i][..., None], view, self._mask_fill, scratch, canvas, out[name][i])

    def _adjusted(self, random_numbers: Sequence[float]) -> View:
        view = self._new_view()
        view.fill = self._fill
        if self._spread:
            view.spread(self._channels)
        at = 0
        for adjust, count in self._views:
            if count:
                adjust(view, random_numbers[at : at + count])
                at += count
            else:
                adjust(view, ())
        return view

    def _cast(self, rows: NDArray[Any], random_numbers: Sequence[Sequence[float]], out: NDArray[Any]) -> None:
        """Multiply, add, cast and lay out many rows in one call."""
        channels = self._channels
        factor, offset, plain, limits = self._casting(random_numbers, channels)
        if self.narrow:
            from bitesize.kernels.cast import cast_rows  # loads the compiler: only callers that cast wait for it

            line = np.empty(factor.shape[1], np.float32)  # a few KB
            cast_rows(rows.reshape(len(rows), -1), plain, factor, offset, line, limits, *self._stored(out, channels))
        elif self._compiled:
            from bitesize.kernels.cast import cast_wide_rows

            cast_wide_rows(rows.reshape(len(rows), -1, channels), factor, offset, limits, self._target(out, channels))
        else:
            self._cast_in_numpy(rows.reshape(len(rows), -1, channels), factor, offset, plain, self._target(out, channels))

    def fetch(
        self, located: Located, random_numbers: Sequence[Sequence[float]], out: NDArray[Any], scratch: NDArray[Any]
    ) -> NDArray[np.int64]:  # fmt: skip
        """Read located rows into the batch, multiply, add and cast them; return the indices of rows that could not be read."""
        if self.direct:
            assert located.array is not None
            _gather(located.array, located.offsets, out)
            return _NONE
        channels = self._channels
        factor, offset, plain, limits = self._casting(random_numbers, channels)
        stored = self._stored(out, channels)
        line = np.empty(factor.shape[1], np.float32)
        if located.array is not None:
            from bitesize.kernels.cast import cast_chosen_rows  # loads the compiler: only callers that cast wait for it

            cast_chosen_rows(located.array, located.offsets, plain, factor, offset, line, limits, *stored)
            return _NONE
        from bitesize.kernels.fetch import fetch_held, fetch_rows

        values = scratch.reshape(-1)
        piece = values[: max(1, min(_PIECE_BYTES // scratch.itemsize, len(values)) // factor.shape[1]) * factor.shape[1]]
        if located.in_memory:
            fetch_held(located.offsets, piece, plain, factor, offset, line, limits, *stored)
            return _NONE
        good = np.empty(len(located.which), np.bool_)
        header = np.frombuffer(located.header, np.uint8)
        fetch_rows(
            *(located.joined or joined(located.paths)), READ_FLAGS, located.which, located.offsets, header, np.empty_like(header), piece, plain,
            factor, offset, line, limits, good, *stored,
        )  # fmt: skip
        return np.flatnonzero(~good)

    def _casting(
        self, random_numbers: Sequence[Sequence[float]], channels: int
    ) -> tuple[NDArray[Any], NDArray[Any], bool, tuple[float, float]]:
        """Return factor and offset of each channel, whether they change nothing, and the limits of the output type."""
        if self._random:
            return self._compute_casting([self._adjusted(numbers) for numbers in random_numbers], channels)
        if self._constant is None:
            self._constant = self._compute_casting([self._adjusted(())], channels)
        return self._constant

    def _compute_casting(
        self, views: list[View], channels: int
    ) -> tuple[NDArray[Any], NDArray[Any], bool, tuple[float, float]]:
        factors, offsets = zip(*(view.factors_and_offsets(channels) for view in views), strict=True)
        factor, offset = np.array(factors), np.array(offsets)
        if self._spread:
            plain = bool((factor == 1.0).all() and (offset == 0.0).all())
        else:
            plain = all(v.color == PLAIN and v.alpha == 1.0 for v in views)
        # Integers that only change their type keep their values, which floats cannot represent beyond 2**53.
        limits = (0.0, 0.0) if plain and np.can_cast(self.stored.dtype, self.rendered.dtype) else self._limits
        if self.narrow:  # compiled code takes them repeated to the length of a chunk of pixels
            exact = np.float32 if _is_narrow(self.stored.dtype) else np.float64
            repeats = max(1, _CHUNK // channels)
            factor, offset = np.tile(factor.astype(exact), repeats), np.tile(offset.astype(exact), repeats)
        return factor, offset, plain, limits

    def _stored(self, out: NDArray[Any], channels: int) -> tuple[Any, ...]:
        """Return code, channels, rows of the batch, and distances from pixel to pixel and from channel to channel."""
        step, apart = (1, out[0].size // channels) if self._chw else (channels, 1)
        rows = out.reshape(len(out), -1)
        return self._code, channels, rows if self._code == AS_IT_IS else rows.view(np.uint16), step, apart

    def _target(self, out: NDArray[Any], channels: int) -> NDArray[Any]:
        """Return rows of the batch as (rows, pixels, channels)."""
        if self._chw:
            return out.reshape(len(out), channels, -1).transpose(0, 2, 1)
        return out.reshape(len(out), -1, channels)

    def _cast_in_numpy(
        self, source: NDArray[Any], factor: NDArray[Any], offset: NDArray[Any], plain: bool, target: NDArray[Any]
    ) -> None:  # fmt: skip
        """Cast types that compiled code does not support, row by row."""
        for i in range(len(source)):
            k = min(i, len(factor) - 1)
            values = source[i] if plain else source[i].astype(np.float32) * factor[k] + offset[k]
            if target.dtype.kind in "iu" and values.dtype.kind == "f":
                values = np.clip(np.floor(values.astype(np.float64) + 0.5), *self._limits)
            np.copyto(target[i], values, casting="unsafe")


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Return whether float32 can represent every value of a dtype."""
    return dtype == np.float32 or dtype.itemsize <= 2


def _gather(source: NDArray[Any], rows: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Copy rows of an array in memory into the batch."""
    from bitesize.kernels.gather import gather_rows  # loads the compiler

    gather_rows(source.view(np.uint8), rows, out.reshape(len(out), -1).view(np.uint8))


def _warm_gather() -> None:
    source = flat_rows(np.zeros((1, 1), np.uint8))
    assert source is not None
    _gather(source, np.zeros(1, np.int64), np.zeros((1, 1), np.uint8))
