"""NIfTI and DICOM files whose headers lie, or which are damaged, from small whole ones."""

from __future__ import annotations

import gzip
import io
import struct
from functools import cache
from pathlib import Path

import numpy as np

from tests.hostile.arrays import DTYPE, SHAPE, damaged

_NUMBERS = (0, 1, -1, 2, 7, 348, 352, 540, 32_767, -32_768, 2**31 - 1, -(2**31))
# Offset, format and number of the values of header fields: dim, datatype, bitpix, pixdim, vox_offset, slope, intercept, codes, affine.
_FIELDS = ((0, "i", 1), (40, "h", 8), (70, "h", 1), (72, "h", 1), (76, "f", 8), (108, "f", 1), (112, "f", 2), (252, "h", 2), (256, "f", 18), (344, "4s", 1))  # fmt: skip
_SMALL_NBYTES = 40_000


@cache
def whole_nifti(compressed: bool = False, big: bool = False, turned: bool = False) -> bytes:
    """Return a file of random numbers whose row is of the shape that the others have."""
    import nibabel

    values = np.random.default_rng(0).random(SHAPE[::-1]).astype(DTYPE)
    image = nibabel.Nifti1Image(values, np.diag([-1.0, 1, 1, 1]) if turned else np.eye(4))
    if big:
        image = nibabel.Nifti1Image(values, image.affine, nibabel.Nifti1Header(endianness=">"))
    data: bytes = image.to_bytes()
    return gzip.compress(data) if compressed else data


def hostile_nifti(random: np.random.Generator) -> bytes:
    """Make one: fields of the header replaced, a bomb, or damaged."""
    compressed, big, turned = (bool(random.integers(2)) for _ in range(3))
    whole = whole_nifti(False, big, turned)
    match random.integers(6):
        case 0:
            return whole_nifti(compressed, big, turned)
        case 1:
            return damaged(whole_nifti(compressed, big, turned), random)
        case 2:
            return _bomb(int(random.choice([1, 8, 60])), bool(random.integers(2)))
        case _:
            data = bytearray(whole)
            for _ in range(random.integers(1, 4)):
                at, kind, count = _FIELDS[random.integers(len(_FIELDS))]
                at += int(random.integers(count)) * struct.calcsize(kind)
                order = ">" if big else "<"
                if kind == "f":
                    value: float | bytes = float(random.choice([np.nan, np.inf, -np.inf, 0, 1, -1, 1e38, 1e-40, 353, 2.5]))
                elif kind == "4s":
                    value = [b"n+1\0", b"ni1\0", b"n+2\0", b"\0\0\0\0"][random.integers(4)]
                else:
                    value = int(random.choice(_NUMBERS)) if kind == "i" else int(random.choice(_NUMBERS[:10]))
                data[at : at + struct.calcsize(kind)] = struct.pack(order + kind, value)
            return gzip.compress(bytes(data)) if compressed else bytes(data)


@cache
def _bomb(mebibytes: int, honest: bool) -> bytes:
    """Return a few bytes that become many, whose header declares them, or few."""
    data = bytearray(whole_nifti()[:352])
    if honest:
        data[42:48] = struct.pack("<3h", 512, 512, mebibytes)
    return gzip.compress(bytes(data) + bytes(mebibytes << 20))


@cache
def whole_dicoms() -> tuple[bytes, ...]:
    """Return small files, of pydicom's own tests and made ones, of all transfer syntaxes that are read."""
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    small = [path.read_bytes() for path in sorted(folder.glob("*.dcm")) if path.stat().st_size < _SMALL_NBYTES]
    made = []
    for kind, photometric in (
        (np.uint8, "MONOCHROME2"),
        (np.uint16, "MONOCHROME1"),
        (np.int16, "MONOCHROME2"),
        (np.uint8, "RGB"),
    ):
        values = np.random.default_rng(0).integers(0, 100, (24, 20, 3) if photometric == "RGB" else (24, 20)).astype(kind)
        made.append(dicom(values, photometric))
    return (*made, *(data for data in small if data[128:132] == b"DICM"))


def dicom(values: np.ndarray, photometric: str = "MONOCHROME2") -> bytes:
    """Return an uncompressed file."""
    import pydicom

    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = pydicom.uid.CTImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = "1.2.3"
    file.Rows, file.Columns, file.PhotometricInterpretation = *values.shape[:2], photometric
    file.SamplesPerPixel, file.PlanarConfiguration = (values.shape[2] if values.ndim == 3 else 1), 0
    file.BitsAllocated = file.BitsStored = 8 * values.dtype.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(values.dtype.kind == "i")
    file.PixelData = values.tobytes()
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def hostile_dicom(random: np.random.Generator) -> bytes:
    """Make one: damaged, spliced of two, or with other numbers in its header."""
    seeds = whole_dicoms()
    first, second = (seeds[random.integers(len(seeds))] for _ in range(2))
    match random.integers(8):
        case 0:
            return seeds[random.integers(4)]
        case 1:
            return first[: int(random.integers(len(first)))]
        case 2:
            return first[: int(random.integers(132, len(first)))] + second[int(random.integers(len(second))) :]
        case 3 | 4:
            return first[:132] + damaged(first[132:], random)
        case _:
            return _lying(first, random)


def _lying(data: bytes, random: np.random.Generator) -> bytes:
    """Change numbers of the group of the image: rows, columns, bits, frames."""
    out = bytearray(data)
    for element in (0x10, 0x11, 0x02, 0x100, 0x101, 0x103, 0x08):
        at = data.find(struct.pack("<HH", 0x28, element))
        if at >= 0 and random.integers(3) == 0:
            value = int(random.choice([0, 1, 3, 8, 12, 16, 32, 64, 0x7FFF, 0x8000, 0xFFFF]))
            out[at + 8 : at + 10] = struct.pack("<H", value) if element != 8 else b"%d" % (value % 90 + 10)
    return bytes(out)
