"""Sparse matrices of SciPy: stored in memory as compressed rows, and converted to dense rows on access."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, DoesNotFit
from bitesize.files.npy import HoldsObjects
from bitesize.lazy.parts import members
from bitesize.lazy.select import whole
from bitesize.memory.limits import available
from bitesize.memory.sizes import format_size
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.protocol import Into
from bitesize.spec import Field

# Names of the arrays in any archive of `scipy.sparse.save_npz`.
_MARKS = frozenset(("format", "shape", "data"))
_WAY = 'scipy.sparse.save_npz("m.npz", m.tocsr())'


class SparseRows(Source):
    """A sparse matrix with dense rows as the field ``x`` of shape (columns,).

    Parameters
    ----------
    data
        Values that are not zero, shape (n,).
    columns
        The column of each, shape (n,).
    starts
        Where each row begins in ``data``, and the end of the last, shape (rows + 1,).
    width
        Number of columns.
    where
        Name of the data, for messages.

    Raises
    ------
    BadFile
        If the arrays do not fit each other, or the matrix has no rows.
    """

    title = "sparse matrices of SciPy"
    choices = (
        Choice("x: rows of a sparse matrix, converted to dense batch by batch; the matrix stays sparse in memory", ""),
    )

    def __init__(
        self, data: NDArray[Any], columns: NDArray[Any], starts: NDArray[Any], width: int, where: str = "a sparse matrix"
    ) -> None:
        whole_numbers = columns.dtype.kind in "iu" and starts.dtype.kind in "iu"
        if not whole_numbers or data.ndim != 1 or data.shape != columns.shape or starts.ndim != 1 or len(starts) < 2:
            raise BadFile(
                f"{where} has no rows, or its arrays are not compressed rows: data {data.shape}, indices {columns.shape}"
            )
        if starts[0] != 0 or starts[-1] != len(data) or (np.diff(starts.astype(np.int64, copy=False)) < 0).any():
            raise BadFile(f"{where} is damaged: its row offsets are not increasing within its {len(data):,} values")
        if len(columns) and (columns.min() < 0 or columns.max() >= width):
            raise BadFile(f"{where} is damaged: it has values outside of its {width:,} columns")
        self._data, self._column_of, self._starts, self._where = data, columns, starts, where
        self.spec = {"x": Field((width,), data.dtype.newbyteorder("="))}

    def __len__(self) -> int:
        return len(self._starts) - 1

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows as dense arrays; repeated entries of a column are summed, as in SciPy."""
        out = into["x"]
        out[...] = 0
        for i, row in enumerate(rows.tolist()):
            part = slice(int(self._starts[row]), int(self._starts[row + 1]))
            np.add.at(out[i], self._column_of[part], self._data[part])

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix."""
        return self._data.nbytes + self._column_of.nbytes + self._starts.nbytes

    def describe(self, row: int) -> str:
        """Return the name of the data and the row."""
        return f"{self._where}, row {row}"

    def _identity(self) -> bytes:
        return repr((len(self), self._where if self._where.endswith(".npz") else "")).encode() + self._starts.tobytes()

    @classmethod
    def of_archive(cls, path: str, options: OpenOptions) -> Source:
        """Load an archive of `scipy.sparse.save_npz` into memory.

        Raises
        ------
        BadSetting
            If the matrix is not of compressed rows.
        DoesNotFit
            If the matrix would need more than half of the free memory.
        """
        _refuse_names(options, path)
        arrays_by_name = members(os.fsencode(path))
        if not {"indices", "indptr"} <= {*arrays_by_name} or _text(arrays_by_name["format"]) != "csr":
            raise BadSetting(
                f"{path} is a sparse matrix of the format {_text(arrays_by_name['format'])!r}: save it as rows, with {_WAY}"
            )
        arrays = [_node(arrays_by_name[name], path) for name in ("data", "indices", "indptr", "shape")]
        need, room = sum(int(np.prod(node.shape)) * node.dtype.itemsize for node in arrays), available().room
        if need > room // 2:
            raise DoesNotFit(
                f"{path} is a sparse matrix of {format_size(need)}, which is held in memory, but half of the free memory is {format_size(room // 2)}"
            )
        data, columns, starts, shape = (_values(node) for node in arrays)
        if shape.shape != (2,) or shape.dtype.kind not in "iu" or len(starts) != int(shape[0]) + 1:
            raise BadFile(f"{path} is damaged: its shape is {shape.tolist()}, but it has {len(starts) - 1:,} rows")
        return cls(data, columns, starts, int(shape[1]), path)

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is a sparse matrix or array of SciPy."""
        return type(data).__module__.startswith("scipy.sparse") and hasattr(type(data), "tocsr")

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open a matrix; other formats than compressed rows are converted, which needs memory for a copy."""
        _refuse_names(options, f"a sparse matrix {data.shape}")
        if len(data.shape) != 2:
            raise BadSetting(f"a sparse array of shape {data.shape} has no rows: two axes are needed")
        rows = data.tocsr()
        return cls(rows.data, rows.indices, rows.indptr, rows.shape[1])

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make a matrix with a few values per row."""
        random = np.random.default_rng(0)
        columns = np.sort(random.integers(0, 9, (rows, 3))).ravel()
        return cls(random.random(3 * rows), columns, np.arange(0, 3 * rows + 1, 3), 9)


def is_sparse(names: Iterable[str]) -> bool:
    """Return whether these are the names of the arrays of `scipy.sparse.save_npz`."""
    names = {*names}
    return names >= _MARKS and names <= _MARKS | {"indices", "indptr", "row", "col", "offsets", "_is_array", "coords"}


def _refuse_names(options: OpenOptions, where: str) -> None:
    if options.fields is not None or options.labels is not None or options.split is not None:
        given = options.fields or options.labels or options.split
        raise BadSetting(f"{where} has no named fields such as {given!r}: its only field is x")


def _node(member: Any, path: str) -> Any:
    if isinstance(member, HoldsObjects):
        raise BadFile(f"{path} is damaged: it contains Python objects")
    return member


def _values(node: Any) -> NDArray[Any]:
    out = np.empty(node.shape, node.dtype)
    node.read(whole(node.shape), out)
    return out


def _text(member: Any) -> str:
    if isinstance(member, HoldsObjects) or member.dtype.kind not in "SU" or member.dtype.itemsize > 64 or member.shape:
        return "unknown"
    value: Any = _values(member)[()]
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
