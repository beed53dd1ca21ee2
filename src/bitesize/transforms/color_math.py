"""Changes of color, as matrices that are applied to a view."""

from __future__ import annotations

import math

import numpy as np

from bitesize.transforms.view import View

# Brightness as the eye sees it (ITU-R BT.601-7, as in JPEG and in Pillow's "L").
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


def brighten(view: View, factor: float) -> None:
    """Multiply all channels."""
    view.per_channel((factor, factor, factor), (0.0, 0.0, 0.0))


def stretch(view: View, factor: float) -> None:
    """Stretch all values about the middle gray."""
    rest = (1.0 - factor) * view.whole / 2
    view.per_channel((factor, factor, factor), (rest, rest, rest))


def saturate(view: View, factor: float) -> None:
    """Mix with gray, of which a factor of 0 leaves nothing else."""
    r, g, b = (1.0 - factor) * _RED, (1.0 - factor) * _GREEN, (1.0 - factor) * _BLUE
    view.paint((r + factor, g, b, 0.0, r, g + factor, b, 0.0, r, g, b + factor, 0.0))


# NTSC's YIQ (FCC, 47 CFR 73.682): luma, and two axes of color around it.
_TO_YIQ = np.array([[_RED, _GREEN, _BLUE], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
# Turning by an angle is luma + cos(angle) * chroma + sin(angle) * (chroma turned by a quarter).
_LUMA, _CHROMA, _QUARTER = (
    tuple((_FROM_YIQ @ np.array(part) @ _TO_YIQ).reshape(-1).tolist())
    for part in (
        [[1.0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0.0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.0, 0, 0], [0, 0, -1], [0, 1, 0]],
    )
)


def turn_hue(view: View, turn: float) -> None:
    """Turn colors around the gray axis by a part of the full circle."""
    cos, sin = math.cos(2 * math.pi * turn), -math.sin(2 * math.pi * turn)
    m = [y + cos * c + sin * q for y, c, q in zip(_LUMA, _CHROMA, _QUARTER, strict=True)]
    view.paint((m[0], m[1], m[2], 0.0, m[3], m[4], m[5], 0.0, m[6], m[7], m[8], 0.0))
