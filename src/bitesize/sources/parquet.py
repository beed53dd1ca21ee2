"""Parquet files: columns of numbers, lists and images as fields, read by row groups."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile, BitesizeError, one_line
from bitesize.files.held import held_ends
from bitesize.files.names import show
from bitesize.files.parquet import Chunk, Page, RowGroup, pages, row_groups
from bitesize.files.pread import Handle, check_readable, open_object, read_into, size_of, with_file
from bitesize.files.state import FileState
from bitesize.sources.arrow_rows import ArrowSource, select_split
from bitesize.sources.arrow_table import TableChunk, chosen_pool, pool
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.label_columns import labeled
from bitesize.sources.parquet_first import first_row
from bitesize.storage.blocks import HELD_NBYTES, BlockFile, holding
from bitesize.storage.paths import dirname
from bitesize.storage.url import is_url

# Bytes of a value of a type; others are as long unchanged.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
# If dictionary entries could exceed the declared size of a column, this fraction of it is read at a time.
_SHARE = 4
_ENTRIES = 1 << 18  # maximum number of dictionary entries that are checked: common writers use fewer
# Approximate bytes of the metadata of a column of a row group.
_CHUNK = 400
# Bytes of a column that are read at a time.
_BUFFER = 1 << 17
# Bytes at the end of a file that Arrow reads first: they have the metadata, unless there are many columns.
_FOOTER = 1 << 16
# Bytes a value on its way: whole numbers are stored as four, and values of lists have two levels of two.
_PASSING = 12


class Parquet(ArrowSource):
    """Parquet files of the same columns, concatenated."""

    title = "Parquet files"
    suffixes = (".parquet", ".pq")
    has_splits = True
    package = "pyarrow"

    def __init__(self, paths: list[str], options: OpenOptions) -> None:
        self._groups: list[tuple[str, int, RowGroup]] = []
        self._needed: list[str] | None = None
        self._kinds: Any = None  # names and types of the columns
        self._reader: Any = None  # Arrow's reader of the first rows, while columns are examined
        self._object: BlockFile | None = None  # what it reads, if that is an object
        parts: list[TableChunk] = []
        known = None
        self._nulls: dict[str, int | None] = {}  # number of missing values of each column, None if unknown
        rows_of: list[tuple[str, int]] = []
        self._states = {path: FileState.of(os.fsencode(path)) for path in paths}
        for path in (paths[i] for some in held_ends([os.fsencode(path) for path in paths]) for i in some):
            file = _open(path)
            with file:
                columns = _columns_of(file, path)
                if known is not None and columns != known:
                    listed = [", ".join(f"{name} ({kind})" for name, kind in each) for each in (columns, known)]
                    raise BadFile(f"{path} has the columns {listed[0]}, and {paths[0]} {listed[1]}")
                known, self._kinds = columns, file.schema_arrow if self._kinds is None else self._kinds
                _count_nulls(file, self._nulls, path)
                rows_of.append((path, 0))
                for number, group in enumerate(_groups(path)):
                    rows_of[-1] = path, rows_of[-1][1] + group.rows
                    stored = sum(chunk.stored for chunk in group.chunks)
                    nbytes = sum(_in_memory(chunk, group.rows) for chunk in group.chunks) + stored
                    parts.append(
                        TableChunk(group.rows, nbytes, _PASSING * max((chunk.values for chunk in group.chunks), default=0))
                    )
                    self._groups.append((path, number, group))
        where = paths[0] if len(paths) == 1 else f"{len(paths)} files from {paths[0]}"
        try:
            super().__init__(parts, options, where, dirname(paths[0]), rows_of)
        finally:
            self._close_reader()
        self._needed = self._columns_read()
        needed = set(self._needed)
        for i, (path, number, group) in enumerate(self._groups):
            chunks = [chunk for chunk in group.chunks if chunk.name.split(".")[0] in needed]
            self._groups[i] = path, number, group._replace(chunks=chunks)
        self.close()

    def _read_part(self, number: int) -> Any:
        path, group, about = self._groups[number]
        self._states[path].check(os.fsencode(path))
        with _holding(path, [about], None), _open(path) as found:
            return self._read_group(found, number, group, about, self._needed)

    def _schema(self) -> Any:
        return self._kinds

    def _first(self, name: str) -> Any:
        """Return the first row of a column, from one page, or from the first bytes of large values."""
        path, number, group = self._groups[self._first_part()]
        if self._reader is None:
            self._object = _first_bytes(path, group)
            with holding([self._object] if self._object else []):
                self._reader = _open(path)
        with holding([self._object] if self._object else []):
            return first_row(self._reader, path, number, group, self._kinds.field(name))

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = self._object = None

    def _values(self, name: str) -> Iterator[Any]:
        """Yield one column, row group by row group, without reading others."""
        for path, of_path in groupby(enumerate(self._groups), lambda each: each[1][0]):
            self._states[path].check(os.fsencode(path))
            groups = _groups(path)  # with all columns
            for some in _together(of_path, groups, name):
                tables = []
                with _holding(path, [groups[group] for _, (_, group, _) in some], [name]), _open(path) as file:
                    for number, (_, group, about) in some:
                        if about.rows:
                            tables.append(self._read_group(file, number, group, groups[group], [name]))
                for table in tables:
                    yield from table.column(0).chunks

    def _missing(self, names: Sequence[str]) -> dict[str, int]:
        """Return the numbers of missing values, from the metadata or by reading."""
        counts = {name: count for name in names if (count := self._nulls.get(name)) is not None}
        unknown = super()._missing([name for name in names if name not in counts])
        return {name: count for name in names if (count := counts.get(name, 0) or unknown.get(name, 0))}

    def _read_group(self, file: Any, number: int, group: int, about: RowGroup, columns: list[str] | None) -> Any:
        """Return some or all columns of a row group."""
        path = self._groups[number][0]
        try:
            rows = self._rows_at_once(file, path, about, columns)
            if rows >= self._parts[number].rows:
                # Without threads of Arrow, each of which keeps memory.
                return file.read_row_group(group, columns=columns, use_threads=False)
            return self._read_in_batches(file, number, rows, columns)
        except BitesizeError:
            raise
        except Exception as error:  # Arrow raises many types for damaged pages
            raise BadFile(
                f"row group {group} of {path} cannot be read: {one_line(f'{type(error).__name__} {error}')}"
            ) from error

    def check_unchanged(self) -> None:
        """Check all files."""
        for path, state in self._states.items():
            state.check(os.fsencode(path))

    @property
    def nbytes(self) -> int:
        """Bytes of cached parts and of the metadata of columns."""
        return super().nbytes + _CHUNK * sum(len(group.chunks) for _, _, group in self._groups)

    def _rows_at_once(self, file: Any, path: str, group: RowGroup, needed: list[str] | None) -> int:
        """Compare pages with the metadata; return the number of rows to read before checking their size."""
        import pyarrow as pa

        rows = group.rows
        by_number = {field.name for field in file.schema_arrow if pa.types.is_dictionary(field.type)}  # and stay so
        for chunk in group.chunks:
            name = chunk.name.split(".")[0]
            if needed is None or name in needed:
                most = _in_memory(chunk, group.rows)
                longest = with_file(os.fsencode(path), partial(_check_pages, chunk, most, path=os.fsencode(path)))
                if longest and name not in by_number:
                    rows = min(rows, max(1, most // _SHARE // longest))
        return rows

    def _read_in_batches(self, file: Any, number: int, rows: int, columns: list[str] | None) -> Any:
        """Read ``rows`` rows at a time, and stop if they exceed the size in the metadata."""
        import pyarrow as pa

        path, group, _ = self._groups[number]
        batches: list[Any] = []
        nbytes = 0
        for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
            batches.append(batch)
            nbytes += batch.nbytes
            if nbytes > self._parts[number].nbytes:
                raise BadFile(
                    f"row group {group} of {path} decompresses to more than the {self._parts[number].nbytes:,} bytes that its metadata declares"
                )
        return pa.Table.from_batches(batches)

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open files, or the rows of a split that a column names."""
        paths = list(data)
        return labeled(lambda options: select_split(cls(paths, options), options, paths[0]), options)

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
        return cls.opened([str(folder / "data.parquet")], OpenOptions(mode="RGB"))


@contextmanager
def _holding(path: str, groups: Sequence[RowGroup], columns: Sequence[str] | None) -> Iterator[None]:
    """Read the metadata and some or all columns of row groups of an object at the same time; they are in memory until the end."""
    if not is_url(path):
        yield
        return
    file = open_object(os.fsencode(path))
    chunks = [chunk for group in groups for chunk in group.chunks if columns is None or chunk.name.split(".")[0] in columns]
    file.hold([(file.size - _FOOTER, _FOOTER), *((chunk.start, chunk.stored) for chunk in chunks)])
    with holding([file]):
        yield


def _first_bytes(path: str, group: RowGroup) -> BlockFile | None:
    """Return an object with the first bytes of all columns of a row group in memory; None for a file of the disk."""
    if not is_url(path):
        return None
    file = open_object(os.fsencode(path))
    chunks = group.chunks[: HELD_NBYTES // _BUFFER]
    file.hold([(file.size - _FOOTER, _FOOTER), *((chunk.start, min(chunk.stored, _BUFFER)) for chunk in chunks)])
    return file


def _together(groups: Iterable[Any], stored: Sequence[RowGroup], column: str) -> Iterator[list[Any]]:
    """Yield row groups of a file in lists: of an object several, whose column is read at the same time; else one each."""
    some: list[Any] = []
    total = 0
    for each in groups:
        _, (path, group, _) = each
        nbytes = sum(chunk.stored for chunk in stored[group].chunks if chunk.name.split(".")[0] == column)
        if some and (not is_url(path) or total + nbytes > HELD_NBYTES):
            yield some
            some, total = [], 0
        some.append(each)
        total += nbytes
    if some:
        yield some


def _open(path: str) -> Any:
    import pyarrow.parquet as pq

    check_readable(os.fsencode(path))  # for its error
    try:
        with chosen_pool():
            found = open_object(os.fsencode(path)) if is_url(path) else path
            return pq.ParquetFile(found, memory_map=False, pre_buffer=False, buffer_size=_BUFFER)
    except BitesizeError:
        raise
    except Exception as error:  # Arrow raises many types for damaged files
        raise BadFile(f"{path} cannot be read as Parquet: {one_line(error)}") from error


def _columns_of(file: Any, path: str) -> list[tuple[str, str]]:
    """Return names and types of the columns."""
    import pyarrow as pa

    try:
        # Dictionaries are a storage format; large types only have longer offsets.
        types = [(field.name, getattr(field.type, "value_type", field.type)
                  if pa.types.is_dictionary(field.type) else field.type) for field in file.schema_arrow]  # fmt: skip
        return [(name, str(kind).replace("large_", "")) for name, kind in types]
    except Exception as error:  # names that are not text, types that Arrow does not have
        raise BadFile(f"{path} cannot be read as Parquet: {one_line(error)}") from error


def _count_nulls(found: Any, counts: dict[str, int | None], path: str) -> None:
    """Add the numbers of missing values of a file, if known, to the totals."""
    metadata = found.metadata
    try:
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for number in range(metadata.num_columns):
                chunk = row_group.column(number)
                known = counts.setdefault(chunk.path_in_schema, 0)
                listed = chunk.statistics if chunk.is_stats_set else None
                counts[chunk.path_in_schema] = (
                    None if listed is None or not listed.has_null_count or known is None else known + listed.null_count
                )
    except (ValueError, OSError) as error:  # names that are not text, and what else Arrow finds damaged
        raise BadFile(f"{path} cannot be read as Parquet: {one_line(error)}") from error


def _groups(path: str) -> list[RowGroup]:
    return with_file(os.fsencode(path), lambda fd: row_groups(fd, size_of(fd), os.fsencode(path)))


def _in_memory(chunk: Chunk, rows: int) -> int:
    """Return an upper bound of the bytes of a column of a row group in memory, where repeated values are expanded."""
    nbytes = chunk.nbytes + 16 * rows
    width = _WIDTHS.get(chunk.type)
    if width is not None:
        return max(nbytes, width * chunk.values + 16 * rows)
    return nbytes + (rows * max(64, chunk.longest) if chunk.by_number else 0)


def _check_pages(chunk: Chunk, most: int, fd: Handle, path: bytes) -> int:
    """Compare the pages of a column with its metadata.

    Returns
    -------
    int
        Bytes of the longest dictionary entry, if the values could exceed ``most`` bytes; else 0.

    Raises
    ------
    BadFile
        If a page declares a larger size than the metadata.
    """
    if not chunk.values:
        return 0
    nbytes = values = numbers = 0
    dictionary = None
    for page in pages(fd, chunk.start, chunk.stored, path):
        nbytes, values = nbytes + page.nbytes, values + page.values
        if nbytes > chunk.nbytes or values > chunk.values:
            raise BadFile(
                f"{show(path)}: the pages of the column {chunk.name!r} decompress to more than the {chunk.nbytes:,} bytes and "
                f"{chunk.values:,} values that the metadata declares"
            )
        if page.dictionary and chunk.type not in _WIDTHS:
            dictionary = page
        numbers += page.values if page.numbers else 0
    if dictionary is None or dictionary.nbytes * numbers <= most:
        return 0
    longest = _longest_entry(fd, dictionary, chunk, path)
    return longest if longest * numbers > most else 0


def _longest_entry(fd: Handle, page: Page, chunk: Chunk, path: bytes) -> int:
    """Return the bytes of the longest entry of a dictionary, or an upper bound."""
    if chunk.type != "BYTE_ARRAY":  # of one size each
        return page.nbytes
    import pyarrow as pa

    data = bytearray(page.stored)
    read_into(fd, [data], page.offset, path)
    if chunk.codec != "uncompressed":
        try:
            codec = pa.Codec("lz4_raw" if chunk.codec == "lz4" else chunk.codec)
            data = codec.decompress(pa.py_buffer(data), page.nbytes, memory_pool=pool())
        except (OSError, ValueError, pa.ArrowException):  # LZ4 has several forms; the reader reports damage
            return page.nbytes
    view, at, longest = memoryview(data).cast("B"), 0, 0
    for _ in range(_ENTRIES):
        if at + 4 > len(view):
            return min(longest, page.nbytes)
        length = int.from_bytes(view[at : at + 4], "little")
        longest, at = max(longest, length), at + 4 + length
    return page.nbytes
