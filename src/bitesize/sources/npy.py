"""Folders and lists of `.npy` files of one row each, read directly into the batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.held import object_size
from bitesize.files.names import Names, show
from bitesize.files.npy import Header, read_header, read_payload
from bitesize.files.pread import READ_FLAGS, Handle, compiled, joined, read_into, read_pieces, size_of, with_file
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.file_rows import FileSource, example_files, first_readable_file
from bitesize.sources.protocol import Into, Located, raise_bad
from bitesize.spec import Field
from bitesize.storage.url import is_url


class NpyFiles(FileSource):
    """`.npy` files of one shape and dtype; each is a row with the field ``x``, and ``y`` if there are labels.

    Byte order and Fortran order may differ between files; rows are converted to native order.

    Parameters
    ----------
    names
        Files. The first readable file defines shape and dtype.
    labels
        One label per file, shape (n, ...), or None.
    classes
        Names of the classes.
    left_out
        What the scan left out.

    Raises
    ------
    BadFile
        If none of the first files is a `.npy` of plain numbers.
    """

    title = ".npy files of one row each"
    suffixes = (".npy",)

    def __init__(
        self,
        names: Names,
        labels: NDArray[Any] | None = None,
        classes: tuple[str, ...] | None = None,
        *,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self._first, (header, start) = first_readable_file(
            names, lambda path: with_file(path, partial(_begin_of, path=path))
        )
        # A file that starts with the same bytes has the same header: no parsing then.
        self._header, self._start = header, start
        self._remote = is_url(names.path(0))
        self._plain = header.dtype.isnative and not (header.fortran and len(header.shape) > 1)
        super().__init__(names, labels, classes, left_out, Field(header.shape, header.dtype.newbyteorder("=")))

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read whole files, each with one call into [header, row]."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        failed: dict[int, Exception] = {}
        out = into["x"]
        start = bytearray(len(self._start))
        paths = [self._names.path(row) for row in rows.tolist()]
        for i in self._read_alike_objects(paths, out, failed) if self._remote else self._read_alike(paths, start, out):
            try:
                with_file(paths[i], partial(self._read_one, path=paths[i], start=start, out=out[i : i + 1]))
            except BitesizeError as error:
                failed[i] = error
        raise_bad(failed)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the files, and the header that each must have."""
        if not self._plain:
            return None
        paths = [self._names.path(row) for row in rows.tolist()]
        each = np.arange(len(paths), dtype=np.int64)
        return Located(paths, each, np.full(len(paths), self._header.offset, np.int64), self._start)

    def _read_alike(self, paths: list[bytes], start: bytearray, out: NDArray[Any]) -> Iterable[int]:
        """Read files with the header of the first in one call; return the files with other headers."""
        libc, known = compiled(), self._header
        if libc is None or not self._plain or not known.nbytes:
            return range(len(paths))
        good = np.empty(len(paths), np.bool_)
        rows = out.reshape(-1).view(np.uint8).reshape(len(paths), known.nbytes)
        header, seen = np.frombuffer(self._start, np.uint8), np.frombuffer(start, np.uint8)
        libc.read_alike(*joined(paths), READ_FLAGS, header, seen, rows, good)
        return np.flatnonzero(~good).tolist()

    def _read_alike_objects(self, paths: list[bytes], out: NDArray[Any], failed: dict[int, Exception]) -> Iterable[int]:
        """Read objects with the header of the first at the same time; return those that have another header."""
        if not self._plain:
            return range(len(paths))
        size, nbytes = len(self._start), self._header.nbytes
        whole = np.zeros((len(paths), size + nbytes), np.uint8)
        buffers = [row if object_size(path) == size + nbytes else None for path, row in zip(paths, whole, strict=True)]
        numbers = np.arange(len(paths))
        failed |= read_pieces(paths, numbers, np.zeros(len(paths), np.int64), buffers)
        other = (whole[:, :size] != np.frombuffer(self._start, np.uint8)).any(axis=1)
        out.reshape(-1).view(np.uint8).reshape(len(paths), nbytes)[...] = whole[:, size:]
        return [i for i in np.flatnonzero(other).tolist() if i not in failed]

    def _read_one(self, fd: Handle, path: bytes, start: bytearray, out: NDArray[Any]) -> None:
        known = self._header
        size = size_of(fd)
        if self._plain and size == known.offset + known.nbytes:
            read_into(fd, [start, out.reshape(-1).view(np.uint8)], 0, path)
            if start == self._start:
                return
        header = read_header(fd, path)
        self._check(header, path)
        read_payload(fd, header, out.reshape(header.shape), path)

    def _check(self, header: Header, path: bytes) -> None:
        known = self.spec["x"]
        assert isinstance(known, Field)
        if header.shape != known.shape or header.dtype.newbyteorder("=") != known.dtype:
            raise BadFile(
                f"{show(path)} is {header.shape} {header.dtype}, but {self._names.show(self._first)} is {known}: "
                f"{_ways(header, known)}"
            )

    def scratch(self, rows: int) -> int:
        """Return the bytes of one row, for files in Fortran order; of all rows with their headers, for objects."""
        return (rows if self._remote else 1) * (self._header.nbytes + len(self._start))

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open arrays, with a note if each file could also hold many rows."""
        source = cls(files.names, files.labels, files.classes, left_out=files.left_out)
        if options.file_is_row is None and (files.labels is None or len(source._header.shape) > 3):
            said = f"each of the {len(source)} .npy files is one row of shape {source._header.shape}"
            source.choices = (Choice(said, "file_is_row=False"),)
        return source

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small arrays of random numbers in two class folders."""
        random = np.random.default_rng(0)
        found = example_files(folder, rows, ".npy", lambda path, i: np.save(path, random.random((5, 4, 3))))
        return cls(found.names, found.labels, found.classes)


def _ways(header: Header, first: Field) -> str:
    """Return the advice for files that differ."""
    equal = (
        "make them equal (crop or pad, then np.save): only image files (PNG, JPEG) may differ in size before bs.Resize, arrays may not; "
        "bs.Map, too, needs rows of one shape"
    )
    if header.shape[1:] == first.shape[1:] and header.shape and header.dtype.newbyteorder("=") == first.dtype:
        return f"if each file holds many rows, pass file_is_row=False, which joins them; if each is one row, {equal}"
    return f"every file is one row, and rows must have the same shape and dtype: {equal}"


def _begin_of(fd: Handle, path: bytes) -> tuple[Header, bytes]:
    """Return the header of an open file, and its bytes."""
    header = read_header(fd, path)
    start = bytearray(header.offset)
    read_into(fd, [start], 0, path)
    return header, bytes(start)
