"""Rows of several shards, by number: where fixed rows lie, and reading of blobs and pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, BitesizeError
from bitesize.files.held import held_groups
from bitesize.files.pread import Handle, joined, passing, read_into, read_pieces, read_rows, with_file
from bitesize.packed.info import ShardInfo

# Up to this number of files, listing all of them is faster than selecting the files of the rows.
_FEW = 256


class Wanted(NamedTuple):
    """A field of some rows: its files, and for each row the number of its file, its offset there, and a buffer, or None.

    Attributes
    ----------
    paths : list of bytes
    which, offsets : ndarray of int64, shape (rows,)
    buffers : list
    """

    paths: list[bytes]
    which: NDArray[np.int64]
    offsets: NDArray[np.int64]
    buffers: list[Any]


def read_wanted(fields: Sequence[Wanted], failed: dict[int, Exception]) -> None:
    """Read several fields of the same rows of objects at the same time. The errors of rows are added to ``failed``, by index."""
    if not fields or not len(fields[0].which):
        return
    starts = np.cumsum([0, *(len(each.paths) for each in fields)])
    errors = read_pieces(
        [path for each in fields for path in each.paths],
        np.concatenate([each.which + start for each, start in zip(fields, starts, strict=False)]),
        np.concatenate([each.offsets for each in fields]),
        [buffer for each in fields for buffer in each.buffers],
    )
    for k, error in errors.items():
        failed.setdefault(k % len(fields[0].which), error)


class FixedTable:
    """The rows of a field of kind ``"fixed"`` in several shards.

    Parameters
    ----------
    shards
        Shards with the same fields, in the order of their rows.
    field
        Name of the field.
    """

    def __init__(self, shards: Sequence[ShardInfo], field: str) -> None:
        places = [shard.fixed(field) for shard in shards]
        self.row_nbytes = places[0].row_nbytes
        self.paths = [place.path for place in places]
        self._ends = np.cumsum([shard.rows for shard in shards], dtype=np.int64)
        begins = self._ends - np.array([shard.rows for shard in shards], np.int64)
        # The offset of row 0, if the rows of the file started with it.
        self._origins = np.array([place.offset for place in places], np.int64) - begins * self.row_nbytes
        self.joined = joined(self.paths) if len(self.paths) <= _FEW else None

    def locate(self, rows: NDArray[np.int64]) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int64]]:
        """Return files, and for each row the number of its file and its offset there."""
        which = np.searchsorted(self._ends, rows, side="right")
        offsets = self._origins[which] + rows * self.row_nbytes
        if self.joined is not None:
            return self.paths, which, offsets
        used, numbers = np.unique(which, return_inverse=True)
        return [self.paths[i] for i in used.tolist()], numbers.astype(np.int64), offsets

    def wanted(self, rows: NDArray[np.int64], out: NDArray[Any]) -> Wanted:
        """Return what `read` reads, for `read_wanted`."""
        paths, which, offsets = self.locate(rows)
        return Wanted(paths, which, offsets, list(out.reshape(-1).view(np.uint8).reshape(len(rows), -1)))

    def read(self, rows: NDArray[np.int64], out: NDArray[Any], failed: dict[int, Exception]) -> None:
        """Read rows into ``out``, shape (rows, *shape). The errors of rows that cannot be read are added to ``failed``, by index."""
        try:
            read_rows(*self.locate(rows), out)
        except BadRows as error:
            for i, cause in error.causes.items():
                failed.setdefault(i, cause)
        except BitesizeError:
            for i in range(len(rows)):
                try:
                    read_rows(*self.locate(rows[i : i + 1]), out[i : i + 1])
                except BitesizeError as error:
                    failed.setdefault(i, error)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(map(len, self.paths)) + 2 * self._ends.nbytes


@dataclass(frozen=True)
class _Stretch:
    """The rows of a blob in one shard: its file, first row, and where each row begins."""

    path: bytes
    first: int
    offsets: NDArray[np.int64]
    shapes: NDArray[np.int32] | None

    def shape(self, row: int) -> tuple[int, ...]:
        """Return height, width and channels of a row of pixels; nothing for a blob."""
        return () if self.shapes is None else tuple(self.shapes[row].tolist())


class BlobTable:
    """The rows of a field of kind ``"blob"`` or ``"pixels"`` in several shards.

    Offsets (8 bytes a row), and shapes (12 bytes a row), are in memory.

    Parameters
    ----------
    shards
        Shards with the same fields, in the order of their rows.
    field
        Name of the field.
    """

    def __init__(self, shards: Sequence[ShardInfo], field: str) -> None:
        self._stretches, first = [], 0
        pixels = shards[0].fields[field].kind == "pixels"
        index = [os.fsencode(shard.folder / shard.file_names(field)[1]) for shard in shards]
        for shard in (shards[number] for numbers in held_groups(index) for number in numbers):
            path = os.fsencode(shard.path(field))
            self._stretches.append(
                _Stretch(path, first, shard.offsets(field), shard.shapes(field) if pixels else None)
            )  # fmt: skip
            first += shard.rows
        self._ends = np.cumsum([shard.rows for shard in shards], dtype=np.int64)

    def read(
        self,
        rows: NDArray[np.int64],
        put: Callable[[int, int, tuple[int, ...]], memoryview],
        failed: dict[int, Exception],
    ) -> None:
        """Read rows, each into the buffer that ``put(i, nbytes, shape)`` returns; ``shape`` is empty for blobs.

        The errors of rows that cannot be read are added to ``failed``, by index.
        """
        which = np.searchsorted(self._ends, rows, side="right")
        for number, positions in _groups(which):
            stretch = self._stretches[number]
            buffers: dict[int, memoryview] = {}
            for i in positions:
                row = int(rows[i]) - stretch.first
                start, stop = stretch.offsets[row : row + 2].tolist()
                try:
                    buffers[i] = put(i, stop - start, stretch.shape(row))
                except BitesizeError as error:  # it does not fit the memory of the caller
                    failed.setdefault(i, error)
            places = [(int(stretch.offsets[int(rows[i]) - stretch.first]), buffers[i], i) for i in buffers]
            try:
                with_file(stretch.path, partial(_read_some, places=places, path=stretch.path, failed=failed))
            except BitesizeError as error:  # the file cannot be opened
                for i in buffers:
                    failed.setdefault(i, error)

    def wanted(
        self,
        rows: NDArray[np.int64],
        put: Callable[[int, int, tuple[int, ...]], memoryview],
        failed: dict[int, Exception],
    ) -> Wanted:
        """Return what `read` reads, for `read_wanted`."""
        which = np.searchsorted(self._ends, rows, side="right")
        starts, buffers = np.zeros(len(rows), np.int64), list[Any]()
        for i, number in enumerate(which.tolist()):
            stretch = self._stretches[number]
            row = int(rows[i]) - stretch.first
            starts[i], stop = stretch.offsets[row : row + 2].tolist()
            try:
                buffer = put(i, stop - int(starts[i]), stretch.shape(row))
                buffers.append(buffer if buffer.nbytes else None)
            except BitesizeError as error:  # it does not fit the memory of the caller
                buffers.append(None)
                failed.setdefault(i, error)
        return Wanted([each.path for each in self._stretches], which, starts, buffers)

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of each row, shape (rows,)."""
        return np.concatenate([np.diff(stretch.offsets) for stretch in self._stretches])

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        shapes = sum(0 if each.shapes is None else each.shapes.nbytes for each in self._stretches)
        return shapes + sum(len(each.path) + each.offsets.nbytes for each in self._stretches)


def _read_some(
    fd: Handle, places: Sequence[tuple[int, memoryview, int]], path: bytes, failed: dict[int, Exception]
) -> None:  # fmt: skip
    """Read rows of one file, given by their offsets, buffers and indices."""
    for start, buffer, i in places:
        try:
            if buffer.nbytes:
                read_into(fd, [buffer], start, path)
        except BitesizeError as error:
            if passing(error):  # the file is opened again, and all is read once more
                raise
            failed.setdefault(i, error)


def _groups(which: NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Yield each number in ``which``, and its positions."""
    order = np.argsort(which, kind="stable")
    for positions in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
        if len(positions):
            yield int(which[positions[0]]), positions.tolist()
