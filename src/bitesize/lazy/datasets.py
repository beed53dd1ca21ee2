"""Open arrays of h5py, Zarr and Dask, read block by block with slices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.lazy.nodes import Node
from bitesize.lazy.select import NEAR, SCRATCH, Select, choose, places_of

# Packages whose arrays are read with slices; and packages whose arrays np.asarray would load whole.
_SLICED, _REFUSED = {"h5py", "zarr", "dask"}, {"xarray", "netCDF4", "h5netcdf", "tables", "tensorstore", "cupy"}

Cuts = tuple[slice | NDArray[np.int64], ...]


class Dataset(Node):
    """An open `h5py.Dataset`, `zarr.Array` or `dask.array.Array`.

    Blocks consist of whole chunks, if there are chunks, so that a read decompresses each chunk once.

    Parameters
    ----------
    array
        The object; it must stay open. Whether it can be pickled depends on its package.
    name
        Name for messages.

    Raises
    ------
    BadSetting
        If the array holds Python objects or records, or its shape is unknown.
    """

    on_disk = True

    def __init__(self, array: Any, name: str) -> None:
        self._array, self._name = array, name
        shape = array.shape
        if shape is None or any(not isinstance(n, int | np.integer) for n in shape):
            raise BadSetting(f"the shape of {name} is not known in advance: {shape}")
        stored = np.dtype(array.dtype)
        if stored.hasobject or stored.names is not None or stored.kind == "T":
            raise BadSetting(f"a lazy array needs plain numbers or text, but the dtype of {name} is {stored}")
        self.shape, self.dtype = tuple(int(n) for n in shape), stored.newbyteorder("=")
        chunk = _chunk_of(array, self.shape)
        chunk_nbytes = math.prod(chunk) * stored.itemsize if chunk else 0
        self._block = _block_of(chunk or (1,) * len(self.shape), self.shape, stored.itemsize)
        # Entries of an axis closer than this are read together.
        self._near = chunk or (1,) * len(self.shape)
        self.own_blocks = 1 + -(-math.prod(self._block) * stored.itemsize // SCRATCH)
        self.own_held_nbytes = chunk_nbytes
        self.own_run_nbytes = min(chunk[0], self.shape[0]) * self._row_nbytes if chunk and chunk[0] > 1 else 0

    @property
    def _row_nbytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read the smallest box around the selected values of each block."""
        for places, local, box in self._boxes(select):
            try:
                values = np.asarray(self._array[box])
            except BitesizeError:
                raise
            except Exception as error:  # each package has its own errors, also for a closed file
                raise BadFile(f"{self._name} could not be read (is its file still open?): {error}") from error
            values = choose(values, local)
            if sum(isinstance(place, np.ndarray) for place in places) > 1:
                places = np.ix_(*(_listed(place, n) for place, n in zip(places, out.shape, strict=True)))
            out[(..., *places)] = values

    def _boxes(
        self, select: tuple[Select, ...], axis: int = 0
    ) -> Iterator[tuple[Cuts, tuple[Select, ...], tuple[slice, ...]]]:
        """Yield (positions in the result, entries within the box, the box) for each block."""
        if axis == len(select):
            yield (), (), ()
            return
        near = max(self._near[axis], NEAR // max(1, math.prod(self.shape[axis + 1 :]) * self.dtype.itemsize))
        for group, first, end in _groups(select[axis], self._block[axis], near):
            part = places_of(select[axis], group)
            local = range(part.start - first, part.stop - first, part.step) if isinstance(part, range) else part - first
            for places, locals_, box in self._boxes(select, axis + 1):
                yield (group, *places), (local, *locals_), (slice(first, end), *box)


def _groups(select: Select, block: int, near: int) -> Iterator[tuple[slice | NDArray[np.int64], int, int]]:
    """Yield (positions in the selection, first entry, end) for each block of an axis."""
    if isinstance(select, range):
        done = 0
        while done < len(select):
            first = select[done]
            # Up to the end of the block; distant entries are read one by one.
            count = 1 if select.step > near else -(-(block - first % block) // select.step)
            count = min(count, len(select) - done)
            yield slice(done, done + count), first, select[done + count - 1] + 1
            done += count
        return
    if not len(select):
        return
    order = np.argsort(select, kind="stable")
    values = select[order]
    apart = (np.diff(values) > near) | (np.diff(values // block) != 0)
    for positions in np.split(order, np.flatnonzero(apart) + 1):
        together = bool((np.diff(positions) == 1).all())
        place = slice(int(positions[0]), int(positions[-1]) + 1) if together else positions
        yield place, int(select[positions[0]]), int(select[positions[-1]]) + 1


def _listed(place: slice | NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.arange(size, dtype=np.int64)[place] if isinstance(place, slice) else place


def _chunk_of(array: Any, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of one chunk; for Dask the largest chunk along each axis."""
    chunks = getattr(array, "chunks", None)
    if not chunks or len(chunks) != len(shape):
        return None
    largest = (max(each, default=1) if isinstance(each, tuple) else each for each in chunks)
    return tuple(max(1, min(int(n), size)) for n, size in zip(largest, shape, strict=True))


def _block_of(chunk: tuple[int, ...], shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of a block: whole chunks, at least one, and else up to `SCRATCH` bytes."""
    block = list(chunk)
    for axis in range(len(shape))[::-1]:
        more = max(1, SCRATCH // max(1, math.prod(block) * itemsize))
        block[axis] = block[axis] * min(more, -(-max(1, shape[axis]) // block[axis]))
    return tuple(block)


def is_dataset(part: Any) -> bool:
    """Return whether an object is an open array of h5py, Zarr or Dask.

    Raises
    ------
    BadSetting
        If the object is a group or a table, or an array of another package that would be loaded whole.
    """
    if isinstance(part, np.ndarray | np.generic | str | bytes | list | tuple | int | float | complex):
        return False
    packages = {cls.__module__.partition(".")[0] for cls in type(part).__mro__}
    name = f"{type(part).__module__.partition('.')[0]}.{type(part).__name__}"
    if packages & _SLICED:
        if hasattr(part, "shape") and hasattr(part, "dtype") and hasattr(part, "__getitem__"):
            return True
        members = ", ".join(list(part)[:20]) if hasattr(part, "keys") else ""
        found = f"; it has {members}" if members else ""
        raise BadSetting(f"a {name} is not an array: pass one of its arrays, such as group['x']{found}")
    if packages & _REFUSED:
        raise BadSetting(f"a {name} would be loaded whole: pass np.asarray(x) if it fits in memory, or the path of its file")
    return False


def name_of(array: Any) -> str:
    """Return the name of an open array for messages, with its file if it has one."""
    file = getattr(getattr(array, "file", None), "filename", None)
    name = getattr(array, "name", None)
    kind = f"{type(array).__module__.partition('.')[0]}.{type(array).__name__}"
    return f"{kind} {name!r}" + (f" of {file}" if file else "")
