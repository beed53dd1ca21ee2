"""Color the classes of a mask over its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Share of the color of a class; the picture shows through.
_SHARE = 0.45
# Colors that are far apart, in turn by class number; 0, mostly the background, has none.
_COLORS = np.array(
    [(230, 25, 75), (60, 180, 75), (0, 130, 200), (255, 225, 25), (245, 130, 48), (145, 30, 180), (70, 240, 240), (240, 50, 230), (0, 0, 117)],
    np.float32,
)  # fmt: skip
# Number of pixels without a class in most masks that have such: the last color, which no other number has.
_VOID = 255


def blended(picture: NDArray[np.uint8], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a picture with a color over the pixels of each class but 0.

    Parameters
    ----------
    picture
        Shape (height, width, 3).
    mask
        Whole numbers, shape (height, width).

    Examples
    --------
    >>> blended(np.zeros((1, 2, 3), np.uint8), np.array([[0, 1]])).tolist()
    [[[0, 0, 0], [103, 11, 33]]]
    """
    mask = mask.reshape(picture.shape[:2])
    colors = np.where(mask == _VOID, len(_COLORS) - 1, (mask.astype(np.int64) - 1) % (len(_COLORS) - 1))
    over = picture * (1 - _SHARE) + _COLORS[colors] * _SHARE
    return np.where((mask == 0)[..., None], picture, over).astype(np.uint8)
