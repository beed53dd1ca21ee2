"""Views of memory-mapped files, read from their file: pages read through the mapping would count as process memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from bitesize.files.pread import Handle, read_into, with_file
from bitesize.files.state import FileState
from bitesize.lazy.disk import OnDisk
from bitesize.lazy.nodes import Node
from bitesize.lazy.select import NEAR, SCRATCH, Select, choose, part_of, places_of, tiles

# Up to three pieces are in memory at a time: the bytes read, the values selected, and the values to scatter.
_PIECE = SCRATCH // 4


class Strided(Node):
    """Values of a file at regular distances, which may overlap or run backwards, as in windows and slices.

    Parameters
    ----------
    path
        The file.
    offset
        Offset of the first value in the file, in bytes.
    shape, dtype
        Shape and dtype of the view, in any byte order.
    strides
        Bytes from one entry to the next along each axis; any whole numbers.
    written_to
        Whether a memmap may write to the file while it is used.
    """

    on_disk = True
    path: bytes
    own_blocks = 1

    def __init__(
        self, path: bytes, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...], written_to: bool
    ) -> None:  # fmt: skip
        self.path, self._offset, self._stored, self._strides = path, offset, dtype, strides
        self._seen = None if written_to else FileState.of(path)
        self.shape, self.dtype = shape, dtype.newbyteorder("=")

    @property
    def hindrance(self) -> str | None:
        """Return a message if rows are scattered over the file, else None."""
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        reach = sum(abs(step) * (n - 1) for step, n in zip(self._strides[1:], self.shape[1:], strict=True))
        return "rows are not contiguous in the file of this memmap" if reach > max(SCRATCH, 16 * row) else None

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read by position; the file is open only during the read."""
        if not out.size:
            return

        def work(fd: Handle) -> None:
            """Read from the open file."""
            if self._seen is not None:
                self._seen.check(self.path, fd)
            for tile in tiles(out.shape, out.itemsize, _PIECE):
                self._read_box(fd, part_of(select, tile), out[(..., *tile)])  # type: ignore[arg-type]

        with_file(self.path, work)

    def _read_box(self, fd: Handle, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read all bytes between the first and the last selected value, or split the range in halves if it is too large."""
        bounds = [(int(min(part[0], part[-1])), int(part[-1])) if isinstance(part, range) else (int(part.min()), int(part.max())) for part in select]  # fmt: skip
        reach = [abs(step) * (last - first) for step, (first, last) in zip(self._strides, bounds, strict=True)]
        if sum(reach) + out.itemsize > NEAR:
            axis = int(np.argmax(reach))
            groups = list(_groups(select[axis], abs(self._strides[axis]), sum(reach) - reach[axis] + out.itemsize))
            if len(groups) > 1:
                self._read_groups(fd, select, out, axis, groups)
                return
        start = self._offset + sum(min(step * first, step * last) for step, (first, last) in zip(self._strides, bounds, strict=True))  # fmt: skip
        data = np.empty(sum(reach) + out.itemsize, np.uint8)
        read_into(fd, [memoryview(data)], start, self.path)  # type: ignore[arg-type]
        at = self._offset + sum(step * first for step, (first, _) in zip(self._strides, bounds, strict=True)) - start
        shape = tuple(last - first + 1 for first, last in bounds)
        values: NDArray[Any] = np.ndarray(shape, self._stored, data, at, self._strides)
        local = (range(part.start - first, part.stop - first, part.step) if isinstance(part, range) else part - first for part, (first, _) in zip(select, bounds, strict=True))  # fmt: skip
        out[...] = choose(values, tuple(local))

    def _read_groups(
        self, fd: Handle, select: tuple[Select, ...], out: NDArray[Any], axis: int, groups: list[slice | NDArray[np.int64]]
    ) -> None:  # fmt: skip
        for places in groups:
            chosen = (*select[:axis], places_of(select[axis], places), *select[axis + 1 :])
            target = (slice(None),) * axis + (places,)
            if isinstance(places, slice):
                self._read_box(fd, chosen, out[target])
            else:
                held = np.empty((*out.shape[:axis], len(places), *out.shape[axis + 1 :]), out.dtype)
                self._read_box(fd, chosen, held)
                out[target] = held

    def check_unchanged(self) -> None:
        """Check the file."""
        if self._seen is not None:
            self._seen.check(self.path)

    @property
    def checks_files(self) -> bool:
        """Return whether the file is not written to while it is used."""
        return self._seen is not None


def _groups(select: Select, step: int, width: int) -> Iterator[slice | NDArray[np.int64]]:
    """Yield parts of a selection, cut at large gaps and into pieces of about `_PIECE` bytes.

    Entries are ``step`` bytes apart, and the selected bytes of an entry are within ``width`` bytes.
    """
    if isinstance(select, range):
        apart = max(1, step * select.step)
        count = 1 if apart - width > NEAR else max(1, (_PIECE - width) // apart + 1)
        yield from (slice(start, start + count) for start in range(0, len(select), count))
        return
    order = np.argsort(select, kind="stable")
    begins = select[order] * step
    torn = np.diff(begins) - width > NEAR
    torn |= np.diff((begins - begins[0]) // max(1, _PIECE - width)) != 0
    for positions in np.split(order, np.flatnonzero(torn) + 1):
        together = bool((np.diff(positions) == 1).all())
        yield slice(int(positions[0]), int(positions[-1]) + 1) if together else positions


# NumPy keeps chains short: the base of a view is the array that owns the memory, or one of another class before it.
_MOST_BASES = 64


def node_of_mapped(array: NDArray[Any]) -> Node | None:
    """Return a node that reads a memmap, or any view of one, from its file; None for other arrays."""
    root = _memmap_of(array)
    if root is None or root.filename is None or root.mode == "c":  # copy-on-write changes exist in memory only
        return None
    low, high = byte_bounds(array)
    root_low, root_high = byte_bounds(root)
    if not array.size or low < root_low or high > root_high:
        return None
    if root.mode != "r":
        root.flush()
    path = os.path.abspath(os.fsencode(root.filename))
    if not os.path.isfile(path):  # deleted, but still accessible through the mapping
        return None
    offset = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    written_to = root.mode != "r"
    if array.flags.c_contiguous:
        return OnDisk(path, offset, array.shape, array.dtype, written_to)
    return Strided(path, offset, array.shape, array.dtype, array.strides, written_to)


def _memmap_of(array: Any) -> np.memmap[Any, Any] | None:
    """Return the memmap that owns the mapping of a view: the last one in the chain of ``base``."""
    memmap = None
    for _ in range(_MOST_BASES):
        if isinstance(array, np.memmap):
            memmap = array
        array = getattr(array, "base", None)
        if array is None:
            break
    return memmap
