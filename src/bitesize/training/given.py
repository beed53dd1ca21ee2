"""Rows to predict, as parts in the given order: files of one row each, data of many rows, or images in memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import KINDS_OF_SUFFIXES, START_NBYTES, SUFFIXES, foreign_format, sniff
from bitesize.errors import BadFile, BadSetting, BitesizeError, UnsupportedFile
from bitesize.files.held import held_starts
from bitesize.files.names import Names, show
from bitesize.files.nifti import read_nifti_header
from bitesize.files.npy import Header, read_header
from bitesize.files.pread import Handle, read_into, size_of, with_file
from bitesize.pipeline.probe import info_of_row
from bitesize.sources.axes import set_axes
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.image_modes import with_modes
from bitesize.sources.images import ImageFiles
from bitesize.sources.layouts.listing import REASONS
from bitesize.sources.nifti import NiftiFiles
from bitesize.sources.npy import NpyFiles
from bitesize.sources.registry import need
from bitesize.sources.tiff_pages import pages_of
from bitesize.spec import Encoded, Field, Mode, Pages
from bitesize.storage.url import is_url
from bitesize.training.pictures import Pictures, described

# Rows of a part that belong together, and their source, or the error of reading them.
Group = tuple[NDArray[np.int64], Source | BitesizeError]
_IMAGES = tuple(os.fsencode(suffix) for suffix in SUFFIXES)
_TIFFS = tuple(os.fsencode(suffix) for suffix, kind in KINDS_OF_SUFFIXES.items() if kind == "TIFF")
_VOLUMES = tuple(map(os.fsencode, NiftiFiles.suffixes))


@dataclass
class Rows:
    """Data of many rows.

    Parameters
    ----------
    source
        Source with the field ``x``.
    """

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def describe(self, row: int) -> str:
        """Return a name of a row: its file, or its number in the file."""
        return self.source.describe(row)


@dataclass
class OneEach:
    """Files of one row each: images, NIfTI volumes and `.npy` files of any size, and other files among them.

    Parameters
    ----------
    names
        Files, in the given order.
    mode
        Mode of decoded images; None if the run takes no images.
    orient
        Whether images are rotated upright.
    unchanged
        Field with channels and dtype of images that are decoded unchanged; None for those of the first file.
    axes
        Axes of rows that are arrays, as in `bitesize.open`; empty where the shape decides.
    pages
        What the pages of TIFF files are, as in `bitesize.open`.
    """

    names: Names
    mode: Mode | None
    orient: bool = True
    unchanged: Encoded | None = None
    axes: str = ""
    pages: Pages = "first"
    said: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def nbytes(self) -> int:
        """Size of the names in bytes."""
        return self.names.nbytes

    def describe(self, row: int) -> str:
        """Return the path."""
        return self.names.show(row)

    def groups(self, start: int, stop: int) -> Iterator[Group]:
        """Group some of the files by their type.

        Yields
        ------
        rows : ndarray of int64
            Row numbers of a group.
        source : Source or BitesizeError
            Images; pages, volumes, or `.npy` files of one shape and dtype; or the error of a file that is none of these.
        """
        images: list[int] = []
        others: dict[Hashable, tuple[type[Source], list[int]]] = {}
        for row in self._held(start, stop):
            path = self.names.path(row)
            lower = path.lower()
            stacked = self.pages != "first" and lower.endswith(_TIFFS)
            if lower.endswith(_IMAGES) and not stacked:  # their type is found from their bytes when they are read
                images.append(row)
                continue
            try:
                found = self._kind_of_stack(path) if stacked else self._kind_of(path)
            except BitesizeError as error:
                yield np.array([row], np.int64), error
                continue
            if found is None:
                images.append(row)
            else:
                others.setdefault(found, (found[0], []))[1].append(row)
        if images:
            yield np.array(images, np.int64), self._images(images)
        for kind, rows in others.values():
            yield np.array(rows, np.int64), self._opened(kind, rows, self.pages if kind is ImageFiles else "first")

    def _kind_of_stack(self, path: bytes) -> tuple[Any, ...]:
        """Return what pages of a TIFF that are one row have in common with those of other files in a group."""
        pages = pages_of(path)
        return ImageFiles, len(pages), pages[0].shape, pages[0].dtype.str

    def _kind_of(self, path: bytes) -> tuple[Any, ...] | None:
        """Return the kind of a file, and what files in a group have in common; None for an image."""
        if path.lower().endswith(_VOLUMES):
            need(NiftiFiles)
            volume = with_file(path, lambda fd: read_nifti_header(fd, path, orient=self.orient))
            return NiftiFiles, volume.row_shape
        header = with_file(path, partial(_header_of, path=path))
        return None if header is None else (NpyFiles, header.shape, header.dtype.newbyteorder("=").str)

    def _held(self, start: int, stop: int) -> Iterator[int]:
        """Yield files; while one is looked at, its beginning is in memory if it is an object."""
        if start >= stop or not is_url(self.names.path(start)):
            yield from range(start, stop)
            return
        others = [row for row in range(start, stop) if not self.names.path(row).lower().endswith(_IMAGES)]
        yield from sorted({*range(start, stop)} - {*others})
        for some in held_starts([self.names.path(row) for row in others]):
            yield from (others[i] for i in some)

    def _images(self, rows: list[int]) -> Source | BitesizeError:
        if self.mode is None:
            return BadSetting("the run was not trained on images: only .npy files of the shape of its rows can be predicted")
        return self._opened(ImageFiles, rows)

    def _opened(self, kind: type[Source], rows: list[int], pages: Pages = "first") -> Source | BitesizeError:
        files = RowFiles(self.names.picked(rows), None, None, {})
        mode = "unchanged" if pages != "first" else self.mode or "RGB"
        try:
            source = kind.of_files(files, OpenOptions(mode=mode, orient=self.orient, file_is_row=True, pages=pages))
            source = with_modes(source, self.unchanged)
            field = source.spec["x"]
            if kind is NpyFiles and isinstance(field, Field) and len(field.shape) == len(self.axes):
                set_axes(source, self.axes)
        except (BadFile, BadSetting) as error:
            return error
        self.said += [str(choice) for choice in source.choices if str(choice) not in self.said]
        return source


@dataclass
class Objects:
    """Images of Pillow and arrays, one row each.

    Parameters
    ----------
    images
        Images and arrays, in the given order.
    mode
        Mode to convert images to; None if the run takes no images.
    axes
        Axes of arrays that are volumes; empty for other arrays.
    """

    images: Sequence[Any]
    mode: Mode | None
    axes: str = ""
    nbytes = 0  # they belong to the caller

    def __len__(self) -> int:
        return len(self.images)

    def describe(self, row: int) -> str:
        """Return the file that Pillow has opened, or the row number."""
        return str(getattr(self.images[row], "filename", "") or f"row {row}")

    def groups(self, start: int, stop: int) -> Iterator[Group]:
        """Group some of the images by their shape; see `OneEach.groups`."""
        alike: dict[Any, list[int]] = {}
        for row in range(start, stop):
            alike.setdefault(described(self.images[row], self.mode), []).append(row)
        for what, rows in alike.items():
            source = Pictures([self.images[row] for row in rows], what, self.mode)
            set_axes(source, self.axes if self.axes and len(self.axes) == len(what.shape) else None)
            yield np.array(rows, np.int64), source


Part = Rows | OneEach | Objects


@dataclass
class Given:
    """All rows to predict.

    Attributes
    ----------
    parts : list of Part
        Parts, in the given order.
    said : list of str
        Lines about the layout found and the choices made.
    left_out : dict of str to int
        Number of files left out, such as hidden files, by reason.
    orient : bool
        Whether images and volumes are read upright, as in `bitesize.open`.
    """

    parts: list[Part] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    orient: bool = True

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def describe(self, row: int) -> str:
        """Return a name of a row."""
        for part in self.parts:
            if row < len(part):
                return part.describe(row)
            row -= len(part)
        raise IndexError(row)

    def image_size(self, row: int, dimensions: int = 2) -> tuple[int, ...] | None:
        """Return height and width of the image of a row, upright, or for 3 dimensions with the depth of its volume; None if it cannot be read."""
        for part in self.parts:
            if row < len(part):
                return _size_in(part, row, dimensions)
            row -= len(part)
        raise IndexError(row)

    def path(self, row: int) -> bytes | None:
        """Return the path of the file of a row, or None if it has no file of its own."""
        for part in self.parts:
            if row < len(part):
                return (
                    part.names.path(row)
                    if isinstance(part, OneEach)
                    else part.source.path(row)
                    if isinstance(part, Rows)
                    else None
                )
            row -= len(part)
        raise IndexError(row)

    def relative(self, row: int) -> str:
        """Return the path of a row's file below the folder that was given, with ``/``; its name if a file was given; else ``row-N``."""
        number = row
        for part in self.parts:
            if row < len(part):
                return _relative_in(part, row) or f"row-{number}"
            row -= len(part)
        raise IndexError(number)

    def count(self, left_out: Mapping[str, int]) -> None:
        """Count a file that is left out."""
        self.left_out.update(left_out)


def _size_in(part: Part, row: int, dimensions: int) -> tuple[int, ...] | None:
    """Return the sides of the image or volume of a row of a part."""
    if isinstance(part, Rows):
        source: Source | BitesizeError = part.source
    else:
        (_, source), row = next(part.groups(row, row + 1)), 0
    if not isinstance(source, Source):
        return None
    field = source.spec[source.primary]
    if isinstance(field, Field):
        return field.shape[:dimensions] if len(field.shape) >= dimensions else None
    info = info_of_row(source, source.primary, row)
    if info is None:
        return None
    return (info.width, info.height) if field.orient and info.orientation >= 5 else (info.height, info.width)


def _relative_in(part: Part, row: int) -> str:
    """Return the relative path of a row of a part; empty if it has no file of its own."""
    if isinstance(part, OneEach):
        return show(part.names.relative(row) if part.names.root else os.path.basename(part.names.path(row))).replace(
            os.sep, "/"
        )
    if isinstance(part, Objects):
        return os.path.basename(getattr(part.images[row], "filename", "") or "")
    path, root = part.source.path(row), part.source.paths_root
    if path is None:
        return ""
    text, folder = show(path), "" if root is None else os.path.join(show(os.fsencode(root)), "")
    below = text[len(folder) :] if folder and text.startswith(folder) else os.path.basename(text)
    return below.replace(os.sep, "/")


def _header_of(fd: Handle, path: bytes) -> Header | None:
    """Return the header of a `.npy` file, or None for an image, by its first bytes.

    Raises
    ------
    BadFile
        If the file is neither.
    """
    name = show(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix == ".npy":
        return read_header(fd, path)
    start = bytearray(min(START_NBYTES, size_of(fd)))
    read_into(fd, [start], 0, path)
    foreign = foreign_format(bytes(start), name)
    if foreign is not None:
        raise UnsupportedFile(f"{name}: {foreign.name} is not supported: {foreign.way}")
    try:
        sniff(bytes(start))
    except BadFile as error:
        why = REASONS.get(suffix) or f"neither an image nor a .npy file ({suffix or 'no suffix'})"
        raise BadFile(f"{name}: {why}") from error
    return None
