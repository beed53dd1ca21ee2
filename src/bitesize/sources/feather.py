"""Feather and Arrow files: columns as fields, read by record batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile, BitesizeError, one_line
from bitesize.files.arrow import Blocks, RecordBatch, batch, blocks
from bitesize.files.held import held_ends
from bitesize.files.pread import Handle, check_readable, open_object, size_of, with_file
from bitesize.files.state import FileState
from bitesize.sources.arrow_layout import ColumnLayout, columns_of, first_row
from bitesize.sources.arrow_rows import ArrowSource, select_split
from bitesize.sources.arrow_table import TableChunk, pool
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.label_columns import labeled
from bitesize.storage.blocks import BLOCK, HELD_NBYTES, BlockFile, holding
from bitesize.storage.paths import dirname
from bitesize.storage.url import is_url


class Feather(ArrowSource):
    """Feather (version 2) or Arrow IPC files of the same columns, in order.

    Opening reads only the metadata of the batches. Reading rows reads and checks a whole batch; labels are read as single columns.
    """

    title = "Feather and Arrow files"
    suffixes = (".feather", ".arrow", ".ipc")
    has_splits = True
    package = "pyarrow"

    def __init__(self, paths: Sequence[str], options: OpenOptions) -> None:
        self._states = {path: FileState.of(os.fsencode(path)) for path in paths}
        self._batches: list[tuple[str, int]] = []
        self._needed: list[str] | None = None
        self._nulls: dict[str, int] = {}  # number of missing values of each column
        self._kinds: Any = None  # names and types of the columns
        self._looked_at: tuple[RecordBatch, list[ColumnLayout]] | None = (
            None  # the first batch with rows, while columns are examined
        )
        parts: list[TableChunk] = []
        rows_of: list[tuple[str, int]] = []
        known = None
        self._places: dict[str, Blocks] = {}  # where the messages of objects are
        for path in (paths[i] for some in held_ends([os.fsencode(path) for path in paths]) for i in some):
            with _open(path) as file:
                schema = _reader(file, path).schema
                columns = _columns(schema, path)
            if known is not None and columns != known:
                raise BadFile(f"{path} has the columns {', '.join(columns)}, and {paths[0]} {', '.join(known)}")
            known, self._kinds = columns, schema if self._kinds is None else self._kinds
            own = with_file(os.fsencode(path), partial(self._learn_parts, path, schema))
            parts += own
            self._batches += [(path, number) for number in range(len(own))]
            rows_of.append((path, sum(part.rows for part in own)))
        where = paths[0] if len(paths) == 1 else f"{len(paths)} files from {paths[0]}"
        super().__init__(parts, options, where, dirname(paths[0]), rows_of)
        self._needed, self._looked_at = self._columns_read(), None
        self.close()

    def _learn_parts(self, path: str, schema: Any, fd: Handle) -> list[TableChunk]:
        """Return the record batches of a file, and count the missing values in them."""
        index = blocks(fd, size_of(fd), os.fsencode(path))
        if isinstance(fd, BlockFile):
            self._places[path] = index
            fd.hold((block.offset, block.metadata) for block in (*index.dictionaries, *index.batches))
        of_all = sum(_message(fd, path, index, number, dictionary=True).nbytes for number in range(len(index.dictionaries)))
        parts = []
        for number in range(len(index.batches)):
            about = _message(fd, path, index, number)
            columns = columns_of(schema, about, path)
            for name, column in zip(schema.names, columns, strict=True):
                self._nulls[name] = self._nulls.get(name, 0) + column.missing
            copied = about.stored if isinstance(fd, BlockFile) else 0  # once more, when Arrow takes it
            parts.append(TableChunk(about.rows, about.nbytes + of_all + copied))
        return parts

    def _schema(self) -> Any:
        return self._kinds

    def _first(self, name: str) -> Any:
        """Return the first row of a column, reading no more if its type allows it."""
        part = self._first_part()
        path, number = self._batches[part]
        found = with_file(os.fsencode(path), partial(self._first_of, path, number, self._kinds.names.index(name)))
        return next(self._column_of(part, name)).slice(0, 1) if found is None else found

    def _first_of(self, path: str, number: int, column: int, fd: Handle) -> Any:
        if self._looked_at is None:
            index = blocks(fd, size_of(fd), os.fsencode(path))
            about = _message(fd, path, index, number)
            self._looked_at = about, columns_of(self._kinds, about, path) if index.little else []
        about, columns = self._looked_at
        return first_row(fd, columns[column], about, os.fsencode(path)) if columns else None

    def _values(self, name: str) -> Iterator[Any]:
        """Yield one column, batch by batch, without reading others."""
        for number, part in enumerate(self._parts):
            if part.rows:
                yield from self._column_of(number, name)

    def _column_of(self, number: int, name: str) -> Iterator[Any]:
        """Yield a column of a batch, which does not keep the batch in memory."""
        import pyarrow as pa

        for chunk in self._read_columns(number, [name]).column(0).chunks:
            yield pa.concat_arrays([chunk], memory_pool=pool())

    def _missing(self, names: Sequence[str]) -> dict[str, int]:
        """Return the numbers of missing values, from the metadata of the batches."""
        return {name: count for name in names if (count := self._nulls[name])}

    def _read_part(self, number: int) -> Any:
        return self._read_columns(number, self._needed)

    def _read_columns(self, number: int, names: Sequence[str] | None) -> Any:
        """Return some or all columns of a batch as a table."""
        import pyarrow as pa

        path, of_file = self._batches[number]
        self._states[path].check(os.fsencode(path))
        with self._holding(path, of_file, names), _open(path) as file:
            batch = _batch(_reader(file, path, names), of_file, path)
        if batch.num_rows != self._parts[number].rows:
            raise BadFile(
                f"record batch {of_file} of {path} has {batch.num_rows:,} rows, but had {self._parts[number].rows:,}"
            )
        return pa.Table.from_batches([batch])

    @contextmanager
    def _holding(self, path: str, number: int, names: Sequence[str] | None) -> Iterator[None]:
        """Read a batch of an object with what belongs to it at the same time, unless it is large and few of its columns are needed."""
        if not is_url(path):
            yield
            return
        file, index = open_object(os.fsencode(path)), self._places[path]
        blocks_needed = [index.batches[number], *index.dictionaries]
        few = names is not None and set(names) != set(self._kinds.names)
        if not few or sum(block.metadata + block.body for block in blocks_needed) <= HELD_NBYTES:
            spans = [(block.offset, block.metadata + block.body) for block in blocks_needed]
            file.hold([(file.size - BLOCK, BLOCK), *spans])
        with holding([file]):
            yield

    def check_unchanged(self) -> None:
        """Check all files."""
        for path, state in self._states.items():
            state.check(os.fsencode(path))

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open files with the same columns, or the rows of a split that a column names."""
        paths = list(data)
        return labeled(lambda options: select_split(cls(paths, options), options, paths[0]), options)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write numbers and labels in several record batches."""
        import pyarrow as pa
        import pyarrow.feather as feather

        random = np.random.default_rng(0)
        table = pa.table({"x": random.random(rows), "y": ["ab"[i % 2] for i in range(rows)]})
        feather.write_feather(table, folder / "data.feather", chunksize=7, compression="lz4")
        return cls.opened([str(folder / "data.feather")], OpenOptions(mode="RGB"))


def _open(path: str) -> Any:
    import pyarrow as pa

    check_readable(os.fsencode(path))  # for its error
    return pa.PythonFile(open_object(os.fsencode(path)), "r") if is_url(path) else pa.OSFile(path)


def _columns(schema: Any, path: str) -> list[str]:
    """Return names and types of the columns, for messages."""
    try:
        return [f"{field.name} ({getattr(field.type, 'value_type', field.type)})" for field in schema]
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} cannot be read as an Arrow file: the name of a column is not text") from error


def _message(fd: Handle, path: str, index: Blocks, number: int, *, dictionary: bool = False) -> RecordBatch:
    """Return the metadata of a record batch or a dictionary."""
    block = (index.dictionaries if dictionary else index.batches)[number]
    return batch(fd, block, size_of(fd), os.fsencode(path))


def _reader(file: Any, path: str, names: Sequence[str] | None = None) -> Any:
    """Return Arrow's reader of some columns of a file."""
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(file, memory_pool=pool())
        if names is None or set(names) == set(reader.schema.names):
            return reader
        options = pa.ipc.IpcReadOptions(included_fields=[reader.schema.names.index(name) for name in names])
        return pa.ipc.open_file(file, options=options, memory_pool=pool())
    except BitesizeError:
        raise
    except Exception as error:  # Arrow raises many types for damaged files
        stream = ": streams have no index; write the data in the file format" if "Not an Arrow file" in str(error) else ""
        raise BadFile(f"{path} cannot be read as an Arrow file: {one_line(error)}{stream}") from error


def _batch(reader: Any, number: int, path: str) -> Any:
    try:
        batch = reader.get_batch(number)
        if batch.num_rows < 0:
            raise ValueError("its number of rows is negative")
        batch.validate(full=True)  # Arrow trusts lengths and offsets in the file, and may abort or read outside buffers
        _ = batch.schema.names  # names may be invalid text
    except BitesizeError:
        raise
    except Exception as error:
        raise BadFile(f"record batch {number} of {path} cannot be read: {one_line(error)}") from error
    return batch
