"""Feather and Arrow files: columns as fields, read by record batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile
from bitesize.files.pread import open_file
from bitesize.files.state import FileState
from bitesize.sources.arrow_rows import ArrowSource, in_part
from bitesize.sources.arrow_table import Part, pool
from bitesize.sources.base import Asked, Source
from bitesize.sources.label_columns import labelled


class Feather(ArrowSource):
    """Feather (version 2) or Arrow IPC files of the same columns, in order."""

    title = "Feather and Arrow files"
    suffixes = (".feather", ".arrow", ".ipc")
    in_parts = True
    package, extra = "pyarrow", "parquet"

    def __init__(self, paths: Sequence[str], asked: Asked) -> None:
        import pyarrow as pa

        self._states = {path: FileState.of(os.fsencode(path)) for path in paths}
        self._batches: list[tuple[str, int]] = []
        parts: list[Part] = []
        rows_of: list[tuple[str, int]] = []
        known = None
        for path in paths:
            with _open(path) as file:
                reader = _reader(file, path)
                for number in range(reader.num_record_batches):
                    batch = _batch(reader, number, path)
                    parts.append(Part(batch.num_rows, 2 * pa.Table.from_batches([batch]).nbytes))
                    self._batches.append((path, number))
                    del batch
                columns = [f"{field.name} ({getattr(field.type, 'value_type', field.type)})" for field in reader.schema]
            if known is not None and columns != known:
                raise BadFile(f"{path} has the columns {', '.join(columns)}, and {paths[0]} {', '.join(known)}")
            known = columns
            rows_of.append((path, sum(part.rows for part in parts) - sum(rows for _, rows in rows_of)))
        where = paths[0] if len(paths) == 1 else f"{len(paths)} files from {paths[0]}"
        super().__init__(parts, asked, where, os.path.dirname(paths[0]), rows_of)
        self.close()

    def _read_part(self, number: int) -> Any:
        import pyarrow as pa

        path, batch = self._batches[number]
        self._states[path].check(os.fsencode(path))
        with _open(path) as file:
            return pa.Table.from_batches([_batch(_reader(file, path), batch, path)])

    def check_unchanged(self) -> None:
        """Look at all files."""
        for path, state in self._states.items():
            state.check(os.fsencode(path))

    @classmethod
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Open files that have the same columns, or those of their rows that a column says are of a part."""
        paths = list(what)
        return labelled(lambda asked: in_part(cls(paths, asked), asked, paths[0]), asked)

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
