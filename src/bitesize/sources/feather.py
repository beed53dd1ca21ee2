"""Feather and Arrow files: columns as fields, read by record batches."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile
from bitesize.files.pread import open_file
from bitesize.files.state import FileState
from bitesize.sources.arrow_rows import ArrowSource, Part, in_part, pool
from bitesize.sources.base import Asked, Source


class Feather(ArrowSource):
    """A Feather (version 2) or Arrow IPC file."""

    title = "Feather and Arrow files"
    suffixes = (".feather", ".arrow", ".ipc")
    in_parts = True
    package, extra = "pyarrow", "parquet"

    def __init__(self, path: str, asked: Asked) -> None:
        self._path, self._state = path, FileState.of(os.fsencode(path))
        parts = []
        with _open(path) as file:
            import pyarrow as pa

            reader = _reader(file, path)
            for number in range(reader.num_record_batches):
                batch = _batch(reader, number, path)
                parts.append(Part(batch.num_rows, 2 * pa.Table.from_batches([batch]).nbytes))
                del batch
        super().__init__(parts, asked, path, os.path.dirname(path))
        self.close()

    def _read_part(self, number: int) -> Any:
        import pyarrow as pa

        self.check_unchanged()
        with _open(self._path) as file:
            return pa.Table.from_batches([_batch(_reader(file, self._path), number, self._path)])

    def check_unchanged(self) -> None:
        """Look at the file."""
        self._state.check(os.fsencode(self._path))

    @classmethod
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Open a file, or several that are alike, one behind the other."""
        return in_part([partial(cls, path) for path in what], asked, what[0])

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write numbers and labels in several record batches."""
        import pyarrow as pa
        import pyarrow.feather as feather

        random = np.random.default_rng(0)
        table = pa.table({"x": random.random(rows), "y": ["ab"[i % 2] for i in range(rows)]})
        feather.write_feather(table, folder / "data.feather", chunksize=7, compression="lz4")
        return cls.opened([str(folder / "data.feather")], Asked())


def _open(path: str) -> Any:
    import pyarrow as pa

    os.close(open_file(os.fsencode(path)))  # for its error
    return pa.OSFile(path)


def _reader(file: Any, path: str) -> Any:
    import pyarrow as pa

    try:
        return pa.ipc.open_file(file, memory_pool=pool())
    except Exception as error:  # Arrow raises many types for damaged files
        stream = ": as a stream, which has no index? Write it as a file" if "Not an Arrow file" in str(error) else ""
        raise BadFile(f"{path} cannot be read as an Arrow file: {' '.join(str(error).split())[:200]}{stream}") from error


def _batch(reader: Any, number: int, path: str) -> Any:
    try:
        batch = reader.get_batch(number)
        if batch.num_rows < 0:
            raise ValueError("it has fewer than no rows")
        batch.validate(full=True)  # Arrow trusts lengths and offsets in the file, and ends the process, or reads elsewhere
        _ = batch.schema.names  # which may be no text
    except Exception as error:
        raise BadFile(f"record batch {number} of {path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    return batch
