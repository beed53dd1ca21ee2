"""Volumes of NIfTI files with masks: label volumes with files of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import Names
from bitesize.files.scan import scan
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.file_rows import first_readable_file
from bitesize.sources.mask_names import pair_masks
from bitesize.sources.nifti import NiftiFiles
from bitesize.sources.protocol import Into, raise_bad
from bitesize.spec import Field


class NiftiWithMasks(NiftiFiles):
    """NIfTI files with one mask each; a row has the fields ``x``, the volume, and ``y``, a class number for each voxel.

    Masks are in the same orientation as their volumes. Masks of 8-bit or 16-bit integers keep their dtype; values of others must be
    whole numbers, and become int16.

    Parameters
    ----------
    names
        The volumes.
    masks
        Masks, in any order: their paths equal those of the volumes except for root and suffix.
    orient
        Whether the axes are reordered and reversed to the closest canonical orientation.
    left_out
        What the scan left out.
    by_position
        Whether volumes and masks are matched by position instead of name.

    Raises
    ------
    NotFound
        If a volume has no mask.
    BadFile
        If the first mask has another shape than the volumes.
    """

    title = ""

    def __init__(
        self,
        names: Names,
        masks: Names,
        *,
        orient: bool = True,
        left_out: Mapping[str, int] | None = None,
        by_position: bool = False,
    ) -> None:
        self._masks, left_out = (masks, left_out) if by_position else pair_masks(names, masks, left_out)
        super().__init__(names, orient=orient, left_out=left_out)
        number, header = first_readable_file(self._masks, self._header_of)
        x = self.spec["x"]
        assert isinstance(x, Field)
        space = x.axes.removesuffix("C")
        stored, shape = header.row_dtype, x.shape[: len(space)]
        if header.row_shape not in (shape, (*shape, 1)):
            raise BadFile(f"the mask {self._masks.show(number)} is {header.row_shape}, but the volumes are {shape}")
        kept = stored.kind in "iu" and stored.itemsize <= 2
        dtype = stored if kept else np.dtype(np.int16)
        self.spec = {"x": x, "y": Field(shape, dtype, mask=True, axes=space)}
        if not kept:
            self.choices = (*self.choices, Choice(f"masks: {stored}, whose values are whole numbers, as int16", ""))

    @property
    def nbytes(self) -> int:
        """Bytes of both lists of names."""
        return super().nbytes + self._masks.nbytes

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the volume and the mask of each row."""
        failed = self._read_volumes(self._names, rows, "x", into["x"]) if "x" in into else {}
        raise_bad(failed | (self._read_volumes(self._masks, rows, "y", into["y"]) if "y" in into else {}))

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the masks."""
        if "y" in into:
            raise_bad(self._read_volumes(self._masks, rows, "y", into["y"]))

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return the paths of the volume and of its mask."""
        return self._names.path(row), self._masks.path(row)

    def _identity(self) -> bytes:
        return super()._identity() + b"\0" + next(self._masks.identity())

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small volumes of random numbers, and masks of three classes."""
        import nibabel

        random = np.random.default_rng(0)
        affine = np.array([[0, -2.0, 0, 0], [1, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
        for i in range(rows):
            for kind, most in (("images", 900), ("labels", 3)):
                path = folder / kind / f"{i}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                values: NDArray[Any] = random.integers(0, most, (6, 5, 4))
                nibabel.Nifti1Image(values.astype(np.int16 if kind == "images" else np.uint8), affine).to_filename(path)
        return cls(scan(folder / "images", cls.suffixes).names, scan(folder / "labels", cls.suffixes).names)
