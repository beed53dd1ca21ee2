"""Series of DICOM files: each series is a volume, each file a slice of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.held import held_groups
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into, size_of, with_file
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.labels import label_field
from bitesize.sources.protocol import Into, raise_bad
from bitesize.sources.series_files import Series, series_in
from bitesize.sources.slices import POSITION, Slice, order_of_slices, read_slice, way_to_order, write_example
from bitesize.spec import Field
from bitesize.storage.blocks import HELD_NBYTES
from bitesize.storage.url import is_url

# A file that is larger than this many times the largest one of a sample is another kind of file.
_LARGER = 2
_MORE_NBYTES = 1 << 20


class DicomSeries(Source):
    """Series of DICOM files; each is a row with the field ``x``, a volume (depth, height, width), and ``y`` if there are labels.

    Slices are in the order of their positions (ImagePositionPatient) along the normal of the image plane (ImageOrientationPatient), or, if
    the first series has no different positions, of InstanceNumber. Height and width are the rows and columns of the slices. A file of
    several frames is a volume of its own, with the frames in the order of the file.

    Values are those of pydicom after `apply_modality_lut`: float32, or the stored dtype without a rescale, or int16 or uint16 if the slope
    is 1, the intercept whole, and all values fit. Larger values are brighter: those of ``MONOCHROME1`` are inverted within the range of
    their bits.

    Parameters
    ----------
    series
        The files.
    labels
        One label per series, shape (n, ...), or None.
    classes
        Names of the classes.
    left_out
        What the scan left out.

    Raises
    ------
    BadFile
        If the first series cannot be read.
    """

    title = "DICOM series as volumes"
    takes_pages = True
    package = "pydicom"
    reads_files = True

    def __init__(
        self,
        series: Series,
        labels: NDArray[Any] | None = None,
        classes: tuple[str, ...] | None = None,
        *,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self._files, self._starts, self._names, samples = series
        self._labels, self.classes, self.left_out = labels, classes, left_out or {}
        self.paths_root = self._files.common_root()
        self._remote = is_url(self._files.path(0))
        first = samples[0][1]
        depth = first.frames if first.frames > 1 else int(self._starts[1])
        dtype = np.result_type(*(each.dtype for _, each in samples))
        channels = (first.channels,) if first.channels > 1 else ()
        x = Field((depth, first.height, first.width, *channels), dtype, axes="DHWC" if channels else "DHW")
        self.spec = {"x": x} if labels is None else {"x": x, "y": label_field(labels, x)}
        self._overhead = first.overhead
        self._most = max(_LARGER * max(each.nbytes for _, each in samples), 0) + _MORE_NBYTES
        self._way = way_to_order(self._headers(0)) if depth > 1 and first.frames == 1 else POSITION
        self.choices = self._said(first)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of names and labels in memory."""
        return self._files.nbytes + self._names.nbytes + self._starts.nbytes + super().nbytes

    def _said(self, first: Slice) -> tuple[Choice, ...]:
        lengths = np.diff(self._starts)
        said = [] if first.frames > 1 else [Choice(f"slices in the order of {self._way}", "")]
        others = int((lengths != lengths[0]).sum())
        if others and first.frames == 1:
            text = f"{others} of {len(self)} series have another number of slices than the first ({lengths[0]}): their rows are bad rows"
            said.append(Choice(text, 'pages="rows"'))
        field = self.spec["x"]
        if isinstance(field, Field) and field.dtype != first.raw:
            said.append(Choice(f"values: rescaled, {field.dtype}", ""))
        return tuple(said)

    def _headers(self, row: int) -> Sequence[Slice]:
        """Return the headers of all files of a series."""
        paths = self.paths(row)
        return [with_file(paths[i], lambda fd, i=i: read_slice(fd, paths[i])) for some in held_groups(paths) for i in some]  # type: ignore[misc]

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Decode and sort the slices of each series."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        failed: dict[int, Exception] = {}
        for i, row in enumerate(rows.tolist() if "x" in into else ()):
            try:
                self._read_one(row, into["x"][i])
            except BitesizeError as error:
                failed[i] = error
        raise_bad(failed)

    def _read_one(self, row: int, out: NDArray[Any]) -> None:
        paths, slices = self.paths(row), []
        field = self.spec["x"]
        for i in (i for some in held_groups(paths) for i in some):
            slices.append(with_file(paths[i], lambda fd, i=i: self._decode(fd, paths[i], i, len(paths), out)))  # type: ignore[misc]
            if slices[i].series != slices[0].series:
                raise BadFile(
                    f"{show(paths[i])} belongs to another series than {show(paths[0])}, in the same folder: move the files of each "
                    'series into a folder of its own, or use pages="rows"'
                )
        assert isinstance(field, Field)
        if len(paths) > 1:
            order_of_slices(slices, self._way, paths).apply(out)

    def _decode(self, fd: Handle, path: bytes, number: int, count: int, out: NDArray[Any]) -> Slice:
        """Decode a file into its place in the order of names."""
        from bitesize.decode.dicom import OpenedDicom

        size = size_of(fd)
        if size > self._most:
            raise BadFile(f"{show(path)} has {size:,} bytes, more than {_LARGER} times those of other files")
        data = bytearray(size)
        read_into(fd, [data], 0, path)
        try:
            opened = OpenedDicom(memoryview(data))
            image = opened.image
            depth = image.frames if image.frames > 1 else count
            shape = (depth, image.height, image.width, *((image.channels,) if image.channels > 1 else ()))
            if shape != out.shape:
                raise BadFile(
                    f"its volume is {shape}, but {out.shape} in {self._names.show(0)}: volumes must have the same shape"
                )
            if count > 1 and image.frames > 1:
                raise BadFile(f"it has {image.frames} frames, and belongs to a series of {count} files")
            if not np.can_cast(image.dtype, out.dtype):
                raise BadFile(f"its values are {image.dtype}, which rows of {out.dtype}, as in other series, cannot hold")
            for frame in range(image.frames):
                opened.decode(frame, out[frame if image.frames > 1 else number])
        except BitesizeError as error:
            raise type(error)(f"{show(path)}: {error}") from error
        return Slice.of(image, size)

    def scratch(self, rows: int) -> int:
        """Return the bytes of one file, its copies while it is decoded, and one slice that changes its place."""
        field = self.spec["x"]
        assert isinstance(field, Field)
        return 3 * self._most + self._overhead + field.nbytes // field.shape[0] + (HELD_NBYTES if self._remote else 0)

    def describe(self, row: int) -> str:
        """Return the folder of the series, or its first file."""
        return self._names.show(row)

    def path(self, row: int) -> bytes | None:
        """Return the folder of the series, or its first file if the folder has several series."""
        return self._names.path(row)

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return all files of the series."""
        return tuple(self._files.path(i) for i in range(int(self._starts[row]), int(self._starts[row + 1])))

    def _identity(self) -> bytes:
        labels = b"" if self._labels is None else self._labels.tobytes()
        return b"\0".join([*self._files.identity(), self._starts.tobytes(), labels])

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small series of random numbers, a folder for each."""
        write_example(folder, rows)
        found = series_in(str(folder))
        assert found is not None
        return cls(found.series)
