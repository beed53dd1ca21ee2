"""Data frames of pandas and Polars, and Arrow tables: columns as fields, without copies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.decode.header import SUFFIXES
from bitesize.errors import BadSetting
from bitesize.sources.arrow_columns import is_text
from bitesize.sources.arrow_rows import ArrowSource, select_split
from bitesize.sources.arrow_stacked import fits_float
from bitesize.sources.arrow_table import TableChunk
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.label_columns import labeled
from bitesize.sources.protocol import ChunkStarts
from bitesize.storage import paths

_KINDS = {("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table")}


class Frame(ArrowSource):
    """A data frame in memory; it must not be modified while it is used."""

    title = "data frames of pandas and Polars, Arrow tables"
    has_splits = True
    package = "pyarrow"

    def __init__(self, table: Any, options: OpenOptions, where: str, copied: int = 0) -> None:
        self._frame, self._copied = table, copied
        folder = os.getcwd() if any(map(_names_image, table.columns)) else None
        super().__init__([TableChunk(table.num_rows, 0)], options, where, folder)

    def _read_part(self, number: int) -> Any:
        return self._frame

    def _fits_float(self, name: str) -> bool:
        return fits_float(self._frame.column(name))

    def chunks(self) -> ChunkStarts | None:
        """Return None: rows in memory cost the same in any order."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of labels, and of columns that were copied to convert them to Arrow."""
        return super().nbytes + self._copied

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is a data frame or an Arrow table."""
        return (type(data).__module__.partition(".")[0], type(data).__name__) in _KINDS

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open a data frame as an Arrow table."""
        import pyarrow as pa

        library = type(data).__module__.partition(".")[0]
        names = list(map(str, getattr(data, "columns", ())))
        twice = [name for name in names if names.count(name) > 1] if library == "pandas" else []
        if twice:
            raise BadSetting(f"the {type(data).__name__} has several columns named {twice[0]!r}")
        if library == "polars":
            try:
                table = data.to_arrow()
            except (pa.ArrowException, ValueError, TypeError) as error:
                raise BadSetting(f"the {type(data).__name__} cannot be converted to Arrow: {error}") from error
        elif library == "pandas":
            table = pa.table([_column(data[name]) for name in data.columns], names=names)
        else:
            table = data
        copied = sum(table.column(i).nbytes for i in range(table.num_columns) if _is_copied(library, data, table, i))
        where = f"the {type(data).__name__} of {library}"
        return labeled(lambda options: select_split(cls(table, options, where, copied), options, where), options)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make a table of numbers, lists and labels."""
        import pyarrow as pa

        random = np.random.default_rng(0)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(random.random(3 * rows)), 3)
        return cls.opened(pa.table({"x": vectors, "y": ["ab"[i % 2] for i in range(rows)]}), OpenOptions(mode="RGB"))


def _names_image(column: Any) -> bool:
    """Return whether a column of text names existing images."""
    if not len(column) or not is_text(column.type):
        return False
    first = column[0].as_py()
    return isinstance(first, str) and first.lower().endswith(SUFFIXES) and paths.isfile(first)


def _is_copied(library: str, frame: Any, table: Any, number: int) -> bool:
    """Return whether converting a column to Arrow copied it: for pandas all but plain numbers, for Polars text and bytes."""
    import pyarrow.types as kinds

    if library == "pandas":
        dtype = frame.dtypes.iloc[number]
        return not (isinstance(dtype, np.dtype) and dtype.kind in "iuf")
    kind = table.schema.field(number).type
    return library == "polars" and (is_text(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind))


def _column(series: Any) -> Any:
    """Return a column of pandas as an Arrow array: numbers are not copied, and NaN stays NaN."""
    import pyarrow as pa

    try:
        if isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf":
            return pa.array(series.to_numpy(), from_pandas=False)
        made = pa.array(series, from_pandas=True)
        return made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadSetting(f"the column {series.name!r} cannot be read: {error}") from error
