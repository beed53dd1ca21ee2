"""DICOM images, decoded by pydicom: values as its functions return them, so that larger is brighter and colors are RGB."""

from __future__ import annotations

import io
import struct
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder

from bitesize.decode.dicom_stream import check_codestream, transfer_syntax
from bitesize.decode.info import ImageInfo
from bitesize.errors import BadFile, BitesizeError, UnsupportedFile, one_line
from bitesize.files.stream import file_in_memory

_DEFLATED = "1.2.840.10008.1.2.1.99"
_TAGS = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation",
    "PlanarConfiguration", "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "RedPaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "AlphaPaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData", "SeriesInstanceUID",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
)  # fmt: skip
_FLOATS = {0x7FE00008: np.float32, 0x7FE00009: np.float64}
# Bytes for each value while it is decoded: colors and scaled values are float64 on the way, with copies; measured at 38.
_BESIDE_A_VALUE = 48
# What a plugin in Rust raises, which is no `Exception`.
_PANIC = "PanicException"
_OBJECTS = 128 << 10  # of pydicom, for the elements of a file
_FEWEST_OF_A_FRAME = 8  # bytes of a compressed frame: the header of its item


class DicomImage(NamedTuple):
    """Header of a DICOM file with pixels.

    Attributes
    ----------
    height, width, channels : int
        Size of a frame, and components as decoded.
    frames : int
        Number of frames.
    bits : int
        Bits of a value as stored, at least 8.
    dtype, raw : numpy.dtype
        Type of the decoded values, and of the stored ones.
    limits : tuple of (float, float) or None
        For ``MONOCHROME1``, the least and greatest value between which values are inverted.
    tags : pydicom.Dataset
        The elements that describe the image and its place in a series.
    """

    height: int
    width: int
    channels: int
    frames: int
    bits: int
    dtype: np.dtype[Any]
    raw: np.dtype[Any]
    limits: tuple[float, float] | None
    tags: Any

    @property
    def overhead(self) -> int:
        """Bytes that decoding a frame needs beside the values, except those of the file."""
        return self.height * self.width * self.channels * _BESIDE_A_VALUE + _OBJECTS


def read_header(data: memoryview) -> ImageInfo:
    """Return the header of a DICOM image; see `formats.Decoder`."""
    image = read_image(file_in_memory(data), len(data))
    return ImageInfo(
        "DICOM",
        image.width,
        image.height,
        image.channels,
        plain=False,
        bits=image.bits,
        pages=image.frames,
        overhead=image.overhead + 2 * len(data),
        floats=image.dtype.kind == "f",
        dtype=image.dtype,
        codec="DICOM",
        codec_only=True,
    )


def decode_into(data: memoryview, info: ImageInfo, out: NDArray[Any], page: int = 0) -> None:
    """Decode a frame into ``out``; see `formats.Decoder`."""
    opened = OpenedDicom(data)
    if (opened.image.dtype, opened.image.channels) != (info.dtype, info.channels):
        raise BadFile("damaged DICOM: its header changes while it is read")
    opened.decode(page, out)


class OpenedDicom:
    """A DICOM file in memory, whose frames are decoded one by one.

    Parameters
    ----------
    data
        The file.

    Raises
    ------
    BadFile, UnsupportedFile
        As `read_image`.
    """

    def __init__(self, data: memoryview) -> None:
        self.image = read_image(file_in_memory(data), len(data))
        try:
            self._file = pydicom.dcmread(io.BytesIO(data))
        except MemoryError:
            raise
        except Exception as error:  # pydicom raises many types for damaged files
            raise BadFile(f"damaged DICOM: {one_line(error)}") from error

    def decode(self, frame: int, out: NDArray[Any]) -> None:
        """Decode a frame into ``out``, shape (height, width, channels) or, with one channel, (height, width).

        Raises
        ------
        BadFile
            If the frame is damaged.
        """
        try:
            out[...] = _values(self._file, self.image, frame).reshape(out.shape)
        except (BitesizeError, MemoryError):
            raise
        except BaseException as error:  # pydicom and its plugins raise many types for damaged files
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            raise BadFile(f"damaged DICOM: {one_line(error)}") from error


def read_image(file: Any, size: int) -> DicomImage:
    """Return the header of a DICOM file of ``size`` bytes, after checking it; only the header is read.

    Parameters
    ----------
    file
        File object, at its start.
    size
        Number of bytes of the file.

    Raises
    ------
    UnsupportedFile
        If the file has no pixels, or is deflated.
    BadFile
        If the file is not DICOM, or has fewer bytes than its header declares.
    """
    try:
        return _read_image(file, size)
    except (BitesizeError, MemoryError):
        raise
    except Exception as error:  # pydicom raises many types for damaged files, also when values are used
        raise BadFile(f"damaged DICOM: {one_line(error)}") from error


def _read_image(file: Any, size: int) -> DicomImage:
    if _DEFLATED in transfer_syntax(file):
        raise UnsupportedFile("a deflated DICOM file is not supported: inflate it (dcmconv in.dcm out.dcm)")
    file.seek(0)
    tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*_TAGS])
    at = file.tell()
    start = file.read(4)
    if len(start) < 4 or tags.get("Rows") is None:
        raise UnsupportedFile(f"a DICOM file without pixels{_kind(tags)} is no image")
    image = _described(tags, _FLOATS.get(_tag(start, tags)))
    _check_size(image, tags, size - at)
    return image


def _tag(start: bytes, tags: Any) -> int:
    group, element = struct.unpack("<HH" if tags.original_encoding[1] is not False else ">HH", start)
    return int(group << 16 | element)


def _kind(tags: Any) -> str:
    found = tags.file_meta.get("MediaStorageSOPClassUID")
    return f" ({getattr(found, 'name', found)})" if found else ""


def _described(tags: Any, floats: type | None) -> DicomImage:
    """Return the facts of an image."""
    height, width, samples = int(tags.Rows), int(tags.Columns), int(tags.get("SamplesPerPixel") or 1)
    frames, allocated = max(1, int(tags.get("NumberOfFrames") or 1)), int(tags.BitsAllocated)
    stored = int(tags.get("BitsStored") or allocated)
    photometric = str(tags.PhotometricInterpretation)
    if (
        height < 1
        or width < 1
        or samples not in (1, 3, 4)
        or allocated not in (1, 8, 16, 32, 64)
        or not 1 <= stored <= allocated
    ):
        raise BadFile(
            f"damaged DICOM: {height} x {width} pixels of {samples} values of {stored} of {allocated} bits are impossible"
        )
    signed = not floats and int(tags.get("PixelRepresentation") or 0) == 1
    raw = np.dtype(floats) if floats else np.dtype(f"{'i' if signed else 'u'}{max(1, allocated // 8)}")
    dtype, channels, limits = raw, samples, None
    if photometric == "PALETTE COLOR":
        dtype, channels = _palette(tags)
    elif photometric.startswith("MONOCHROME"):
        low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
        dtype, limits = _rescaled(tags, raw, low, high)
        if photometric != "MONOCHROME1":
            limits = None
        elif floats:
            raise UnsupportedFile("a DICOM image of floating-point values of MONOCHROME1 has no range to invert them in")
    return DicomImage(height, width, channels, frames, max(8, stored), dtype, raw, limits, tags)


def _palette(tags: Any) -> tuple[np.dtype[Any], int]:
    """Return the dtype and the number of channels of colors of a palette."""
    if tags.get("SegmentedRedPaletteColorLookupTableData") is not None:
        raise UnsupportedFile("a DICOM image with a segmented palette is not supported: save it with plain colors")
    entries = int(tags.RedPaletteColorLookupTableDescriptor[0]) or 65_536
    bits = round(len(tags.RedPaletteColorLookupTableData) / entries * 8)
    if bits not in (8, 16):
        raise BadFile(f"damaged DICOM: a palette of {entries} colors of {bits} bits is impossible")
    return np.dtype(f"u{bits // 8}"), 4 if tags.get("AlphaPaletteColorLookupTableData") else 3


def _rescaled(tags: Any, raw: np.dtype[Any], low: int, high: int) -> tuple[np.dtype[Any], tuple[float, float]]:
    """Return the dtype of gray values after the modality transform, and the least and greatest value possible."""
    table = tags.get("ModalityLUTSequence")
    if table:
        bits = int(table[0].LUTDescriptor[2])
        if bits not in (8, 16):
            raise UnsupportedFile(f"a DICOM image with a modality table of {bits} bits is not supported")
        return np.dtype(f"u{bits // 8}"), (0.0, 2.0**bits - 1)
    if tags.get("RescaleSlope") is None or tags.get("RescaleIntercept") is None:
        return raw, (low, high)
    slope, intercept = float(tags.RescaleSlope), float(tags.RescaleIntercept)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    limits = (ends[0], ends[1])
    if not np.isfinite(limits).all():
        raise BadFile(f"damaged DICOM: a slope of {slope} and an intercept of {intercept} are impossible")
    if (slope, intercept) == (1, 0):
        return raw, limits
    if slope == 1 and intercept.is_integer() and raw.kind in "iu":
        for dtype in (np.dtype(np.int16), np.dtype(np.uint16)):
            if np.iinfo(dtype).min <= limits[0] and limits[1] <= np.iinfo(dtype).max:
                return dtype, limits
    return np.dtype(np.float64 if (raw.itemsize > 2 and raw.kind in "iu") or raw.itemsize > 4 else np.float32), limits


def _check_size(image: DicomImage, tags: Any, left: int) -> None:
    """Raise `BadFile` if the rest of a file cannot hold its frames."""
    if tags.file_meta.get("TransferSyntaxUID") is not None and tags.file_meta.TransferSyntaxUID.is_compressed:
        needed = image.frames * _FEWEST_OF_A_FRAME
    else:
        samples, allocated = int(tags.get("SamplesPerPixel") or 1), int(tags.BitsAllocated)
        values = image.height * image.width * samples
        if str(tags.PhotometricInterpretation) == "YBR_FULL_422":
            values = values * 2 // 3
        needed = image.frames * values * allocated // 8
    if needed > left:
        raise BadFile(f"damaged DICOM: it has {left:,} bytes for pixels, but {needed:,} according to its header")


def _values(file: Any, image: DicomImage, frame: int) -> NDArray[Any]:
    """Return the values of a frame in the dtype of the image."""
    syntax = file.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        frame_data = get_frame(file.PixelData, frame, number_of_frames=image.frames)
        check_codestream(memoryview(frame_data), image.width, image.height)
    values: NDArray[Any] = get_decoder(syntax).as_array(file, index=frame, raw=False)[0]
    photometric = str(file.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, file)
    elif photometric.startswith("MONOCHROME") and not np.issubdtype(values.dtype, np.floating):
        values = _modality(values, file)
    elif photometric.startswith("MONOCHROME") and image.dtype == values.dtype:
        values = apply_modality_lut(values, file)
    if image.limits is not None:
        values = sum(image.limits) - values.astype(np.float64)
    if image.dtype.kind in "iu" and values.dtype != image.dtype:
        limits = np.iinfo(image.dtype)
        if values.size and not (limits.min <= values.min() and values.max() <= limits.max):
            raise BadFile(f"damaged DICOM: it has values of more than the {file.BitsStored} bits that its header declares")
    return values.astype(image.dtype, copy=False)


def _modality(values: NDArray[Any], file: Any) -> NDArray[Any]:
    slope, intercept = file.get("RescaleSlope"), file.get("RescaleIntercept")
    if not file.get("ModalityLUTSequence") and (slope is None or intercept is None or (slope, intercept) == (1, 0)):
        return values
    changed: NDArray[Any] = apply_modality_lut(values, file)
    return changed
