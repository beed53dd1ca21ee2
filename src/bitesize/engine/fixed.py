"""Rows of fixed size: cast into the slot many at a time, or drawn one by one where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.scratch import Scratch
from bitesize.engine.shapes import IMAGE, READ_TYPES, Steps, integer_limits
from bitesize.kernels.filters import PLAIN as AS_IT_IS
from bitesize.kernels.filters import resample_values
from bitesize.kernels.warm import Job
from bitesize.spec import Field
from bitesize.transforms.render import Canvas, draw_mask, mask_canvas, mask_values, plan_drawing, render, storage, warm_up
from bitesize.transforms.view import PLAIN, View


class FixedRows:
    """Brings rows of a `Field` into the batch.

    Parameters
    ----------
    stored
        What rows are in the source.
    drawn
        What they are in the batch.
    steps
        What happens to them.
    chw
        Whether channels come first in the batch.
    masks
        Fields that move with the image.
    """

    def __init__(self, stored: Field, drawn: Field, steps: Steps, chw: bool, masks: Mapping[str, Field]) -> None:
        self.stored, self.drawn = stored, drawn
        self._masks = masks if steps.pictorial else {}
        self._views = [(view.adjust, view.draws) for view in steps.views]
        self._slants = steps.slants or bool(self._masks)
        self._pictorial, self._random = steps.pictorial, steps.random
        self._fill, self._mask_fill = steps.surroundings
        self._image = len(stored.shape) == 3 and stored.shape[2] in (1, 3, 4)
        self._chw = chw and self._image
        self._limits = integer_limits(drawn.dtype)
        self._canvas = Canvas(drawn.shape, drawn.dtype, self._chw, self._limits) if self._image else None
        self._mask_canvases = {name: mask_canvas(field) for name, field in self._masks.items()}
        self._code = storage(drawn.dtype)
        self._whole = 255.0 if stored.dtype == np.uint8 else 1.0
        # Rows that need nothing are read straight into the slot.
        self.direct = not steps.views and not self._chw and drawn.dtype == stored.dtype

    @property
    def kernel_values(self) -> int:
        """Float32 values of scratch that drawing a row needs, whatever is drawn."""
        if not self._pictorial:
            return 0
        height, width, channels = self.stored.shape
        out_h, out_w = self.drawn.shape[1:] if self._chw else self.drawn.shape[:2]
        if not self._random:
            return max(plan_drawing(self._adjusted(()), width, height, channels).scratch, mask_values(out_w))
        # Whatever is drawn, upright or turned, an output pixel is made of all pixels of the image at most.
        return max(
            resample_values(width, channels, width, height, out_h, out_w),
            resample_values(width, channels, width, height, out_w, out_h),
        )

    def warm(self) -> list[Job]:
        """List the compiled code that it needs."""
        if self.direct or self.stored.dtype not in READ_TYPES:
            return []
        if self._canvas is not None and self._pictorial:
            canvas = self._canvas
            return [
                (
                    f"resample {self.stored.dtype} {canvas.stored} {self._slants}",
                    lambda: warm_up(self.stored.dtype, canvas, self._slants),
                )
            ]
        one = (1, 1, self.stored.shape[2]) if self._image else ()
        rows, draws = np.zeros((1, *one), self.stored.dtype), [(0.5,) * sum(count for _, count in self._views)]
        out = np.zeros((1, *(one[::-1] if self._chw else one)), self.drawn.dtype)
        return [(f"cast {self.stored} {self.drawn} {self._chw}", lambda: self._cast(rows, draws, out))]

    def draw(
        self, rows: Mapping[str, NDArray[Any]], draws: Sequence[Sequence[float]], out: Mapping[str, NDArray[Any]],
        scratch: Scratch
    ) -> None:  # fmt: skip
        """Bring rows, as read, into the batch; see `Pipeline.fill`."""
        if self._pictorial:
            assert self._canvas is not None
            height, width, channels = self.stored.shape
            for i, row in enumerate(rows[IMAGE]):
                view = self._adjusted(draws[i])
                drawing = plan_drawing(view, width, height, channels)
                render(row, view, drawing, scratch.kernel, self._canvas, out[IMAGE][i])
                for name in self._masks:
                    draw_mask(
                        rows[name][i][..., None],
                        view,
                        self._mask_fill,
                        scratch.kernel,
                        self._mask_canvases[name],
                        out[name][i],
                    )
        else:
            self._cast(rows[IMAGE], draws, out[IMAGE])

    def _adjusted(self, draws: Sequence[float]) -> View:
        height, width = self.stored.shape[:2] if self._image else (1, 1)
        view = View(width, height, self._whole)
        view.fill = self._fill
        at = 0
        for adjust, count in self._views:
            adjust(view, draws[at : at + count])
            at += count
        return view

    def _cast(self, rows: NDArray[Any], draws: Sequence[Sequence[float]], out: NDArray[Any]) -> None:
        """Multiply and add, cast and lay out, many rows in one call."""
        channels = rows.shape[3] if self._image else 1
        views = [self._adjusted(draw) for draw in draws] if self._random else [self._adjusted(())]
        source = rows.reshape(len(rows), -1, channels)
        if self._chw:
            target = out.reshape(len(rows), channels, -1).transpose(0, 2, 1)
        else:
            target = out.reshape(len(rows), -1, channels)
        factor = np.array([[v.colour[0], v.colour[5], v.colour[10], v.alpha][:channels] for v in views])
        offset = np.array([[v.colour[3], v.colour[7], v.colour[11], 0.0][:channels] for v in views])
        plain = all(v.colour == PLAIN and v.alpha == 1.0 for v in views)
        # Integers that only change their type keep their values, which floats could not hold beyond 2**53.
        limits = (0.0, 0.0) if plain and np.can_cast(self.stored.dtype, self.drawn.dtype) else self._limits
        code = self._code
        if source.dtype in READ_TYPES and (code != AS_IT_IS or target.dtype in READ_TYPES):
            from bitesize.kernels.cast import cast_rows  # loads the compiler: only who casts waits for it

            cast_rows(source, factor, offset, limits, code, target if code == AS_IT_IS else target.view(np.uint16))
            return
        for i in range(len(rows)):
            k = min(i, len(views) - 1)
            values = source[i] if plain else source[i].astype(np.float32) * factor[k] + offset[k]
            if target.dtype.kind in "iu" and values.dtype.kind == "f":
                values = np.clip(np.floor(values.astype(np.float64) + 0.5), *self._limits)
            np.copyto(target[i], values, casting="unsafe")
