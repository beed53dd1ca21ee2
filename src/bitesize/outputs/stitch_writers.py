"""Where a stitched image is written to: an array, a `.npy` file, or a Zarr array; whole, or not at all."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, MissingPackage, NotFound
from bitesize.files.atomic import replacing_large
from bitesize.files.npy import header_bytes
from bitesize.memory.budget import Budget
from bitesize.outputs.cells import Box, Write
from bitesize.storage.url import is_url

# Largest chunk of a Zarr array along an axis.
_CHUNK = 512
# Most bytes of boxes that wait for those beside them, to be written in longer lines.
MOST_JOINED = 4 << 20


@contextmanager
def writer(
    out: str | os.PathLike[str] | None, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: tuple[int, ...], budget: Budget
) -> Iterator[tuple[Write, Any]]:
    """Yield the function that writes a box of pixels, and what `stitch` returns: an array, or the path.

    Raises
    ------
    DoesNotFit
        If an array does not fit the budget.
    BadSetting, NotFound
        If a path cannot be written to.
    DiskFull
        If a file does not fit the disk.
    """
    if out is None:
        charge = budget.charge(math.prod(shape) * dtype.itemsize, 'the stitched image (out="mask.npy" writes it to a file)')
        try:
            array = np.zeros(shape, dtype)
            yield array.__setitem__, array
        finally:
            charge.release()
        return
    if is_url(os.fspath(out)):
        raise BadSetting(f"out={out!r} is an address: write to a file of this machine, and copy it")
    path = Path(out)
    if path.suffix in (".npy", ".zarr") and not path.parent.is_dir():
        raise NotFound(f"out={str(out)!r}: the folder {path.parent} does not exist")
    if path.suffix == ".zarr":
        with _zarr(path, shape, dtype, chunk) as write:
            yield write, path
    elif path.suffix == ".npy":
        header = header_bytes(shape, dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        with replacing_large(path, len(header) + nbytes) as temporary, open(temporary, "xb", buffering=0) as file:
            file.write(header)
            file.truncate(len(header) + nbytes)
            written = _NpyFile(file, len(header), shape, dtype)
            yield written.write, path
            written.flush()
    else:
        raise BadSetting(f'out={str(out)!r}: a stitched image is written to "name.npy" or "name.zarr"')


class _NpyFile:
    """A `.npy` file that is written box by box."""

    def __init__(self, file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._file, self._offset = file, offset
        self._steps = [math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape))]
        self._dtype = dtype
        self._waiting: dict[Hashable, list[tuple[Box, NDArray[Any]]]] = {}  # boxes beside each other along the last axis
        self._nbytes = 0

    def write(self, box: Box, values: NDArray[Any]) -> None:
        """Write the lines of a box, together with those of boxes beside it."""
        row = tuple((each.start, each.stop) for each in box[:-1])
        if row in self._waiting and self._waiting[row][-1][0][-1].stop != box[-1].start:
            self._flush_row(row)
        self._waiting.setdefault(row, []).append((box, np.array(values, self._dtype)))
        self._nbytes += values.nbytes
        if self._nbytes > MOST_JOINED:
            self._flush_row(max(self._waiting, key=lambda row: len(self._waiting[row])))

    def flush(self) -> None:
        """Write what waits."""
        for row in list(self._waiting):
            self._flush_row(row)

    def _flush_row(self, row: Hashable) -> None:
        waiting = self._waiting.pop(row)
        first, end = waiting[0][0], waiting[-1][0]
        parts = [values for _, values in waiting]
        self._nbytes -= sum(values.nbytes for values in parts)
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=len(first) - 1)
        self._write_lines((*first[:-1], slice(first[-1].start, end[-1].stop)), values)

    def _write_lines(self, box: Box, values: NDArray[Any]) -> None:
        last = len(box) - 1
        begin = self._offset + box[last].start * self._steps[last]
        for outer in product(*(range(each.start, each.stop) for each in box[:last])):
            line = values[tuple(i - each.start for i, each in zip(outer, box, strict=False))]
            at = begin + sum(i * step for i, step in zip(outer, self._steps, strict=False))
            self._put(memoryview(line.reshape(-1).view(np.uint8)), at)

    def _put(self, data: memoryview, at: int) -> None:
        while len(data):
            if hasattr(os, "pwrite"):
                done = os.pwrite(self._file.fileno(), data, at)
            else:
                self._file.seek(at)
                done = self._file.write(data)
            data, at = data[done:], at + done


@contextmanager
def _zarr(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: tuple[int, ...]) -> Iterator[Write]:
    try:
        import zarr
    except ImportError as error:
        raise MissingPackage(f'{path}: pip install "bitesize[zarr]"') from error
    temporary = path.with_name(f".{path.stem}-{os.getpid()}.tmp.zarr")
    chunks = tuple(min(n, c, _CHUNK) for n, c in zip(shape, (*chunk, *shape[len(chunk) :]), strict=True))
    try:
        array = zarr.create_array(str(temporary), shape=shape, dtype=dtype, chunks=chunks, overwrite=True)
        yield array.__setitem__
        old = path.with_name(f".{path.stem}-{os.getpid()}.old.zarr")
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
