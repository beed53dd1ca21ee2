"""Images and their masks: two folders with files of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitesize.files.names import Names
from bitesize.files.pread import read_files
from bitesize.sources.base import Source
from bitesize.sources.file_rows import FileSource
from bitesize.sources.mask_names import pair_masks
from bitesize.sources.protocol import Into, raise_bad
from bitesize.spec import Encoded, Mode
from bitesize.storage.url import is_url

# Lossless formats for masks.
MASK_SUFFIXES = frozenset((".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".pbm", ".pnm"))


class ImagesWithMasks(FileSource):
    """Image files with one mask each; a row has the fields ``x``, the image, and ``y``, its mask.

    Parameters
    ----------
    names
        The images.
    masks
        Masks, in any order: their paths equal those of the images except for root and suffix.
    mode
        ``"RGB"``, ``"L"``, ``"RGBA"`` or ``"I;16"``, for the images.
    orient
        Whether to apply the EXIF orientation of images and masks.
    left_out
        Counts of what the scan left out.
    by_position
        Whether images and masks are matched by position instead of name.

    Raises
    ------
    NotFound
        If an image has no mask.
    """

    def __init__(
        self,
        names: Names,
        masks: Names,
        *,
        mode: Mode = "RGB",
        orient: bool = True,
        left_out: Mapping[str, int] | None = None,
        by_position: bool = False,
    ) -> None:
        paired, left_out = (masks, left_out) if by_position else pair_masks(names, masks, left_out)
        super().__init__(names, None, None, left_out, Encoded("image", mode, orient))
        self._masks = paired
        self.spec = {"x": Encoded("image", mode, orient), "y": Encoded("mask", "L", orient)}

    @property
    def nbytes(self) -> int:
        """Bytes of both lists of names."""
        return super().nbytes + self._masks.nbytes

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the image and the mask of each row."""
        numbers = rows.tolist()
        if numbers and is_url(self._masks.path(numbers[0])):  # requests for both at the same time
            paths = [names.path(row) for names in (self._names, self._masks) for row in numbers]
            count = len(numbers)
            errors = read_files(paths, lambda k, nbytes: into["xy"[k // count]].put(k % count, nbytes))
            raise_bad({k % count: error for k, error in errors.items()})
            return
        failed = read_files([self._names.path(row) for row in numbers], into["x"].put)
        raise_bad(failed | read_files([self._masks.path(row) for row in numbers], into["y"].put))

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return the paths of the image and of its mask."""
        return self._names.path(row), self._masks.path(row)

    def _identity(self) -> bytes:
        return super()._identity() + b"\0" + next(self._masks.identity())

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small images of random noise, and masks of two classes."""
        from PIL import Image

        from bitesize.files.scan import scan

        random = np.random.default_rng(0)
        for i in range(rows):
            for kind, shape in (("images", (12 + i % 5, 16, 3)), ("masks", (12 + i % 5, 16))):
                path = folder / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.integers(0, 256 if kind == "images" else 2, shape, np.uint8)).save(path)
        return cls(scan(folder / "images", MASK_SUFFIXES).names, scan(folder / "masks", MASK_SUFFIXES).names)
