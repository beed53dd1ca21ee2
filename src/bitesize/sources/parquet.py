"""Parquet files: columns of numbers, lists and images as fields, read by row groups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile
from bitesize.files.pread import open_file
from bitesize.sources.arrow_rows import ArrowSource, Part, chosen_pool
from bitesize.sources.base import Asked, Source

# Bytes of a column that are read at a time.
_BUFFER = 1 << 17
# Bytes a value on its way: whole numbers are stored as four, and values of lists have two levels of two.
_PASSING = 12


class Parquet(ArrowSource):
    """Parquet files of the same columns, one behind the other."""

    title = "Parquet files"
    suffixes = (".parquet", ".pq")
    package, extra = "pyarrow", "parquet"

    def __init__(self, paths: list[str], asked: Asked) -> None:
        self._groups: list[tuple[str, int]] = []
        self._needed: list[str] | None = None
        parts: list[Part] = []
        schema = None
        for path in paths:
            found = _open(path)
            with found:
                if schema is not None and found.schema_arrow.names != schema.names:
                    raise BadFile(f"{path} has the columns {found.schema_arrow.names}, and {paths[0]} {schema.names}")
                schema = found.schema_arrow
                for number in range(found.num_row_groups):
                    group = found.metadata.row_group(number)
                    columns = [group.column(k) for k in range(group.num_columns)]
                    stored = sum(column.total_compressed_size for column in columns)
                    nbytes = sum(_in_memory(column, group.num_rows) for column in columns) + stored
                    parts.append(Part(group.num_rows, nbytes, _PASSING * max(column.num_values for column in columns)))
                    self._groups.append((path, number))
        where = paths[0] if len(paths) == 1 else f"{len(paths)} files from {paths[0]}"
        super().__init__(parts, asked, where, os.path.dirname(paths[0]))
        self._needed = sorted({column.name for column in self._columns.values()})
        self.close()

    def _read_part(self, number: int) -> Any:
        path, group = self._groups[number]
        with _open(path) as found:
            try:
                return found.read_row_group(group, columns=self._needed, use_threads=False)  # each of theirs keeps memory
            except Exception as error:  # Arrow raises many types for damaged pages
                raise BadFile(
                    f"row group {group} of {path} cannot be read: {' '.join(f'{type(error).__name__} {error}'.split())[:200]}"
                ) from error

    @classmethod
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Open files."""
        return cls(list(what), asked)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write images, lists and labels in several row groups."""
        import io

        import pyarrow as pa
        import pyarrow.parquet as pq
        from PIL import Image

        random = np.random.default_rng(0)
        images = []
        for i in range(rows):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (12 + i % 5, 16, 3), np.uint8)).save(file, "PNG")
            images.append(file.getvalue())
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(random.random(3 * rows)), 3)
        table = pa.table({"x": images, "vector": vectors, "y": ["ab"[i % 2] for i in range(rows)]})
        pq.write_table(table, folder / "data.parquet", row_group_size=7)
        return cls.opened([str(folder / "data.parquet")], Asked())


def _open(path: str) -> Any:
    import pyarrow.parquet as pq

    os.close(open_file(os.fsencode(path)))  # for its error
    try:
        with chosen_pool():
            return pq.ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=_BUFFER)
    except Exception as error:  # Arrow raises many types for damaged files
        raise BadFile(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error


def _in_memory(column: Any, rows: int) -> int:
    """Bound the bytes of a column of a row group in memory; repeated values are stored once, and are not in memory."""
    nbytes = int(column.total_uncompressed_size) + 16 * rows
    if any("DICTIONARY" in encoding for encoding in column.encodings):
        statistics = column.statistics
        longest = len(statistics.max) if statistics is not None and isinstance(statistics.max, bytes | str) else 64
        nbytes += rows * max(64, longest)
    return nbytes
