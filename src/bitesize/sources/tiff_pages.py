"""Pages of TIFF files as rows, as channels, or as slices of a volume, decoded page by page from parts of the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.formats import check_packages
from bitesize.decode.tiff import tiff_facts
from bitesize.decode.tiff_header import tiff_info
from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.files.names import Names, show
from bitesize.files.pread import Handle, read_into, size_of, with_file
from bitesize.packages import is_installed
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.file_rows import FileSource, first_readable_file
from bitesize.sources.protocol import Into, raise_bad
from bitesize.spec import Field, Pages

# Memory for decoding a page of other files than the first, which may have larger strips.
_LEAST_NBYTES, _TIMES_THE_FIRST = 16 << 20, 2
# Axes of tifffile, and what they are here.
_MEANING: Mapping[str, Pages] = {"C": "channels", "Z": "depth", "T": "rows"}
_APART = "open files of different kinds apart"


class Page(NamedTuple):
    """A page: where its directory is, its shape (height, width, bands), its type, the memory for decoding it, and whether bands are no colors."""

    offset: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    overhead: int
    banded: bool


class TiffPages(FileSource):
    """Pages of TIFF files; values are unchanged.

    Parameters
    ----------
    names
        The files.
    labels
        One label per file, shape (n, ...), or None.
    classes
        Names of the classes.
    pages
        ``"channels"``, ``"depth"`` or ``"rows"``.
    left_out
        Counts of what the scan left out.

    Attributes
    ----------
    pages : str
        As given.

    Raises
    ------
    BadFile
        If none of the first files is a TIFF.
    MissingPackage
        If tifffile is not installed.
    """

    takes_pages = True

    def __init__(
        self,
        names: Names,
        labels: NDArray[Any] | None = None,
        classes: tuple[str, ...] | None = None,
        *,
        pages: Pages = "rows",
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        check_packages("TIFF")
        self._first, found = first_readable_file(names, pages_of)
        self.pages: Pages = pages
        page = found[0]
        count, (height, width, bands) = len(found), page.shape
        if pages == "rows":
            field = Field((height, width, bands), page.dtype, axes="HWC", bands=page.banded)
            self._index = _index(names)
            labels = None if labels is None else labels[self._index[:, 0]]
        elif pages == "channels":
            field = Field((height, width, count * bands), page.dtype, axes="HWC", bands=count > 1 or page.banded)
        else:
            shape = (count, height, width) if bands == 1 else (count, height, width, bands)
            field = Field(shape, page.dtype, axes="DHW" if bands == 1 else "DHWC")
        self._count, self._page = count, page
        self._most = max(_LEAST_NBYTES, _TIMES_THE_FIRST * page.overhead)
        super().__init__(names, labels, classes, left_out, field)

    def __len__(self) -> int:
        return len(self._index) if self.pages == "rows" else len(self._names)

    def describe(self, row: int) -> str:
        """Return the path of the file, and the page."""
        file, page = self._place(row)
        return self._names.show(file) if self.pages != "rows" else f"{self._names.show(file)}, page {page + 1}"

    def path(self, row: int) -> bytes | None:
        """Return the path of the file."""
        return self._names.path(self._place(row)[0])

    def scratch(self, rows: int) -> int:
        """Return the bytes for decoding a page: one strip or tile, and a page in another order of axes."""
        height, width, bands = self._page.shape
        return self._most + height * width * bands * self._page.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of names, labels and places of pages in memory."""
        return super().nbytes + (self._index.nbytes if self.pages == "rows" else 0)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Decode the pages of each row."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        failed: dict[int, Exception] = {}
        for i, row in enumerate(rows.tolist()):
            path = self._names.path(self._place(row)[0])
            try:
                with_file(path, partial(self._read_row, row=row, path=path, out=into["x"][i]))
            except BadFile as error:
                failed[i] = type(error)(f"{self.describe(row)}: {error}")
            except BitesizeError as error:
                failed[i] = error
        raise_bad(failed)

    def _read_row(self, fd: Handle, row: int, path: bytes, out: NDArray[Any]) -> None:
        if self.pages == "rows":
            offset = int(self._index[row, 1])
            if offset < 0:
                raise BadFile("its pages could not be read when the data were opened")
            self._decode(fd, path, offset, out)
            return
        offsets = _offsets(fd, path)
        if len(offsets) != self._count:
            raise BadFile(f"has {len(offsets)} pages, but {self._names.show(self._first)} has {self._count}: {_APART}")
        bands = self._page.shape[2]
        for number, offset in enumerate(offsets):
            if self.pages == "depth":
                self._decode(fd, path, offset, out[number].reshape(self._page.shape))
            else:
                values = np.empty(self._page.shape, out.dtype)
                self._decode(fd, path, offset, values)
                out[..., number * bands : (number + 1) * bands] = values

    def _decode(self, fd: Handle, path: bytes, offset: int, out: NDArray[Any]) -> None:
        """Decode one page, which must be like those of the first file."""
        from bitesize.decode.tiff_codec import decode_page  # loads tifffile

        page, first = _page(fd, path, offset), self._page
        if (page.shape, page.dtype) != (first.shape, first.dtype):
            of_first = f"{self._names.show(self._first)} has {first.shape} {first.dtype}"
            raise BadFile(f"has a page of {page.shape} {page.dtype}, but {of_first}: {_APART}")
        if page.overhead > self._most:
            raise BadFile(
                f"its strips or tiles need {page.overhead:,} bytes, and those of the first file {first.overhead:,}"
            )
        try:
            decode_page(partial(_part, fd, path), size_of(fd), offset, out, page.overhead)
        except (BitesizeError, MemoryError, ImportError):
            raise
        except Exception as error:  # decoders raise many types for damaged files
            raise BadFile(f"damaged TIFF: {error}") from error

    def _place(self, row: int) -> tuple[int, int]:
        """Return the file of a row, and the number of its page."""
        if self.pages != "rows":
            return row, 0
        file = int(self._index[row, 0])
        return file, row - int(np.searchsorted(self._index[:, 0], file))

    def _identity(self) -> bytes:
        return super()._identity() + b"\0" + self.pages.encode()

    @classmethod
    def of_pages(cls, files: RowFiles, pages: Pages, options: OpenOptions) -> Source:
        """Open the pages of TIFF files."""
        if options.mode not in ("auto", "unchanged"):
            raise BadSetting(f"pages={pages!r} reads unchanged values: leave out mode={options.mode!r}")
        source = cls(files.names, files.labels, files.classes, pages=pages, left_out=files.left_out)
        if pages == "rows":
            source.choices = (Choice(f"rows: {len(source):,} pages of {len(files.names):,} TIFF files", "pages="),)
        return source

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write a stack of random noise."""
        import tifffile

        from bitesize.files.names import names_of

        values = np.random.default_rng(0).integers(0, 4096, (rows, 12, 16), np.uint16)
        tifffile.imwrite(folder / "stack.tif", values, photometric="minisblack")
        return cls(names_of([folder / "stack.tif"]))


def pages_of(path: bytes) -> list[Page]:
    """Return the full-size pages of a TIFF.

    Raises
    ------
    BadFile
        If the file is not a TIFF, or its first page is damaged.
    """

    def pages(fd: Handle) -> list[Page]:
        """Return the pages, of which the first is described; the others are compared with it when they are read."""
        offsets = _offsets(fd, path)
        return [_page(fd, path, offsets[0])._replace(offset=offset) for offset in offsets]

    return with_file(path, pages)


def pages_of_metadata(path: bytes) -> tuple[Pages, str] | None:
    """Return what the pages of a TIFF are by the metadata of ImageJ, OME or tifffile, and their axes; None if they do not say it."""
    if not (is_installed("tifffile") and is_installed("imagecodecs")):
        return None
    with suppress(Exception):  # of a file that is reported when it is read
        axes: tuple[Pages, str] | None = with_file(path, partial(_axes, path=path))
        return axes
    return None


def _axes(fd: Handle, path: bytes) -> tuple[Pages, str] | None:
    from bitesize.decode.tiff_codec import page_axes

    axes, shape = page_axes(partial(_part, fd, path), size_of(fd))
    long = [axis for axis, size in zip(axes, shape, strict=True) if size > 1 and axis not in "YXS"]
    return (_MEANING[long[0]], axes) if len(long) == 1 and long[0] in _MEANING else None


def _page(fd: Handle, path: bytes, offset: int) -> Page:
    facts = tiff_facts(partial(_part, fd, path), offset)
    if facts is None:
        raise BadFile(f"damaged TIFF: the directory at {offset:,} cannot be read")
    info = tiff_info(facts, size_of(fd), only=True)
    return Page(offset, (info.height, info.width, info.channels), info.dtype, info.overhead, info.banded)


def _offsets(fd: Handle, path: bytes) -> tuple[int, ...]:
    """Return where the directories of the pages are."""
    facts = tiff_facts(partial(_part, fd, path))
    if facts is None:
        raise BadFile(f"{show(path)} is not a TIFF, or its header is damaged")
    return facts.offsets


def _part(fd: Handle, path: bytes, at: int, size: int) -> bytes:
    return read_part(fd, at, size, path)


def read_part(fd: Handle, at: int, size: int, path: bytes) -> bytes:
    """Read a part of a file: fewer bytes at its end."""
    buffer = bytearray(max(0, min(size, size_of(fd) - at)))
    read_into(fd, [buffer], at, path)
    return bytes(buffer)


def _index(names: Names) -> NDArray[np.int64]:
    """Return the file of each row, and where its page is, shape (rows, 2); one row at -1 for a file that cannot be read."""

    def pages() -> Iterator[tuple[int, int]]:
        """Yield the pages of all files."""
        for i in range(len(names)):
            path = names.path(i)
            try:
                yield from ((i, offset) for offset in with_file(path, partial(_offsets, path=path)))
            except BitesizeError:
                yield i, -1

    return np.array(list(pages()), np.int64).reshape(-1, 2)
