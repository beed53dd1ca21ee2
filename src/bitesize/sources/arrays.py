"""Arrays: in memory, memory-mapped, or one large `.npy` file; a row is one entry of the first axis."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.files.npy import ArrayFile
from bitesize.sources.base import Into, Located, Source
from bitesize.sources.labels import label_field
from bitesize.spec import Field


class Arrays(Source):
    """An array whose first axis is the rows, with the field ``x``, and ``y`` where there are labels.

    Parameters
    ----------
    x
        An array in memory, a `numpy.memmap`, or an open `.npy` file. The latter two are read from the file, since
        mapped pages would count as this process's memory.
    labels
        One label a row, shape (n, ...), or None.
    classes
        Names of the classes.

    Raises
    ------
    BadSetting
        If it has no rows, or holds Python objects.
    """

    def __init__(
        self, x: NDArray[Any] | ArrayFile, labels: NDArray[Any] | None = None, classes: tuple[str, ...] | None = None
    ) -> None:
        self._x = _on_disk(x) if isinstance(x, np.memmap) else x
        self.reads_files = isinstance(self._x, ArrayFile)
        self._labels = labels
        self.classes = classes
        if not self._x.shape or not self._x.shape[0]:
            raise BadSetting(f"an array of shape {self._x.shape} has no rows")
        if self._x.dtype.hasobject or self._x.dtype.names is not None:
            raise BadSetting(f"an array of plain numbers is needed, not of {self._x.dtype}")
        self.spec = {"x": Field(tuple(self._x.shape[1:]), self._x.dtype.newbyteorder("="))}
        if labels is not None:
            self.spec["y"] = label_field(labels, self.spec["x"])

    def __len__(self) -> int:
        return int(self._x.shape[0])

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Gather rows."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        if isinstance(self._x, ArrayFile):
            self._x.read_rows(rows, into["x"])
        elif self._x.dtype.isnative and self._x.flags.c_contiguous:
            # mode="clip" writes straight to `out`; the default would go through a buffer of the same size. Of an array that
            # is not contiguous `take` would first make a whole copy.
            np.take(self._x, rows, axis=0, out=into["x"], mode="clip")
        else:
            for i, row in enumerate(rows.tolist()):
                into["x"][i] = self._x[row]

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Tell where rows lie in the file."""
        x = self._x
        if not isinstance(x, ArrayFile) or not x.dtype.isnative:
            return None
        return Located([x.path], np.zeros(len(rows), np.int64), x.offset + rows * x.row_nbytes)

    def _identity(self) -> bytes:
        labels = b"" if self._labels is None else self._labels.tobytes()
        return repr((len(self), str(self._x.dtype))).encode() + labels

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make an array of random numbers in memory."""
        random = np.random.default_rng(0)
        return cls(random.random((rows, 5, 4, 3)), np.arange(rows, dtype=np.int64) % 2, ("a", "b"))


def _on_disk(x: np.memmap[Any, Any]) -> NDArray[Any] | ArrayFile:
    """Read a whole, contiguous memmap from its file; a slice of one stays the array it is."""
    whole = x.flags.c_contiguous and type(x.base).__name__ == "mmap"
    if x.filename is None or not whole or x.mode == "c":  # copy-on-write changes are in memory only
        return np.asarray(x)
    x.flush()
    return ArrayFile(os.fsencode(x.filename), x.offset, x.shape, x.dtype)
