"""Images and masks that are drawn from the outlines of their objects when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import read_info
from bitesize.decode.raw import HEADER_NBYTES, raw_header
from bitesize.errors import BadFile, BitesizeError
from bitesize.files.names import Names
from bitesize.files.pread import read_files
from bitesize.sources.file_rows import FileSource
from bitesize.sources.protocol import Into, raise_bad
from bitesize.sources.shapes import SCRATCH, Shapes, draw
from bitesize.spec import Encoded, Mode

# EXIF orientations that exchange width and height.
_TURNED = frozenset((5, 6, 7, 8))
# Class numbers up to this one are one byte each.
_MOST_BYTES = 255


class DrawnMasks(FileSource):
    """Image files with a mask each; a row has the fields ``x``, the image, and ``y``, the class number of each pixel.

    Masks are uint8, or uint16 for more than 255 classes, and are passed on as raw pixels.

    Parameters
    ----------
    names
        The images.
    shapes
        Objects of each image.
    classes
        Names of the classes by number; the first is the background.
    left_out
        Counts of what was left out.
    mode, orient
        As in `bitesize.open`.
    """

    def __init__(
        self,
        names: Names,
        shapes: Shapes,
        classes: tuple[str, ...],
        left_out: Mapping[str, int],
        mode: Mode = "RGB",
        orient: bool = True,
    ) -> None:
        super().__init__(names, None, classes, left_out, Encoded("image", mode, orient))
        self._shapes, self._orient = shapes, orient
        self._dtype = np.dtype(np.uint8 if len(classes) - 1 <= _MOST_BYTES else np.uint16)
        self.spec = {"x": Encoded("image", mode, orient), "y": Encoded("mask", "L", orient)}

    @property
    def nbytes(self) -> int:
        """Bytes of names and objects."""
        return super().nbytes + self._shapes.nbytes

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the image of each row, and draw its mask."""
        numbers, images = rows.tolist(), dict[int, memoryview]()

        def put(i: int, nbytes: int) -> memoryview:
            """Return the buffer of an image, whose header is needed for its mask."""
            images[i] = into["x"].put(i, nbytes)
            return images[i]

        failed: dict[int, Exception] = dict(read_files([self._names.path(row) for row in numbers], put))
        for i, row in enumerate(numbers):
            if i in failed:
                continue
            try:
                self._draw(row, i, images[i], into["y"])
            except BitesizeError as error:
                failed[i] = BadFile(f"{self.describe(row)}: {error}")
        raise_bad(failed)

    def _draw(self, row: int, i: int, image: memoryview, into: Any) -> None:
        """Draw the mask of a row, as large as its image."""
        info = read_info(image)
        stored = (info.width, info.height)
        upright = stored[::-1] if info.orientation in _TURNED else stored
        sizes = self._shapes.sizes
        given = upright if sizes is None else tuple(sizes[row].tolist())
        # Outlines of a photograph with an orientation are on its upright pixels, unless their size is that of the stored ones only.
        orientation = 1 if given == upright else info.orientation
        if given not in (upright, stored):
            raise BadFile(
                f"the annotations are for {given[0]} x {given[1]} pixels, but the image has {stored[0]} x {stored[1]}"
            )
        if orientation == 1 and info.orientation != 1 and not self._orient:
            raise BadFile("the annotations are for the upright image, which needs orient=True")
        width, height = given
        head = raw_header((height, width, 1), self._dtype, orientation)
        buffer = into.put(i, HEADER_NBYTES + width * height * self._dtype.itemsize)
        buffer[:HEADER_NBYTES] = head
        mask = np.frombuffer(buffer, np.uint8, offset=HEADER_NBYTES)
        aligned = mask.ctypes.data % self._dtype.itemsize == 0
        out = mask.view(self._dtype) if aligned else np.empty(width * height, self._dtype)
        draw(self._shapes.of(row), out.reshape(height, width), (width, height) if sizes is None else (1.0, 1.0))
        if not aligned:
            mask[...] = out.view(np.uint8)

    def scratch(self, rows: int) -> int:
        """Return the bytes for drawing one mask."""
        sizes = self._shapes.sizes
        wide = 0 if sizes is None or self._dtype.itemsize == 1 else int(sizes.prod(axis=1).max()) * self._dtype.itemsize
        return SCRATCH + wide

    def _identity(self) -> bytes:
        return super()._identity() + b"\0" + self._shapes.identity + repr(self.classes).encode()
