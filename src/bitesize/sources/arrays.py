"""Arrays: in memory, memory-mapped, lazy, or one large `.npy` file; a row is one entry of the first axis."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting
from bitesize.files.pread import joined, read_rows
from bitesize.lazy.nodes import Joined, Node, Stretch
from bitesize.lazy.parts import InMemory, node_of
from bitesize.lazy.select import NEAR, SCRATCH, whole
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.labels import label_field
from bitesize.sources.protocol import ChunkStarts, Into, Located, flat_rows
from bitesize.spec import Field
from bitesize.storage import paths
from bitesize.storage.url import is_url

_IN_C_ORDER = 'write the array in C order first, with bs.concatenate([...]).save("all.npy")'


class Arrays(Source):
    """An array whose first axis is the rows, with the field ``x``, and ``y`` if there are labels.

    Parameters
    ----------
    x
        An array in memory, a `numpy.memmap`, or a node of a lazy array. Values in files are read from there, since
        mapped pages would count as process memory.
    labels
        One label per row, shape (n, ...), or None.
    classes
        Names of the classes.

    Raises
    ------
    BadSetting
        If the array has no rows, or holds Python objects.
    BadFile
        If reading one row would require reading most of a file.
    """

    title = "arrays: one large .npy file, arrays in memory, memmaps, lazy arrays"
    _names: Sequence[str] = ()
    _ends: NDArray[np.int64]

    def __init__(
        self, x: NDArray[Any] | Node, labels: NDArray[Any] | None = None, classes: tuple[str, ...] | None = None
    ) -> None:
        if np.ma.isMaskedArray(x):
            raise BadSetting("a masked array is not supported: fill it first with x.filled(0), or select rows with x[rows]")
        node = x if isinstance(x, Node) else node_of(x)
        self._x: NDArray[Any] | Node = np.asarray(x) if node is None or isinstance(node, InMemory) else node
        self._labels = labels
        self.classes = classes
        if not self._x.shape or not self._x.shape[0]:
            raise BadSetting(f"an array of shape {self._x.shape} has no rows")
        if self._x.dtype.hasobject or self._x.dtype.names is not None:
            raise BadSetting(f"an array of plain numbers is needed, not of dtype {self._x.dtype}")
        if isinstance(self._x, Node) and self._x.hindrance:
            raise BadFile(f"{self._x.hindrance}: {_IN_C_ORDER}")
        stretches = self._x.stretches() if isinstance(self._x, Node) else None
        self._locations = _Locations(stretches, self._x) if stretches is not None else None
        self.reads_files = self._locations is not None
        self.checks_files = isinstance(self._x, Node) and self._x.checks_files
        self.spec = {"x": Field(tuple(self._x.shape[1:]), self._x.dtype.newbyteorder("="))}
        if labels is not None:
            self.spec["y"] = label_field(labels, self.spec["x"])

    def __len__(self) -> int:
        return int(self._x.shape[0])

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Gather rows."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        if "x" not in into:
            return
        x = self._x
        if self._locations is not None:
            found = self._locations.locate(rows)
            read_rows(found.paths, found.which, found.offsets, into["x"])
        elif isinstance(x, Node):
            x.read((rows, *whole(x.shape[1:])), into["x"])
        elif x.dtype.isnative and x.flags.c_contiguous:
            # mode="clip" writes straight to `out`; the default would go through a buffer of the same size. For an array that
            # is not contiguous `take` would first make a whole copy.
            np.take(x, rows, axis=0, out=into["x"], mode="clip")
        else:
            for i, row in enumerate(rows.tolist()):
                into["x"][i] = x[row]

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the locations of rows in files, or in an array in memory."""
        if self._locations is not None:
            return None if self._locations.mixed else self._locations.locate(rows)
        flat = None if isinstance(self._x, Node) else flat_rows(self._x)
        return None if flat is None else Located([], rows, rows, in_memory=True, array=flat)

    def check_unchanged(self) -> None:
        """Check the files of a lazy array."""
        if isinstance(self._x, Node):
            self._x.check_unchanged()

    def chunks(self) -> ChunkStarts | None:
        """Return the rows of a file that are read together by chunk."""
        if self._locations is not None:
            return ChunkStarts(self._locations.chunks())
        apart = self._x.chunk_nbytes if isinstance(self._x, Node) else 0
        if not apart:
            return None
        row_nbytes = max(1, math.prod(self._x.shape[1:]) * self._x.dtype.itemsize)
        return ChunkStarts(np.append(np.arange(0, len(self), max(1, apart // row_nbytes), dtype=np.int64), len(self)))

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether the array is compressed."""
        return self._locations is None and isinstance(self._x, Node) and self._x.chunk_nbytes > 0

    def scratch(self, rows: int) -> int:
        """Return the bytes of the blocks for reading a lazy array."""
        if self._locations is not None or not isinstance(self._x, Node):
            return 0
        # A block may have a wider type than the result, at most 16 bytes per value.
        widest = 16 * math.prod(self._x.shape[1:])
        return self._x.blocks * min(SCRATCH, rows * (widest + NEAR))

    @property
    def nbytes(self) -> int:
        """Bytes of labels, and of the names of files."""
        held = self._x.held_nbytes if isinstance(self._x, Node) else 0
        names = sum(map(len, self._names))
        return super().nbytes + held + names + (0 if self._locations is None else self._locations.nbytes)

    def _identity(self) -> bytes:
        labels = b"" if self._labels is None else self._labels.tobytes()
        return repr((len(self), str(self._x.dtype))).encode() + labels

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is one `.npy` file."""
        return isinstance(data, str) and data.lower().endswith(".npy") and paths.isfile(data)

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open a file whose first axis is the rows, or several files, whose rows are concatenated."""
        paths = data if isinstance(data, list) else [data]
        if options.fields is not None or options.labels is not None:
            raise BadSetting(
                f"{paths[0]} has no named fields such as {options.fields or options.labels!r}: its only field is x"
            )
        nodes = [node_of(path) for path in paths]
        for path, node in zip(paths, nodes, strict=True):
            if not node.shape:
                raise BadFile(f"{path} contains a single value, not rows")
            if node.hindrance:
                raise BadFile(f"{path}: {node.hindrance}: {_IN_C_ORDER}")
            if node.shape[1:] != nodes[0].shape[1:] or node.dtype != nodes[0].dtype:
                raise BadFile(
                    f"{path} is {node.shape} {node.dtype}, and {paths[0]} is {nodes[0].shape} {nodes[0].dtype}: rows of joined files "
                    "must have the same shape and dtype; they may only differ in the first axis"
                )
        if not any(node.shape[0] for node in nodes):
            raise BadSetting(f"{paths[0]} is an array of shape {nodes[0].shape}: it has no rows")
        source = cls(nodes[0] if len(nodes) == 1 else Joined(nodes, 0))
        source._names = [os.fsdecode(path) for path in paths]
        source._ends = np.cumsum([node.shape[0] for node in nodes], dtype=np.int64)
        return source

    @property
    def file_ends(self) -> NDArray[np.int64]:
        """Number of rows up to the end of each file, shape (files,), for a source opened from files."""
        return self._ends

    def describe(self, row: int) -> str:
        """Return the file and the row in it, if rows are in files."""
        if not self._names:
            return super().describe(row)
        i = int(np.searchsorted(self._ends, row, side="right"))
        return f"{self._names[i]}, row {row - (int(self._ends[i - 1]) if i else 0)}"

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make an array of random numbers in memory."""
        random = np.random.default_rng(0)
        return cls(random.random((rows, 5, 4, 3)), np.arange(rows, dtype=np.int64) % 2, ("a", "b"))


# Bytes per read of a file when rows are read by chunk: a good size for hard disks and networks.
_RUN_BYTES = 1 << 20
# Up to this number of files, listing all of them is faster than selecting the files of the rows.
_FEW = 256


class _Locations:
    """Locations of rows in files."""

    def __init__(self, stretches: list[Stretch], x: NDArray[Any] | Node) -> None:
        self._row_bytes = int(np.prod(x.shape[1:], dtype=np.int64)) * x.dtype.itemsize
        stretches = [window_rows for window_rows in stretches if window_rows.rows]
        self._paths = [window_rows.path for window_rows in stretches]
        self.mixed = len({is_url(path) for path in self._paths}) > 1  # some on the disk, others at addresses
        # Few names are always listed in full; of many names, only the needed ones.
        self._joined = joined(self._paths) if len(self._paths) <= _FEW else None
        self._ends = np.cumsum([window_rows.rows for window_rows in stretches], dtype=np.int64)
        # The offset of row 0, if the rows of the file started with it.
        begins = self._ends - np.array([window_rows.rows for window_rows in stretches], np.int64)
        self._origins = np.array([window_rows.offset for window_rows in stretches], np.int64) - begins * self._row_bytes

    def locate(self, rows: NDArray[np.int64]) -> Located:
        """Return the locations of rows."""
        if len(self._paths) == 1:
            which, offsets = np.zeros(len(rows), np.int64), int(self._origins[0]) + rows * self._row_bytes
            return Located(self._paths, which, offsets, joined=self._joined)
        which = np.searchsorted(self._ends, rows, side="right")
        offsets = self._origins[which] + rows * self._row_bytes
        if self._joined is not None:
            return Located(self._paths, which, offsets, joined=self._joined)
        used, numbers = np.unique(which, return_inverse=True)
        return Located([self._paths[i] for i in used.tolist()], numbers.astype(np.int64), offsets)

    def chunks(self) -> NDArray[np.int64]:
        """Return the first row of each chunk of each file, and the number of rows."""
        rows = max(1, _RUN_BYTES // max(1, self._row_bytes))
        starts = np.append(0, self._ends[:-1])
        return np.concatenate([*(np.arange(a, b, rows) for a, b in zip(starts, self._ends, strict=True)), self._ends[-1:]])

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory."""
        return sum(map(len, self._paths)) + self._ends.nbytes + self._origins.nbytes
