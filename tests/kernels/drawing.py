"""Render one row by hand, as the engine does it."""

import numpy as np

from bitesize.transforms.canvas import Canvas
from bitesize.transforms.render import plan_render, render


def draw(pixels, view, limits=(0.0, 0.0), dtype=np.float32, chw=False):
    """Draw a view of pixels into a fresh row. Scratch and row begin with what must never be seen."""
    height, width, channels = int(view.height), int(view.width), pixels.shape[2]
    shape = (channels, height, width) if chw else (height, width, channels)
    # A neighbor on either side, which must stay as it is: rows of a batch lie side by side.
    room = np.full((3, *shape), 77, dtype)
    drawing = plan_render(view, pixels.shape[1], pixels.shape[0], channels)
    scratch = np.full(drawing.scratch, np.nan, np.float32)
    render(pixels, view, drawing, scratch, Canvas(shape, np.dtype(dtype), chw, limits), room[1])
    assert (room[0] == 77).all()
    assert (room[2] == 77).all()
    return room[1].transpose(1, 2, 0) if chw else room[1]
