"""TIFF by tifffile: any number of bands and any type, strips and tiles, contiguous or planar, one segment at a time."""

from __future__ import annotations

import io
import logging
import struct
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bitesize.decode.info import ImageInfo
from bitesize.decode.jpeg import jpeg_info
from bitesize.decode.jpeg2000 import codestream
from bitesize.decode.tiff import Read, of_bytes, tiff_facts
from bitesize.decode.tiff_header import tiff_info
from bitesize.errors import BadFile, UnsupportedFile

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # errors are raised; without a handler they would be printed
# Kinds that tifffile looks for to correct the list of pages, which is not used here.
_NOT = {f"is_{kind}": False for kind in ("lsm", "scanimage", "ndpi", "ome", "stk", "svs", "imagej")}
_JPEGS, _JPEGS_2000 = (6, 7, 34892, 33007), (33003, 33004, 33005, 34712)
_WEBP, _PNG, _LERC = (50001, 34927), (34933,), (34887,)
# Compressions whose decoders take the size of their result from here. The others have a size of their own, which must agree first.
_BOUNDED = frozenset((1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 50000, 50013))


def read_header(data: memoryview) -> ImageInfo:
    """Return the header of the first page."""
    facts = tiff_facts(of_bytes(data))
    if facts is None:
        raise BadFile("damaged TIFF: its header cannot be read")
    return tiff_info(facts, len(data), only=True)


def decode_into(data: memoryview, info: ImageInfo, out: NDArray[Any]) -> None:
    """Decode the first page into ``out``."""
    facts = tiff_facts(of_bytes(data))
    assert facts is not None
    decode_page(of_bytes(data), len(data), facts.offsets[0], out, info.overhead)


def decode_page(read: Read, nbytes: int, offset: int, out: NDArray[Any], memory: int) -> None:
    """Decode the page whose directory is at ``offset`` into ``out``, shape (height, width, bands).

    Parameters
    ----------
    read, nbytes
        Function that reads a part of the file, and the length of the file.
    offset
        Of the directory.
    out
        Of the type of the page.
    memory
        Bytes that were charged for decoding: what `tiff_header.tiff_info` says is the overhead of the page.

    Raises
    ------
    BadFile
        If the page is damaged, or has another shape or type than ``out``.
    """
    file = tifffile.TiffFile(_View(read, nbytes), **_NOT)  # type: ignore[arg-type]
    file.filehandle.seek(offset)
    page = tifffile.TiffPage(file, 0)
    planes, depth, height, width, bands = page.shaped
    dtype = page.dtype
    if depth != 1 or (height, width, planes * bands) != out.shape or (dtype != out.dtype and dtype != np.float16):
        found = f"{width} x {height} pixels of {planes * bands} bands of {dtype}"
        raise BadFile(f"a page has {found}, not {out.shape[1]} x {out.shape[0]} of {out.shape[2]} bands of {out.dtype}")
    segments = max(len(page.dataoffsets), 1)
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    expected = planes * -(-height // rows) * -(-width // columns)
    if segments < expected or len(page.databytecounts) < expected:
        raise BadFile(f"damaged TIFF: it has {segments} of {expected} strips or tiles")
    tables = page.jpegtables
    for number in range(expected):
        at, size = page.dataoffsets[number], page.databytecounts[number]
        raw: bytes | None = None
        if at and size:
            if at + size > nbytes and page.compression == 1:
                raise BadFile(f"damaged TIFF: {size:,} bytes at {at:,} lie beyond its end at {nbytes:,}")
            if size > memory:
                raise BadFile(f"damaged TIFF: a strip or tile of {columns} x {rows} pixels has {size:,} bytes")
            raw = read(at, size)
            _check_size(page.compression, raw, rows, columns)
        decoded, place, shape = page.decode(raw, number, jpegtables=tables, jpegheader=page.jpegheader)
        plane, _, top, left, _ = place
        part = out[top : top + shape[1], left : left + shape[2]]
        if planes > 1:
            part = part[..., plane : plane + 1]
        if decoded is None:  # a segment that is not in the file
            part[...] = page.nodata
        else:
            part[...] = decoded[0, : part.shape[0], : part.shape[1]]


def page_axes(read: Read, nbytes: int) -> tuple[str, tuple[int, ...]]:
    """Return the axes of the pages by the metadata of ImageJ, OME or tifffile, as letters of tifffile, and their lengths."""
    with tifffile.TiffFile(_View(read, nbytes)) as file:  # type: ignore[arg-type]
        if not (file.is_imagej or file.is_ome or file.is_shaped):
            return "", ()
        series = file.series[0]
        return series.axes, series.shape


def _check_size(compression: int, raw: bytes, rows: int, columns: int) -> None:
    """Raise if a segment is an image with a size of its own, which is larger than the segment."""
    if compression in _BOUNDED:
        return
    if compression in _JPEGS:
        info = jpeg_info(memoryview(raw))
        width, height = info.width, info.height
    elif compression in _JPEGS_2000:
        stream = codestream(memoryview(raw))
        width, height = stream.width, stream.height
    elif compression in _PNG and raw[12:16] == b"IHDR":
        width, height = struct.unpack_from(">II", raw, 16)
    elif compression in _WEBP:
        width, height = _webp_size(raw)
    elif compression in _LERC and raw[:6] == b"Lerc2 ":
        version = struct.unpack_from("<i", raw, 6)[0]
        height, width = struct.unpack_from("<ii", raw, 14 if version >= 3 else 10)
    else:
        raise UnsupportedFile(
            f"a TIFF of the compression {compression} is not supported: save it with another one, or as .npy"
        )
    if not (0 < width <= columns and 0 < height <= max(rows, 1)):
        raise BadFile(f"damaged TIFF: a strip or tile of {columns} x {rows} pixels has an image of {width} x {height}")


def _webp_size(raw: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(raw), formats=["WEBP"]) as image:
        return image.size


class _View(io.RawIOBase):
    """A file that a function reads. Reads are cut at its end before anything is allocated."""

    def __init__(self, read: Read, nbytes: int) -> None:
        super().__init__()
        self._read, self._nbytes, self._at = read, nbytes, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset."""
        self._at = max(0, offset + (0, self._at, self._nbytes)[whence])
        return self._at

    def tell(self) -> int:
        """Return the offset."""
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes."""
        rest = max(0, self._nbytes - self._at)
        part = self._read(self._at, rest if size is None or size < 0 else min(size, rest))
        self._at += len(part)
        return part

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")
        part = self.read(len(view))
        view[: len(part)] = part
        return len(part)
