"""The NIfTI format: headers parsed by nibabel and checked against the file's size, and volumes read plane by plane."""

from __future__ import annotations

import gzip
import io
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError, one_line
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into, size_of
from bitesize.files.stream import Cursor, file_of
from bitesize.storage.blocks import HELD_NBYTES

# Bytes of the header of each version, of which the first number of the file is one.
_SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}
_HEADER_NBYTES = max(_SIZES)
_GZIP = b"\x1f\x8b"
# Deflate makes at most this many bytes of one.
_MOST_RATIO = 1032
# Extensions lie between header and values; a compressed file must be decompressed to skip them.
_MOST_OFFSET = 64 << 20
# Values that are converted at a time, in bytes, unless one plane has more.
_SLAB = 1 << 20
# Stored values, in float64, with offset, and as float32.
_COPIES = 4
_QUIET = logging.Logger("nibabel", logging.CRITICAL + 1)  # nibabel's own logger prints


@dataclass(frozen=True)
class NiftiHeader:
    """Header of a NIfTI file.

    Parameters
    ----------
    shape
        Stored axes: (x, y), (x, y, z) or (x, y, z, channels). The first varies fastest in the file.
    dtype
        Dtype of the stored values, in the byte order of the file.
    components
        Number of values of each element: 3 or 4 for colors, otherwise 0.
    offset
        Offset of the values in bytes, in the decompressed file.
    scale
        Slope and intercept of the values, or None if they are stored unchanged.
    axes
        For each stored axis of space the axis of the oriented volume that it becomes.
    flips
        Stored axes that are reversed in the oriented volume.
    compressed
        Whether the file is compressed with gzip.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    components: int
    offset: int
    scale: tuple[float, float] | None
    axes: tuple[int, ...]
    flips: tuple[int, ...]
    compressed: bool

    @property
    def nbytes(self) -> int:
        """Number of bytes of the stored values."""
        return math.prod(self.shape) * self.dtype.itemsize * max(1, self.components)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the row: (height, width), (depth, height, width), or the latter with channels."""
        oriented = [0] * len(self.axes)
        for axis, length in zip(self.axes, self.shape, strict=False):
            oriented[axis] = length
        channels = (self.components,) if self.components else self.shape[len(self.axes) :]
        return (*oriented[::-1], *channels)

    @property
    def row_axes(self) -> str:
        """Names of the axes of the row."""
        space = "DHW"[-len(self.axes) :]
        return f"{space}C" if len(self.row_shape) > len(self.axes) else space

    @property
    def row_dtype(self) -> np.dtype[Any]:
        """Dtype of the row: float32 if the values are scaled, otherwise that of the file in native byte order."""
        return np.dtype(np.float32) if self.scale else self.dtype.newbyteorder("=")

    def stored_view(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return a row with the stored axes: (x, y, z, channels), or fewer."""
        spatial = len(self.axes)
        canonical = row.transpose(*range(spatial)[::-1], *range(spatial, row.ndim))
        stored = canonical.transpose(*self.axes, *range(spatial, row.ndim))
        return np.flip(stored, self.flips) if self.flips else stored

    @property
    def is_row_order(self) -> bool:
        """Return whether the bytes of the file are those of the row in C order, but for byte order and scale."""
        one_channel = self.components or math.prod(self.shape[len(self.axes) :]) == 1
        return bool(one_channel and not self.flips and self.axes == tuple(range(len(self.axes))))


def read_nifti_header(fd: Handle, path: bytes, *, orient: bool = True) -> NiftiHeader:
    """Return the header of an open NIfTI file, after checking it.

    Parameters
    ----------
    fd, path
        The open file, and its path for messages.
    orient
        Whether the axes are reordered and reversed to the closest canonical orientation.

    Raises
    ------
    BadFile
        If the file is not NIfTI, its values are not supported, or it has fewer bytes than its header declares.
    """
    size = size_of(fd)
    start, compressed = _start(fd, path)
    with _naming(path):
        header = _parse(start, compressed, orient)
    most = size * _MOST_RATIO if compressed else size
    if header.offset + header.nbytes > most or (compressed and header.offset > _MOST_OFFSET):
        raise BadFile(
            f"{show(path)} should have {header.offset + header.nbytes:,} bytes according to its header, but has {size:,}"
            f"{' compressed ones, which cannot become as many' if compressed else ''}"
        )
    return header


def raw_header(fd: Handle, path: bytes) -> Any:
    """Return the header of an open NIfTI file as nibabel has it, in the byte order of the file, to write a file like it."""
    start, _ = _start(fd, path)
    with _naming(path):
        return _known(start)


def _start(fd: Handle, path: bytes) -> tuple[bytes, bool]:
    """Return the bytes of the header, and whether the file is compressed."""
    start = bytearray(min(size_of(fd), _HEADER_NBYTES))
    read_into(fd, [start], 0, path)
    if not start.startswith(_GZIP):
        return bytes(start), False
    with _stream(fd, 0, path, compressed=True) as stream:
        return stream.read(_HEADER_NBYTES), True


@contextmanager
def _naming(path: bytes) -> Iterator[None]:
    """Name the file in errors of its header."""
    try:
        yield
    except BitesizeError as error:
        raise BadFile(f"{show(path)} {error}") from error
    except Exception as error:  # nibabel and NumPy raise many types for damaged headers
        raise BadFile(f"{show(path)} is not a NIfTI file: {one_line(error)}") from error


def _known(start: bytes) -> Any:
    """Return the checked header of nibabel."""
    import nibabel

    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    number = next((size for size in _SIZES if size in sizes), None)
    if number is None or len(start) < number:
        raise BadFile(f"is not a NIfTI file: it starts with {start[:16]!r}")
    known = getattr(nibabel, _SIZES[number])(start[:number], check=False)
    magic = bytes(known["magic"].tobytes())[:2]
    if magic != b"n+":
        way = "save both files as one, .nii" if magic == b"ni" else "save it as NIfTI, .nii, with its orientation"
        raise BadFile(f"is {'a NIfTI header whose values are in another file' if magic == b'ni' else 'Analyze'}: {way}")
    known.check_fix(logger=_QUIET, error_level=40)
    return known


def _parse(start: bytes, compressed: bool, orient: bool) -> NiftiHeader:
    import nibabel

    known = _known(start)
    shape, dtype = tuple(map(int, known.get_data_shape())), known.get_data_dtype()
    components = len(dtype.names or ())
    if components:
        dtype = np.dtype(np.uint8)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise BadFile(f"has values of {dtype}, which are not supported: save it with float32 values")
    shape = _known_shape(shape, components)
    spatial = min(3, len(shape))
    slope, offset = known.get_slope_inter()
    scale = None if slope is None or (slope, offset) == (1, 0) or components else (float(slope), float(offset or 0))
    axes: tuple[int, ...] = tuple(range(spatial))
    flips: tuple[int, ...] = ()
    if orient and spatial == 3:
        axes, flips = _orientation(nibabel, known.get_best_affine())
    return NiftiHeader(shape, dtype, components, int(known.get_data_offset()), scale, axes, flips, compressed)


def _known_shape(shape: tuple[int, ...], components: int) -> tuple[int, ...]:
    """Return the shape with one axis of channels at most."""
    if len(shape) < 2 or any(length < 1 for length in shape):
        raise BadFile(f"has the shape {shape}, which is no image and no volume")
    if len(shape) > 4:  # vectors are stored as (x, y, z, 1, vector)
        longer = [length for length in shape[3:] if length > 1]
        if len(longer) > 1:
            raise BadFile(f"has the shape {shape}: volumes have up to four axes, of which the last is the channels")
        shape = (*shape[:3], *(longer or [1]))
    if components and len(shape) > 3:
        raise BadFile(f"has the shape {shape} and {components} colors: colored volumes have three axes")
    return shape


def _orientation(nibabel: Any, affine: NDArray[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the oriented axis of each stored axis, and the stored axes that are reversed."""
    found = nibabel.io_orientation(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
    if not np.isfinite(found).all():
        raise BadFile("has no valid orientation: orient=False reads the axes in the order in which they are stored")
    return tuple(found[:, 0].astype(int).tolist()), tuple(np.flatnonzero(found[:, 1] < 0).tolist())


def read_nifti(fd: Handle, header: NiftiHeader, row: NDArray[Any], path: bytes, *, labels: bool = False) -> None:
    """Read the values of an open NIfTI file into ``row``: C-contiguous, of the header's `row_shape`.

    Needs up to `nifti_scratch` bytes. Scaled values are those that nibabel returns as float32.

    Parameters
    ----------
    fd, header, path
        The open file, its header, and its path for messages.
    row
        Destination, whose dtype can hold the values.
    labels
        Whether the values are class numbers: whole numbers that the dtype of ``row`` must be able to hold.

    Raises
    ------
    BadFile
        If the file is damaged or ends too early, or labels are no such numbers.
    """
    same = header.is_row_order and header.scale is None and header.dtype == row.dtype
    with _stream(fd, header.offset, path, compressed=header.compressed) as stream:
        if same:
            _fill(stream, row.reshape(-1).view(np.uint8), path)
        else:
            for values, into in _slabs(stream, header, row, path):
                into[...] = _as_labels(values, row.dtype, path) if labels else values
        if header.compressed:
            _skip(stream, _SLAB)  # at the end of the file, this compares the checksum


def nifti_scratch(shape: tuple[int, ...], axes: str, *, remote: bool = False) -> int:
    """Return the bytes that reading a volume needs in addition to the row, whichever axes a plane of its file has."""
    space = sorted(shape[: len(axes.rstrip("C"))])
    return _COPIES * max(8 * math.prod(space[-2:]), _SLAB) + _SLAB + (HELD_NBYTES if remote else 0)


def _slabs(stream: Any, header: NiftiHeader, row: NDArray[Any], path: bytes) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield converted values of some planes, and where they belong in the row."""
    parts, each = header.stored_view(row), max(1, header.components)
    width, height = header.shape[:2]
    depth = header.shape[2] if len(header.shape) > 2 else 1
    if parts.ndim == (3 if header.components else 2):
        parts = parts[:, :, None]
    plane = width * height * header.dtype.itemsize * each
    count = max(1, _SLAB // plane)
    for channel in range(header.shape[3] if len(header.shape) > 3 else 1):
        for start in range(0, depth, count):
            stop = min(depth, start + count)
            raw = np.empty(plane * (stop - start), np.uint8)
            _fill(stream, raw, path)
            into = parts[:, :, start:stop] if parts.ndim == 3 or header.components else parts[:, :, start:stop, channel]
            values = raw.view(header.dtype)
            if header.components:
                yield np.moveaxis(values.reshape((each, width, height, stop - start), order="F"), 0, -1), into
            else:
                yield _scaled(values.reshape((width, height, stop - start), order="F"), header, row.dtype), into


def _scaled(values: NDArray[Any], header: NiftiHeader, dtype: np.dtype[Any]) -> NDArray[Any]:
    if header.scale is None:
        return values
    from nibabel.volumeutils import apply_read_scaling

    scaled: NDArray[Any] = apply_read_scaling(values, *map(np.asarray, header.scale))
    return scaled.astype(np.float32, copy=False) if dtype.kind == "f" else scaled


def _as_labels(values: NDArray[Any], dtype: np.dtype[Any], path: bytes) -> NDArray[Any]:
    """Return class numbers in the dtype of the row."""
    if np.can_cast(values.dtype, dtype):
        return values
    limits = np.iinfo(dtype)
    # Also false for NaN.
    if not bool(((values >= limits.min) & (values <= limits.max)).all()) or (values != np.rint(values)).any():
        raise BadFile(
            f"{show(path)} is a mask with values that are no whole numbers from {limits.min} to {limits.max}: "
            "masks have a class number for each voxel"
        )
    return values.astype(dtype)


@contextmanager
def _stream(fd: Handle, offset: int, path: bytes, *, compressed: bool) -> Iterator[Any]:
    """Open a file object that reads, or decompresses, an open file from an offset on; errors become `BadFile`."""
    start = 0 if compressed else offset
    if not compressed and isinstance(fd, int):
        yield Cursor(fd, path, start)
        return
    with file_of(fd, path, start, whole=True) as raw:
        if not compressed:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                _skip(stream, offset)
                yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadFile(f"{show(path)} is damaged: {one_line(error)}") from error


def _skip(stream: gzip.GzipFile, nbytes: int) -> None:
    while nbytes > 0 and (got := len(stream.read(min(nbytes, io.DEFAULT_BUFFER_SIZE)))):
        nbytes -= got


def _fill(stream: Any, into: NDArray[np.uint8], path: bytes) -> None:
    view, done = memoryview(into), 0  # type: ignore[arg-type]
    while done < len(view):
        got = stream.readinto(view[done:])
        if not got:
            raise BadFile(f"{show(path)} is damaged: it ends {len(view) - done:,} bytes before the end of its values")
        done += got
