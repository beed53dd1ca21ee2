"""Reduction of decoded images to a longest side, before their transforms: one of the two ways in which a cache changes values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import decoded_size
from bitesize.decode.header import ImageInfo
from bitesize.memory.mapping import aligned
from bitesize.pipeline.inference import integer_limits
from bitesize.transforms.canvas import Canvas
from bitesize.transforms.render import RenderPlan, plan_render, render
from bitesize.transforms.view import View

Size = tuple[int, int]  # height, width


class Reduction(NamedTuple):
    """How decoded pixels are reduced: the view of the whole image, the plan to render it, and (height, width, channels) after it."""

    view: View
    rendering: RenderPlan
    shape: tuple[int, int, int]

    def nbytes(self, dtype: np.dtype[Any]) -> int:
        """Return the bytes of the reduced pixels in a buffer."""
        height, width, channels = self.shape
        return aligned(height * width * channels * dtype.itemsize)

    def scaled(self, info: ImageInfo, factor: float, eighths: int) -> Reduction:
        """Return the reduction of an image that is decoded at another scale: ``factor`` times the present one."""
        self.view.to_stored(1, 0, 0, factor)
        return self._replace(rendering=plan_render(self.view, *decoded_size(info, eighths), self.shape[2]))

    def apply(self, pixels: NDArray[Any], values: NDArray[np.float32], out: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the reduced pixels, in memory of ``out``, rounded to the dtype of the image."""
        height, width, channels = self.shape
        count = height * width * channels
        reduced = out[: count * pixels.itemsize].view(pixels.dtype).reshape(self.shape)
        canvas = Canvas(self.shape, pixels.dtype, False, integer_limits(pixels.dtype))
        render(pixels, self.view, self.rendering, values, canvas, reduced)
        return reduced


def plan_reduction(info: ImageInfo, max_side: int | None, channels: int) -> Reduction | None:
    """Return the reduction of an image as stored to ``max_side``, or None if it is not larger."""
    if max_side is None or max(info.height, info.width) <= max_side:
        return None
    height, width = reduced_size((info.height, info.width), max_side)
    view = View(info.width, info.height)
    view.rescale(width, height)
    if channels not in (1, 3, 4):
        view.spread(channels)
    return Reduction(view, plan_render(view, info.width, info.height, channels), (height, width, channels))


def reduced_size(size: Size, max_side: int | None) -> Size:
    """Return the size of an image whose longer side is at most ``max_side``; smaller images keep their size.

    Examples
    --------
    >>> reduced_size((600, 800), 400), reduced_size((300, 200), 400)
    ((300, 400), (300, 200))
    """
    longer = max(size)
    if max_side is None or longer <= max_side:
        return size
    height, width = (max(1, round(side * max_side / longer)) for side in size)
    return height, width
