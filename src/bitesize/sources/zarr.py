"""Zarr arrays and groups, of format 2 and 3, sharded or not: read chunk by chunk."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.sources.base import Asked, Source
from bitesize.sources.columns import Column, ColumnSource, Refused

# Files that tell a folder of Zarr from others.
_MARKS = ("zarr.json", ".zgroup", ".zarray")
# The only filters of format 2 that make objects of text; another runs code (pickle) or guesses.
_TEXT_FILTERS = frozenset(("vlen-utf8", "vlen-bytes"))
# A chunk as it is stored, and as its codecs leave it.
_COPIES = 2


class _Store:
    """A folder of Zarr, opened where it is first needed in a process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._root: Any = None
        self._pid = 0

    def array(self, name: str) -> Any:
        """Give an array of it."""
        with self._lock:
            if self._pid != os.getpid():
                self._root, self._pid = _open(self.path), os.getpid()
            return self._root[name] if name else self._root

    def __getstate__(self) -> str:
        return self.path

    def __setstate__(self, path: str) -> None:
        self.__init__(path)  # type: ignore[misc]


def _open(path: str) -> Any:
    import zarr

    try:
        return zarr.open(path, mode="r")
    except Exception as error:  # Zarr and its codecs raise whatever they like for damaged metadata
        raise BadFile(f"{path} cannot be read as Zarr: {' '.join(str(error).split())[:200]}") from error


class ZarrArray(Column):
    """An array of a Zarr store."""

    def __init__(self, store: _Store, name: str, stored: Any) -> None:
        self._store, self._name = store, name
        self.shape, self.dtype = tuple(stored.shape), np.dtype(stored.dtype)
        self._chunks: tuple[int, ...] = tuple(map(int, stored.chunks)) or (1,)
        self._row_nbytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        beside = math.prod(-(-n // c) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True))
        self._band_nbytes = beside * math.prod(self._chunks) * self.dtype.itemsize

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighbouring rows; Zarr reads their chunks side by side."""
        try:
            out[...] = self._store.array(self._name)[start:stop]
        except BadFile:
            raise
        except Exception as error:  # whatever a codec raises for damaged chunks
            raise BadFile(
                f"{self._store.path}: rows {start} to {stop - 1} of {self._name or 'the array'!r} cannot be read: "
                f"{' '.join(f'{type(error).__name__} {error}'.split())[:200]}"
            ) from error

    def texts(self) -> list[str]:
        """Read all rows as text."""
        found = self._store.array(self._name)[:]
        return [
            each.decode("utf-8", "backslashreplace") if isinstance(each, bytes) else str(each) for each in found.tolist()
        ]

    @property
    def run_rows(self) -> int | None:
        """Rows of a chunk."""
        return self._chunks[0]

    def scratch(self, rows: int) -> int:
        """Rows in an array of Zarr's, and the chunks they are in."""
        bands = -(-rows // self._chunks[0]) + 1
        return rows * self._row_nbytes + _COPIES * bands * self._band_nbytes


class Zarr(ColumnSource):
    """Arrays of equal length of a Zarr group, each a field under its name; of a single array the field is ``x``."""

    title = "Zarr folders, of format 2 and 3"
    package, extra = "zarr", "zarr"

    @classmethod
    def takes(cls, what: Any) -> bool:
        """Tell whether this is a folder of Zarr."""
        return isinstance(what, str) and any(os.path.isfile(os.path.join(what, mark)) for mark in _MARKS)

    @classmethod
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Open a group or an array."""
        path = os.path.abspath(what)
        root, store = _open(path), _Store(path)
        return cls(dict(_columns(root, store)), asked, path)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write images in compressed chunks, and labels."""
        import zarr

        random = np.random.default_rng(0)
        path = str(folder / "data.zarr")
        group = zarr.open_group(path, mode="w")
        x = random.integers(0, 256, (rows, 5, 4, 3), np.uint8)
        group.create_array("x", data=x, chunks=(min(rows, 4), 5, 4, 3))
        group.create_array("y", data=np.arange(rows) % 2)
        return cls.opened(path, Asked())


def _columns(root: Any, store: _Store) -> Iterator[tuple[str, Column]]:
    """List the arrays; what would need code of the file's choice is listed as refused."""
    import zarr

    if isinstance(root, zarr.Array):
        yield "x", _column(store, "", root)
        return
    for name, found in sorted(root.members(max_depth=None)):
        if isinstance(found, zarr.Array):
            yield name, _column(store, name, found)


def _column(store: _Store, name: str, found: Any) -> Column:
    if np.dtype(found.dtype).kind == "O":
        filters = {str(getattr(each, "codec_id", each)) for each in (getattr(found, "filters", None) or ())}
        if not filters & _TEXT_FILTERS or filters - _TEXT_FILTERS:
            return Refused("an array of Python objects, which could run code when read")
    return ZarrArray(store, name, found)
