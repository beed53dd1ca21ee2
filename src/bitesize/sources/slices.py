"""Slices of DICOM series: their headers, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.pread import Handle, size_of
from bitesize.files.stream import file_of

POSITION, INSTANCE, NAME = "position along the normal of their plane", "InstanceNumber", "file names"
# Directions that differ less are those of one plane.
_SAME_DIRECTION = 1e-3


class Slice(NamedTuple):
    """Header of a DICOM file, and its place in a series.

    Attributes
    ----------
    series : str
        SeriesInstanceUID.
    height, width, channels, frames : int
        Size of a frame, and number of frames.
    dtype, raw : numpy.dtype
        Type of the decoded values, and of the stored ones.
    overhead, nbytes : int
        Bytes for decoding, and of the file.
    instance : int or None
        InstanceNumber.
    position : tuple of float or None
        ImagePositionPatient.
    normal : tuple of float or None
        Normal of the plane of the image.
    """

    series: str
    height: int
    width: int
    channels: int
    frames: int
    dtype: np.dtype[Any]
    raw: np.dtype[Any]
    overhead: int
    nbytes: int
    instance: int | None
    position: tuple[float, ...] | None
    normal: tuple[float, ...] | None

    @classmethod
    def of(cls, image: Any, nbytes: int) -> Slice:
        """Return the facts of a file from its header, a `DicomImage`."""
        tags = image.tags
        try:
            instance = tags.get("InstanceNumber")
            return cls(
                str(tags.get("SeriesInstanceUID") or ""),
                image.height,
                image.width,
                image.channels,
                image.frames,
                image.dtype,
                image.raw,
                image.overhead,
                nbytes,
                None if instance in (None, "") else int(instance),
                _numbers(tags.get("ImagePositionPatient"), 3),
                _normal(_numbers(tags.get("ImageOrientationPatient"), 6)),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise BadFile(f"damaged DICOM: {error}") from error


class SliceOrder(NamedTuple):
    """Order of slices: for each place the number of the slice that belongs there."""

    numbers: NDArray[np.int64]

    def apply(self, volume: NDArray[Any]) -> None:
        """Sort slices in place, with memory for one of them."""
        done = np.zeros(len(self.numbers), np.bool_)
        for start in range(len(self.numbers)):
            place, source = start, int(self.numbers[start])
            if done[start] or source == start:
                continue
            first = volume[start].copy()
            while source != start:
                volume[place], done[place] = volume[source], True
                place, source = source, int(self.numbers[source])
            volume[place], done[place] = first, True


def read_slice(fd: Handle, path: bytes) -> Slice:
    """Return the header of an open file.

    Raises
    ------
    BadFile
        If the file is not a DICOM image.
    """
    from bitesize.decode.dicom import read_image

    size = size_of(fd)
    try:
        with file_of(fd, path) as file:
            return Slice.of(read_image(file, size), size)
    except BadFile as error:
        raise type(error)(f"{show(path)}: {error}") from error


def way_to_order(slices: Sequence[Slice]) -> str:
    """Return by what the slices of a series can be ordered: the first of position, instance number and name that differ."""
    if all(each.position and each.normal for each in slices) and _all_differ(_heights(slices)):
        return POSITION
    numbers = [each.instance for each in slices]
    return INSTANCE if None not in numbers and len(set(numbers)) == len(numbers) else NAME


def order_of_slices(slices: Sequence[Slice], way: str, paths: Sequence[bytes]) -> SliceOrder:
    """Return the order of the slices of a series.

    Raises
    ------
    BadFile
        If they cannot be ordered this way, as those of the first series.
    """
    where = show(paths[0])
    if way == NAME:
        return SliceOrder(np.arange(len(slices)))
    if way == INSTANCE:
        numbers = [each.instance for each in slices]
        if None in numbers or len(set(numbers)) < len(numbers):
            raise BadFile(
                f"slices of the series of {where} have no different InstanceNumber, by which other series are ordered"
            )
        return SliceOrder(np.argsort(np.array(numbers, np.float64), kind="stable"))
    if not all(each.position and each.normal for each in slices):
        raise BadFile(f"slices of the series of {where} have no position, by which other series are ordered")
    normals = np.array([each.normal for each in slices])
    if np.abs(normals - normals[0]).max() > _SAME_DIRECTION:
        raise BadFile(f"slices of the series of {where} are in planes of different directions")
    heights = _heights(slices)
    if not _all_differ(heights):
        raise BadFile(f"several slices of the series of {where} have the same position")
    return SliceOrder(np.argsort(heights, kind="stable"))


def _heights(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Return positions along the normal of the first slice."""
    return np.array([each.position for each in slices], np.float64) @ np.array(slices[0].normal, np.float64)


def _all_differ(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all()) and len(np.unique(values)) == len(values)


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    if values is None or isinstance(values, str | bytes) or not hasattr(values, "__len__") or len(values) != count:
        return None
    found = tuple(float(value) for value in values)
    return found if all(map(np.isfinite, found)) else None


def _normal(directions: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if directions is None:
        return None
    normal = np.cross(directions[:3], directions[3:])
    length = float(np.linalg.norm(normal))
    return tuple((normal / length).tolist()) if length > 0 and np.isfinite(length) else None


def write_example(folder: Path, rows: int, slices: int = 3) -> None:
    """Write small series of random numbers, a folder for each, with slices whose names are not in their order."""
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    random = np.random.default_rng(0)
    for row in range(rows):
        series = generate_uid(entropy_srcs=[str(row)])
        for number in range(slices):
            meta = pydicom.dataset.FileMetaDataset()
            meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(row), str(number)])
            file = pydicom.Dataset()
            file.file_meta, file.SeriesInstanceUID, file.InstanceNumber = meta, series, number + 1
            file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            file.ImagePositionPatient, file.ImageOrientationPatient = [0, 0, 2.5 * number], [1, 0, 0, 0, 1, 0]
            file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = 6, 5, 1, "MONOCHROME2"
            file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
            file.RescaleSlope, file.RescaleIntercept = 1, -1024
            file.PixelData = random.integers(0, 4096, (6, 5), np.uint16).tobytes()
            path = folder / f"p{row}" / f"{(2 * number) % slices}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            file.save_as(path, enforce_file_format=True)
