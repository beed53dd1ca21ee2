"""Locations of the columns of an Arrow record batch, and their first row, read without the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bitesize.errors import BadFile, one_line
from bitesize.files.arrow import RecordBatch
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into, stream_from

_LONGEST = 1 << 16  # bytes of a value that are read: enough to recognize an image, and for any path
_PIECE = 1 << 16  # bytes that are decompressed at a time


class _Unknown(Exception):
    """A type whose first value must be read by Arrow."""


class ColumnLayout:
    """A column of a record batch, or a level of a nested one.

    Attributes
    ----------
    kind
        Arrow type.
    rows, missing : int
        Number of values, and number of missing values.
    buffers : list of int
        Numbers of the buffers.
    children : list of ColumnLayout
    """

    def __init__(
        self, kind: Any, batch: RecordBatch, nodes: Iterator[int], buffers: Iterator[int], views: Iterator[int]
    ) -> None:
        import pyarrow as pa
        import pyarrow.types as kinds

        while isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        self.kind = kind
        self.rows, self.missing = batch.nodes[next(nodes)].tolist()
        count, inner = _layout(kind, batch.version)
        if kinds.is_string_view(kind) or kinds.is_binary_view(kind):
            count += int(batch.variadic[next(views)])
        self.buffers = [next(buffers) for _ in range(count)]
        self.children = [ColumnLayout(each, batch, nodes, buffers, views) for each in inner]

    def check(self, sizes: Any) -> None:
        """Raise ValueError if a buffer is too short for the values."""
        import pyarrow.types as kinds

        kind, rows = self.kind, self.rows
        if kinds.is_dictionary(kind):
            kind = kind.index_type
        if self.missing > rows:
            raise ValueError("the number of missing values exceeds the number of values")
        if kinds.is_fixed_size_list(kind) and self.children[0].rows < rows * kind.list_size:
            raise ValueError(f"lists of {kind.list_size:,} have too few values")
        if kinds.is_struct(kind) and any(child.rows < rows for child in self.children):
            raise ValueError("a field has fewer rows than the batch")
        width = _width(kind)
        if width and int(sizes[self.buffers[1]]) * 8 < rows * width:
            raise ValueError("a column has fewer bytes than its rows need")
        for child in self.children:
            child.check(sizes)


def columns_of(schema: Any, batch: RecordBatch, path: str) -> list[ColumnLayout]:
    """Return the columns of a batch.

    Raises
    ------
    BadFile
        If the columns of the batch differ from the schema, or a column has fewer bytes than its rows need.
    """
    nodes, buffers, views = (iter(range(len(each))) for each in (batch.nodes, batch.buffers, batch.variadic))
    try:
        made = [ColumnLayout(field.type, batch, nodes, buffers, views) for field in schema]
        if any(column.rows != batch.rows for column in made):
            raise ValueError("columns have different numbers of rows")
        for column in made:
            column.check(batch.sizes)
    except (StopIteration, RuntimeError, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "its columns differ from those of the file"
        raise BadFile(f"{path} cannot be read as an Arrow file: a record batch is damaged: {why}") from None
    return made


def first_row(fd: Handle, column: ColumnLayout, batch: RecordBatch, path: bytes) -> Any:
    """Return the first row of a column as an Arrow array of one value, or None for a type that only Arrow can read.

    Numbers in lists are read as nulls, and only the field ``bytes`` of structures: this is enough to determine the kind of a column.

    Raises
    ------
    BadFile
        If the column is damaged.
    """
    import pyarrow as pa

    try:
        made = _FirstRows(fd, batch, path).array(column, 1)
        made.validate(full=True)
    except _Unknown:
        return None
    except (pa.ArrowException, ValueError, OSError) as error:
        raise BadFile(f"{show(path)}: the first row cannot be read: {one_line(error)}") from error
    return made


class _FirstRows:
    """The first values of columns of a batch."""

    def __init__(self, fd: Handle, batch: RecordBatch, path: bytes) -> None:
        self._fd, self._batch, self._path = fd, batch, path

    def array(self, column: ColumnLayout, rows: int) -> Any:
        """Return the first rows of a column."""
        import pyarrow as pa
        import pyarrow.types as kinds

        kind = column.kind
        if column.rows < rows:
            raise ValueError("a list extends past the end of its values")
        if kinds.is_struct(kind):
            names = [field.name for field in kind]
            if "bytes" not in names:
                raise _Unknown
            child = self.array(column.children[names.index("bytes")], rows)
            made = pa.struct([("bytes", child.type)])
            return pa.Array.from_buffers(made, rows, [self._valid(column, rows)], children=[child])
        if kinds.is_list(kind) or kinds.is_large_list(kind):
            offsets = self._offsets(column, rows, kinds.is_large_list(kind))
            child = self._values(column.children[0], int(offsets[-1]))
            made = pa.large_list(child.type)
            data = pa.py_buffer(offsets.astype(np.int64))
            return pa.Array.from_buffers(made, rows, [self._valid(column, rows), data], children=[child])
        if kinds.is_fixed_size_list(kind):
            child = self._values(column.children[0], rows * kind.list_size)
            made = pa.list_(child.type, kind.list_size)
            return pa.Array.from_buffers(made, rows, [self._valid(column, rows)], children=[child])
        if kinds.is_binary(kind) or kinds.is_string(kind) or kinds.is_large_binary(kind) or kinds.is_large_string(kind):
            return self._bytes(column, rows)
        raise _Unknown

    def _values(self, column: ColumnLayout, count: int) -> Any:
        """Return values of a list, of which only nested lists are read."""
        import pyarrow as pa

        return self.array(column, count) if column.children else pa.nulls(count)

    def _bytes(self, column: ColumnLayout, rows: int) -> Any:
        import pyarrow as pa
        import pyarrow.types as kinds

        large = kinds.is_large_binary(column.kind) or kinds.is_large_string(column.kind)
        offsets = self._offsets(column, rows, large).astype(np.int64)
        if offsets[0] > _LONGEST:
            raise _Unknown
        kept = min(int(offsets[-1]), _LONGEST)
        data = self._read(column.buffers[2], kept)
        made = pa.large_string() if kinds.is_string(column.kind) or kinds.is_large_string(column.kind) else pa.large_binary()
        if kept < offsets[-1]:  # a text may be cut off inside a character
            made, offsets = pa.large_binary(), np.minimum(offsets, kept)
        buffers = [self._valid(column, rows), pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(made, rows, buffers)

    def _offsets(self, column: ColumnLayout, rows: int, large: bool) -> Any:
        """Return the offsets of values."""
        width = 8 if large else 4
        data = self._read(column.buffers[1], (rows + 1) * width) if column.rows else bytes((rows + 1) * width)
        offsets = np.frombuffer(data, f"<i{width}")
        if offsets[0] < 0 or (np.diff(offsets) < 0).any():
            raise ValueError("a list or text ends before its start")
        return offsets

    def _valid(self, column: ColumnLayout, rows: int) -> Any:
        import pyarrow as pa

        if not column.missing or not self._batch.sizes[column.buffers[0]]:
            return None
        return pa.py_buffer(self._read(column.buffers[0], (rows + 7) // 8))

    def _read(self, number: int, nbytes: int) -> bytes:
        """Read the first bytes of a buffer."""
        import pyarrow as pa

        (offset, stored), size = self._batch.buffers[number].tolist(), int(self._batch.sizes[number])
        if nbytes > size:
            raise ValueError(f"a buffer has {size:,} bytes; {nbytes:,} are needed")
        if self._batch.codec and stored == size + 8 and self._is_plain(offset):
            offset, plain = offset + 8, True
        else:
            plain = not self._batch.codec
        if plain:
            data = bytearray(nbytes)
            read_into(self._fd, [data], offset, self._path)
            return bytes(data)
        with (
            stream_from(self._fd, offset + 8) as raw,
            pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), self._batch.codec) as stream,
        ):
            data = bytearray()
            while len(data) < nbytes and (piece := stream.read(min(_PIECE, nbytes - len(data)))):
                data += piece
        if len(data) < nbytes:
            raise ValueError("a compressed buffer ends too early")
        return bytes(data)

    def _is_plain(self, offset: int) -> bool:
        """Return whether a buffer is stored without compression among others that are compressed."""
        data = bytearray(8)
        read_into(self._fd, [data], offset, self._path)
        return int.from_bytes(data, "little", signed=True) == -1


def _layout(kind: Any, version: int) -> tuple[int, list[Any]]:
    """Return the number of buffers of a type, without buffers of views, and its child types."""
    import pyarrow.types as kinds

    inner = [kind.field(i).type for i in range(kind.num_fields)]
    if kinds.is_null(kind) or kinds.is_run_end_encoded(kind):
        return 0, inner
    if kinds.is_dictionary(kind):
        return 2, []
    if kinds.is_union(kind):
        return (2 if kind.mode == "dense" else 1) + (version < 4), inner
    if kinds.is_struct(kind) or kinds.is_fixed_size_list(kind):
        return 1, inner
    texts = (kinds.is_string, kinds.is_binary, kinds.is_large_string, kinds.is_large_binary)
    views = (kinds.is_list_view, kinds.is_large_list_view)
    return (3 if any(each(kind) for each in (*texts, *views)) else 2), inner


def _width(kind: Any) -> int:
    """Return the bits of a value, 0 for variable length."""
    import pyarrow.types as kinds

    if kinds.is_null(kind) or kinds.is_nested(kind):
        return 0
    try:
        return int(kind.bit_width)
    except ValueError:
        return 0
