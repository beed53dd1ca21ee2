"""Thumbnails: small copies of images, as HTML."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.html.notebook import Html, image
from bitesize.pictures.overlay import blended
from bitesize.pictures.picture import as_picture, middle, thinned

# Number of thumbnails, and their longer side in pixels. Eight of at most `_PNG_NBYTES` or a JPEG take less than 200 KB as text.
MOST, SIDE = 8, 96
_PNG_NBYTES = 12 << 10
# Images that are smaller than half a thumbnail are enlarged to about this side.
_ENLARGED = 84


def thumbnail(row: NDArray[Any], axes: str, alt: str, mask: NDArray[Any] | None = None) -> Html:
    """Return a thumbnail of a row.

    Parameters
    ----------
    row
        An image or volume of any type.
    axes
        ``"HW"``, ``"HWC"``, ``"DHW"`` or ``"DHWC"``.
    alt
        Text for readers who do not see the picture.
    mask
        Class numbers of the pixels or voxels, which are colored over the picture.
    """
    pixels = thinned(middle(row, axes), SIDE)
    picture = as_picture(pixels, axes.removeprefix("D"))
    if mask is not None:
        over = thinned(middle(mask, axes), SIDE)
        picture = blended(picture, over) if over.shape[:2] == picture.shape[:2] else picture
    return encoded(picture, alt)


def encoded(picture: NDArray[np.uint8], alt: str) -> Html:
    """Return 8-bit colors, shape (height, width, 3), as an image of the size of a thumbnail."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(picture))
    small.thumbnail((SIDE, SIDE))
    data, kind = _saved(small, "PNG"), "png"
    if len(data) > _PNG_NBYTES:
        data, kind = _saved(small, "JPEG"), "jpeg"
    times = max(1, _ENLARGED // max(small.size))
    return image(data, kind, alt, small.width * times, small.height * times, enlarged=times > 1)


def _saved(picture: Any, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **({"quality": 85} if kind == "JPEG" else {"optimize": True}))
    return file.getvalue()
