"""Writing a lazy array to a `.npy` file, block by block."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound
from bitesize.files.atomic import replacing_large
from bitesize.files.npy import header_bytes
from bitesize.lazy.nodes import Node
from bitesize.lazy.select import NEAR, SCRATCH, part_of, tiles, whole
from bitesize.memory.budget import Budget, as_budget

Progress = Callable[[int, int], None]
# Minimum and maximum size of a block: larger blocks are not faster.
_LEAST, _MOST = 1 << 16, 64 << 20
# The long double of x86 has 10 bytes, which are stored in 12 or 16.
_X87_DIGITS, _X87_BYTES = 63, 10


def save(node: Node, path: str | os.PathLike[str], memory: int | str | Budget, progress: Progress | None) -> Path:
    """Write ``node`` to ``path``; see `LazyArray.save`."""
    target = target_of(path)
    if not target.parent.is_dir():
        raise NotFound(f"the folder {target.parent} does not exist")
    if target.is_dir():
        raise BadSetting(f"{target} is a folder: pass the name of a file")
    if _reads(node, os.path.abspath(os.fsencode(target))):
        raise BadSetting(f"{target} is one of the parts of the array to save: choose another name")
    header = header_bytes(node.shape, node.dtype)
    total = math.prod(node.shape) * node.dtype.itemsize
    budget = as_budget(memory)
    # Intermediate blocks are at most as large as the whole array in the widest type, plus values read with it.
    beside = node.blocks * min(SCRATCH, 16 * total + NEAR)
    block = max(node.dtype.itemsize, min(total, _LEAST), min(budget.free - beside, _MOST, total))
    charge = budget.charge(block + beside, f"saving {target}")
    try:
        with replacing_large(target, len(header) + total, ", or a smaller dtype: lazy.astype(...)") as temporary:
            _write(node, temporary, header, block, total, progress)
    finally:
        charge.release()
    return target


def target_of(path: str | os.PathLike[str]) -> Path:
    """Return the path of the file to write."""
    target = Path(path)
    return target if target.suffix == ".npy" else target.with_name(f"{target.name}.npy")  # as np.save does


def _write(node: Node, path: Path, header: bytes, block: int, total: int, progress: Progress | None) -> None:
    memory = np.empty(block, np.uint8)
    done, everything = 0, whole(node.shape)
    with path.open("wb", buffering=0) as file:
        _write_all(file, memoryview(header))
        for tile in tiles(node.shape, node.dtype.itemsize, block) if node.shape else [()]:
            shape = tuple(cut.stop - cut.start for cut in tile)
            nbytes = math.prod(shape) * node.dtype.itemsize
            out = memory[:nbytes].view(node.dtype).reshape(shape)
            node.read(part_of(everything, tile), out)
            _clear_padding(out)
            _write_all(file, memoryview(memory[:nbytes]))  # type: ignore[arg-type]
            done += nbytes
            if progress is not None:
                progress(done, total)


def _clear_padding(array: NDArray[Any]) -> None:
    """Set the unused bytes of long doubles to zero: otherwise arbitrary memory would be written to the file."""
    if array.dtype.kind in "fc" and np.finfo(array.dtype).nmant == _X87_DIGITS:
        values = array.reshape(-1).view(np.uint8).reshape(-1, np.dtype(np.longdouble).itemsize)
        values[:, slice(_X87_BYTES, None) if array.dtype.isnative else slice(-_X87_BYTES)] = 0


def _write_all(file: io.RawIOBase, data: memoryview) -> None:
    while len(data):
        data = data[file.write(data) :]


def _reads(node: Node, path: bytes) -> bool:
    """Return whether a node reads a file."""
    own = node.path is not None and os.path.realpath(node.path) == os.path.realpath(path)
    return own or any(_reads(below, path) for below in node.below)
