"""Folders and lists of NIfTI files of one volume each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.held import held_groups, held_starts
from bitesize.files.names import Names, show
from bitesize.files.nifti import NiftiHeader, nifti_scratch, read_nifti, read_nifti_header
from bitesize.files.pread import Handle, with_file
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.file_rows import FileSource, example_files, first_readable_file
from bitesize.sources.protocol import Into, raise_bad
from bitesize.spec import Field
from bitesize.storage.url import is_url

# Files whose headers are read when a folder is opened, evenly spaced, to choose the dtype of all rows.
_LOOKS = 8


class NiftiFiles(FileSource):
    """NIfTI files of one shape; each is a row with the field ``x``, a volume, and ``y`` if there are labels.

    A volume has the axes (depth, height, width), or (depth, height, width, channels) if files have a fourth axis. They are the
    third, second and first axis of the file in its closest canonical orientation: depth increases from feet to head, height from
    back to front, width from left to right. So ``x`` equals ``nibabel.as_closest_canonical(image).dataobj``, transposed by
    ``(2, 1, 0)``. Files of two axes are images (height, width), the transposed array of the file.

    Values are scaled by slope and intercept of the file and then float32, equal to ``get_fdata(dtype=numpy.float32)``. Values that
    are stored without a scale keep their dtype.

    Parameters
    ----------
    names
        Files. The first readable file defines the shape, a few files the dtype.
    labels
        One label per file, shape (n, ...), or None.
    classes
        Names of the classes.
    orient
        Whether the axes are reordered and reversed to the closest canonical orientation. If not, the axes of the file are only
        transposed.
    left_out
        What the scan left out.

    Raises
    ------
    BadFile
        If none of the first files is a NIfTI file.
    """

    title = "NIfTI volumes of one row each"
    suffixes = (".nii", ".nii.gz")
    package = "nibabel"

    def __init__(
        self,
        names: Names,
        labels: NDArray[Any] | None = None,
        classes: tuple[str, ...] | None = None,
        *,
        orient: bool = True,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self._orient = orient
        self._first, header = first_readable_file(names, self._header_of)
        dtypes = {header.row_dtype, *self._some_dtypes(names)}
        self._remote = is_url(names.path(0))
        field = Field(header.row_shape, np.result_type(*dtypes), axes=header.row_axes)
        super().__init__(names, labels, classes, left_out, field)
        self.choices = _choices(field, header, dtypes, orient)

    def _header_of(self, path: bytes) -> NiftiHeader:
        return with_file(path, lambda fd: read_nifti_header(fd, path, orient=self._orient))

    def _some_dtypes(self, names: Names) -> Iterable[np.dtype[Any]]:
        """Yield the dtypes of some files; damaged ones are reported when their rows are read."""
        chosen = np.unique(np.linspace(0, len(names) - 1, min(_LOOKS, len(names))).astype(np.int64))
        paths = [names.path(number) for number in chosen.tolist()]
        for path in (paths[i] for some in held_starts(paths) for i in some):
            try:
                yield self._header_of(path).row_dtype
            except BitesizeError:
                continue

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read and orient the volume of each file."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        if "x" in into:
            raise_bad(self._read_volumes(self._names, rows, "x", into["x"]))

    def _read_volumes(self, names: Names, rows: NDArray[np.int64], name: str, out: NDArray[Any]) -> dict[int, Exception]:
        """Read one file for each row into ``out``; return the errors."""
        failed: dict[int, Exception] = {}
        paths = [names.path(row) for row in rows.tolist()]
        for i in (i for some in held_groups(paths) for i in some):
            try:
                with_file(paths[i], partial(self._read_one, path=paths[i], name=name, out=out[i, ...]))
            except BitesizeError as error:
                failed[i] = error
        return failed

    def _read_one(self, fd: Handle, path: bytes, name: str, out: NDArray[Any]) -> None:
        header = read_nifti_header(fd, path, orient=self._orient)
        field = self.spec[name]
        assert isinstance(field, Field)
        if header.row_shape != field.shape and not (field.mask and header.row_shape == (*field.shape, 1)):
            raise BadFile(
                f"{show(path)} is {header.row_shape}, but {field.shape} in {self._names.show(self._first)}: volumes must have the same "
                "shape: resample, crop or pad them, and save them again"
            )
        if not (field.mask or _holds(field.dtype, header)):
            raise BadFile(
                f"{show(path)} has {header.row_dtype} values, which rows of {field.dtype}, as in {self._names.show(self._first)}, cannot "
                "hold: save all files with the same dtype"
            )
        read_nifti(fd, header, out.reshape(header.row_shape), path, labels=field.mask)

    def scratch(self, rows: int) -> int:
        """Return the bytes of some planes that are being converted, and of a part of an object."""
        return max(
            nifti_scratch(field.shape, field.axes, remote=self._remote)
            for field in self.spec.values()
            if isinstance(field, Field) and field.axes
        )

    def _identity(self) -> bytes:
        return super()._identity() + (b"" if self._orient else b"\0as stored")

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open volumes."""
        return cls(files.names, files.labels, files.classes, orient=options.orient, left_out=files.left_out)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small volumes of random numbers in two class folders."""
        import nibabel

        random = np.random.default_rng(0)
        affine = np.diag([-2.0, -1.0, 3.0, 1.0])

        def write(path: Path, i: int) -> None:
            """Write a volume, compressed or not."""
            image = nibabel.Nifti1Image(random.integers(-99, 999, (6, 5, 4), np.int16), affine)
            image.to_filename(path.with_suffix(".nii.gz" if i % 3 == 0 else ".nii"))

        example_files(folder, rows, ".nii", write)
        from bitesize.files.scan import scan

        found = scan(folder, cls.suffixes)
        return cls(found.names, found.labels, found.classes)


def _holds(dtype: np.dtype[Any], header: NiftiHeader) -> bool:
    """Return whether rows of a dtype can hold the values of a file: scaled ones are float32."""
    return np.can_cast(header.row_dtype, dtype)


def _choices(field: Field, header: NiftiHeader, dtypes: set[np.dtype[Any]], orient: bool) -> tuple[Choice, ...]:
    """Return what was decided about axes and values."""
    said = []
    if field.axes.startswith("D"):
        ways = "depth from feet to head, height from back to front, width from left to right"
        said.append(Choice(f"volumes: {ways}" if orient else "volumes: axes as stored, z, y, x", f"orient={not orient}"))
    if field.axes == "DHWC" and not header.components:
        said.append(Choice(f"the fourth axis of the files is {field.shape[3]} channels", ""))
    if len(dtypes) > 1:
        shown = ", ".join(sorted(map(str, dtypes)))
        said.append(Choice(f"values: {field.dtype}, because files have {shown} (float32 if they are scaled)", ""))
    return tuple(said)
