"""Read images of Pillow and arrays, one row each."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import unchanged_mode
from bitesize.errors import BadFile, BadSetting
from bitesize.sources.base import Source
from bitesize.sources.protocol import Into, raise_bad
from bitesize.spec import PIXELS, Field, Mode, Pixels


def is_pillow(what: Any) -> bool:
    """Return whether an object is an image of Pillow, without importing Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(what).__mro__)


class Pictures(Source):
    """Images of one size, in memory or loaded by Pillow when read; each is a row with the field ``x``.

    Parameters
    ----------
    images
        Images of Pillow, or arrays of one shape and dtype.
    what
        Shape and dtype of a row.
    mode
        Mode to convert images of Pillow to.
    """

    def __init__(self, images: Sequence[Any], what: Field, mode: Mode | None) -> None:
        self._images, self._mode = images, mode
        self.spec = {"x": what}
        self._lock = threading.Lock()  # one image may be given twice, and Pillow loads it at the first read

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Convert images one by one."""
        failed: dict[int, Exception] = {}
        for i, row in enumerate(rows.tolist()):
            try:
                into["x"][i] = self._pixels(self._images[row])
            except Exception as error:  # noqa: BLE001 - Pillow raises many types of errors for damaged files
                failed[i] = error if isinstance(error, BadFile) else BadFile(f"{error}")
        raise_bad(failed)

    def _pixels(self, image: Any) -> NDArray[Any]:
        if not is_pillow(image):
            return np.asarray(image)
        assert self._mode is not None
        with self._lock:
            return pixels_of(image, self._mode)

    def scratch(self, rows: int) -> int:
        """Return the bytes to convert one image."""
        what = self.spec["x"]
        assert isinstance(what, Field)
        return 4 * int(np.prod(what.shape[:2])) * 4

    def _identity(self) -> bytes:
        return repr((len(self), self._mode)).encode()


def described(image: Any, mode: Mode | None) -> Field:
    """Return shape and dtype of the row of an image of Pillow or an array.

    Raises
    ------
    BadSetting
        If an image of Pillow is given to a model that does not take images.
    """
    if not is_pillow(image):
        array = np.asarray(image)
        return Field(array.shape, array.dtype.newbyteorder("="))
    if mode is None:
        raise BadSetting(f"the run was not trained on images, but {image!r:.80} is an image")
    width, height = image.size
    if image.getexif().get(0x0112, 1) >= 5:  # rotated by 90 degrees
        width, height = height, width
    channels, dtype = pixels_of_mode(image, mode)
    return Field((height, width, channels), dtype, bands=mode == "unchanged" and image.mode == "CMYK")


def pixels_of_mode(image: Any, mode: Mode) -> Pixels:
    """Return channels and dtype of an image of Pillow in a mode."""
    if mode in PIXELS:
        return PIXELS[mode]
    from PIL import Image

    values = np.asarray(Image.new(unchanged_mode(image), (1, 1)))
    return Pixels(values.size, values.dtype.newbyteorder("="))


def pixels_of(image: Any, mode: Mode) -> NDArray[Any]:
    """Return the pixels of an image of Pillow, converted like decoded files: upright, transparency over white, in a mode.

    Raises
    ------
    BadFile
        If the image has more than 8 bits, or floats: the scale of its values is unknown.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if mode == "unchanged":
        wanted = unchanged_mode(image)
        values = np.asarray(image if image.mode == wanted else image.convert(wanted))
        return values.reshape(image.height, image.width, -1)
    if image.mode == "F" or (image.mode.startswith("I") and mode != "I;16"):
        raise BadFile(
            f"the image has the mode {image.mode}, with more than 8 bits: pass its values as an array, or its file"
        )
    if mode == "I;16":
        return np.asarray(image).astype(np.uint16)[..., None]
    if mode != "RGBA" and image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert(mode)).reshape(image.height, image.width, PIXELS[mode].channels)
