"""What is in memory of an open list: where its blocks are, and a part of their keys.

On disk, a list is a file of blocks, ``objects.bin`` (see `blocks`), and for each array here and of its `FolderTable` a ``.npy`` file.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.storage.listing.blocks import OBJECTS, Record, encode_block, without_times
from bitesize.storage.listing.folders import FolderBuilder, FolderTable

OBJECTS_FILE = "objects.bin"
CURRENT = "current.json"  # names the current one of several lists
_KEYS = 8 << 20  # most bytes of sort keys in memory
_HOLLOW = 1_000_000  # numbers of empty objects that are recorded, at most
_ARRAYS = ("offsets", "checks", "keys", "key_ends", "hollow")
_FACTS = ("objects", "nbytes", "unknown", "fingerprint", "step")
_FOLDER_ARRAYS = ("folder_first", "folder_count", "folder_nbytes", "folder_paths", "folder_ends", "folder_kinds")


@dataclass(frozen=True)
class Index:
    """Where the blocks of a list are.

    Attributes
    ----------
    objects, nbytes, unknown : int
        Number of objects, sum of the known sizes, number of objects of unknown size.
    fingerprint : str
        Hash of keys, sizes and versions.
    offsets : NDArray[np.int64]
        Offset of each block, and the end of the last one, shape (blocks + 1,).
    checks : NDArray[np.uint64]
        XXH3 hash of each block, shape (blocks,).
    step : int
        Each ``step``-th block has its sort key in memory.
    keys, key_ends : NDArray
        Sort keys of the first objects of these blocks, concatenated, and the end of each.
    hollow : NDArray[np.int64]
        Numbers of objects that may stand for folders: they are empty, or their key has a slash at its end.
    """

    objects: int
    nbytes: int
    unknown: int
    fingerprint: str
    offsets: NDArray[np.int64]
    checks: NDArray[np.uint64]
    step: int
    keys: NDArray[np.uint8]
    key_ends: NDArray[np.int64]
    hollow: NDArray[np.int64]

    @property
    def memory(self) -> int:
        """Bytes of the arrays."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS)

    def key(self, i: int) -> bytes:
        """Return the sort key of the first object of block ``i * step``."""
        start = int(self.key_ends[i - 1]) if i else 0
        return self.keys[start : int(self.key_ends[i])].tobytes()


def write_blocks(records: Iterable[Record], file: BinaryIO) -> tuple[Index, FolderTable]:
    """Write objects, which are in order, into a file of blocks."""
    offsets, checks = array("q", [0]), array("Q")
    keys: list[bytes] = []
    folders, seen, step, nbytes, unknown = FolderBuilder(), xxhash.xxh3_128(), 1, 0, 0
    key_bytes, hollow = 0, array("q")
    for chunk in _chunks(records):
        for record in chunk:
            if (not record.size or record.key[-1:] in (b"/", b"")) and len(hollow) < _HOLLOW:
                hollow.append(folders.total)
            folders.add(record.key, record.size)
            nbytes += max(0, record.size)
            unknown += record.size < 0
        if len(checks) % step == 0:
            keys.append(chunk[0].order)
            key_bytes += len(chunk[0].order)
        if key_bytes > _KEYS:
            keys, step = keys[::2], 2 * step
            key_bytes = sum(map(len, keys))
        block = encode_block(chunk)
        file.write(block)
        seen.update(without_times(block))
        checks.append(xxhash.xxh3_64_intdigest(block))
        offsets.append(offsets[-1] + len(block))
    index = Index(
        folders.total,
        nbytes,
        unknown,
        seen.hexdigest(),
        np.array(offsets, np.int64),
        np.array(checks, np.uint64),
        step,
        np.frombuffer(b"".join(keys), np.uint8),
        np.cumsum([len(key) for key in keys], dtype=np.int64),
        np.array(hollow, np.int64),
    )
    return index, folders.build()


def save_index(folder: str, index: Index, table: FolderTable, *, flush: bool = True) -> dict[str, Any]:
    """Write the arrays into a folder, and return what `load_index` needs: facts, and a hash of each file."""
    arrays = {name: getattr(index, name) for name in _ARRAYS} | dict(table.arrays())
    files = {}
    for name, values in arrays.items():
        path = os.path.join(folder, f"{name}.npy")
        with open(path, "wb") as file:
            np.save(file, values, allow_pickle=False)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        files[name] = _check(path)
    facts = {name: getattr(index, name) for name in _FACTS}
    return {**facts, "suffixes": list(table.suffixes), "folders": len(table), "files": files}


def load_index(folder: str, head: Mapping[str, Any]) -> Index:
    """Return the index of a list on disk.

    Raises
    ------
    BadFile
        If a file is missing or damaged.
    """
    values: dict[str, Any] = {name: head[name] for name in _FACTS}
    values.update(zip(_ARRAYS, _load(folder, head, _ARRAYS), strict=True))
    index = Index(**values)
    blocks = -(-index.objects // OBJECTS)
    size = os.path.getsize(os.path.join(folder, OBJECTS_FILE))
    if len(index.checks) != blocks or len(index.offsets) != blocks + 1 or int(index.offsets[-1]) != size:
        raise BadFile(f"{folder} is damaged: {OBJECTS_FILE} has a wrong size")
    return index


def load_folders(folder: str, head: Mapping[str, Any]) -> FolderTable:
    """Return the folders of a list on disk.

    Raises
    ------
    BadFile
        If a file is missing or damaged.
    """
    first, count, nbytes, paths, ends, kinds = _load(folder, head, _FOLDER_ARRAYS)
    return FolderTable(first, count, nbytes, paths, ends, tuple(head["suffixes"]), kinds)


def count_folders(objects: Iterable[tuple[bytes, int]]) -> FolderTable:
    """Return the folders of objects in order: keys after the prefix, and sizes."""
    folders = FolderBuilder()
    for key, size in objects:
        folders.add(key, size)
    return folders.build()


def _load(folder: str, head: Mapping[str, Any], names: tuple[str, ...]) -> list[NDArray[Any]]:
    arrays = []
    for name in names:
        path = os.path.join(folder, f"{name}.npy")
        if _check(path) != head["files"][name]:
            raise BadFile(f"{path} is damaged")
        arrays.append(np.load(path, allow_pickle=False))
    return arrays


def _check(path: str) -> str:
    seen = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            seen.update(piece)
    return seen.hexdigest()


def _chunks(records: Iterable[Record]) -> Iterable[list[Record]]:
    chunk: list[Record] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == OBJECTS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
