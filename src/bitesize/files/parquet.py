"""Metadata of Parquet files, read without Arrow: it predicts the memory that Arrow will allocate.

The metadata at the end of a file declares the decompressed size of each column of a row group. Each page declares its own size, which is
the size that readers use. Arrow reads the metadata, too, but aborts the process if some of it is inconsistent. Format: https://parquet.apache.org/docs/file-format/, in the compact protocol of Thrift,
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into

_WINDOW = 1 << 10  # bytes of a header that are read first
_LONGEST = 1 << 24  # maximum bytes of a header, including its statistics
_DEEPEST = 16
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
_DATA, _INDEX, _DICTIONARY, _DATA_V2 = range(4)
_BY_NUMBER = {2, 8}  # encodings whose values are indices of dictionary entries


# Types by number; others are as long unchanged, and all of one length or each of its own.
TYPES = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
CODECS = ("uncompressed", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw")


class Chunk(NamedTuple):
    """A column of a row group.

    Attributes
    ----------
    name : str
        Name of the column; for nested columns the names of the levels, joined by dots.
    type, codec : str
        One of `TYPES`, and of `CODECS`.
    values : int
        Number of values, including missing values.
    start, stored, nbytes : int
        Offset of its pages in the file, their bytes there, and their bytes decompressed.
    by_number : bool
        Whether its values may be indices of dictionary entries.
    longest : int
        Bytes of the longest value, if known, else 0.
    """

    name: str
    type: str
    codec: str
    values: int
    start: int
    stored: int
    nbytes: int
    by_number: bool
    longest: int


class RowGroup(NamedTuple):
    """A row group.

    Attributes
    ----------
    rows : int
    chunks : list of Chunk
    """

    rows: int
    chunks: list[Chunk]


class Page(NamedTuple):
    """A page of a column.

    Attributes
    ----------
    offset : int
        Offset of its bytes in the file, after its header.
    stored, nbytes : int
        Bytes in the file, and decompressed.
    values : int
    dictionary : bool
        Whether the page is a dictionary.
    numbers : bool
        Whether its values are indices of dictionary entries.
    encoding : int
        Encoding of its values; 0 is plain.
    levels : int
        Bytes of levels before the values, which are never compressed.
    compressed : bool
        Whether its values are compressed, if the column is.
    """

    offset: int
    stored: int
    nbytes: int
    values: int
    dictionary: bool
    numbers: bool
    encoding: int
    levels: int
    compressed: bool


class _Short(Exception):
    """The header is longer than the bytes read."""


def row_groups(fd: Handle, size: int, path: bytes) -> list[RowGroup]:
    """Return the row groups in the metadata of a file of ``size`` bytes.

    Raises
    ------
    BadFile
        If the metadata is damaged, or points outside the file.
    """
    end = bytearray(8)
    if size >= 12:
        read_into(fd, [end], size - 8, path)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length > size - 12:
        raise BadFile(f"{show(path)} is not a Parquet file, or is truncated: its end is missing")
    data = bytearray(length)
    read_into(fd, [data], size - 8 - length, path)
    try:
        found = _struct(data, 0, 0)[0].get(4)
        return [_row_group(group, size) for group in found or ()]
    except (_Short, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        why = "they end too early" if isinstance(error, _Short) else error
        raise BadFile(f"{show(path)}: its metadata is damaged: {why}") from None


def _row_group(group: dict[int, Any], size: int) -> RowGroup:
    if not isinstance(group[3], int) or group[3] < 0:
        raise ValueError("a row group has a negative number of rows")
    return RowGroup(group[3], [_chunk(column[3], size) for column in group[1]])


def _chunk(about: dict[int, Any], size: int) -> Chunk:
    values, nbytes, stored, start = numbers = [about[i] for i in (5, 6, 7, 9)]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a column has a negative number of values or bytes")
    dictionary = about.get(11)
    if isinstance(dictionary, int) and 0 < dictionary < start:
        start = dictionary
    if start + stored > size:
        raise ValueError("a column extends past the end of the file")
    known = about.get(12, {})
    longest = max((len(known[i]) for i in (1, 5) if isinstance(known.get(i), bytes)), default=0)
    name = ".".join(part.decode("utf-8", "backslashreplace") for part in about[3])
    by_number = not _BY_NUMBER.isdisjoint(about[2])
    return Chunk(name, TYPES[about[1]], CODECS[about[4]], values, start, stored, nbytes, by_number, longest)


def pages(fd: Handle, start: int, nbytes: int, path: bytes) -> Iterator[Page]:
    """Return the pages of a column of a row group, which occupies ``nbytes`` bytes of a file.

    Raises
    ------
    BadFile
        If a header is damaged, or points outside the column.
    """
    at, end = start, start + nbytes
    while at < end:
        header, length = _header(fd, at, end, path)
        page = _page(header, at + length)
        if page is None or page.offset + page.stored > end:
            raise BadFile(f"{show(path)}: the page at byte {at:,} is damaged: its header does not fit the file")
        yield page
        at = page.offset + page.stored


def _header(fd: Handle, at: int, end: int, path: bytes) -> tuple[dict[int, Any], int]:
    window = _WINDOW
    while True:
        data = bytearray(min(window, end - at))
        read_into(fd, [data], at, path)
        try:
            return _struct(data, 0, 0)
        except _Short:
            if len(data) == end - at or window >= _LONGEST:
                raise BadFile(f"{show(path)}: the page at byte {at:,} is damaged: its header has no end") from None
            window *= 16
        except ValueError as error:
            raise BadFile(f"{show(path)}: the page at byte {at:,} is damaged: {error}") from None


def _page(header: dict[int, Any], offset: int) -> Page | None:
    kind, nbytes, stored = (header.get(i) for i in (1, 2, 3))
    if not all(isinstance(number, int) and number >= 0 for number in (kind, nbytes, stored)):
        return None
    about = header.get({_DATA: 5, _INDEX: 6, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 0))  # type: ignore[arg-type]
    about = about if isinstance(about, dict) else {}
    values, encoding = about.get(1, 0), about.get(4 if kind == _DATA_V2 else 2, 0)
    if not isinstance(values, int) or not isinstance(encoding, int) or min(values, encoding) < 0:
        return None
    numbers = kind in (_DATA, _DATA_V2) and encoding in _BY_NUMBER
    lengths = [about.get(i, 0) if kind == _DATA_V2 else 0 for i in (5, 6)]
    if not all(isinstance(length, int) and length >= 0 for length in lengths) or sum(lengths) > stored:  # type: ignore[operator]
        return None
    if kind not in (_DATA, _DATA_V2):
        values = 0
    compressed = kind != _DATA_V2 or about.get(7, True) is not False
    return Page(offset, stored, nbytes, values, kind == _DICTIONARY, numbers, encoding, sum(lengths), compressed)  # type: ignore[arg-type]


def _struct(data: bytearray, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a structure by number, and its end."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        byte = _byte(data, at)
        at += 1
        kind = byte & 15
        if kind == _STOP:
            return fields, at
        if byte >> 4:
            number += byte >> 4
        else:
            number, at = _zigzag(data, at)
        if kind in (_TRUE, _FALSE):  # the value is in the type
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)


def _value(data: bytearray, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """Return a value and its end."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if kind in (_TRUE, _FALSE, _BYTE):  # in lists a boolean has a separate byte
        return _byte(data, at), at + 1
    if kind in (_I16, _I32, _I64):
        return _zigzag(data, at)
    if kind == _DOUBLE:
        _byte(data, at + 7)
        return None, at + 8
    if kind == _BINARY:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise _Short
        return bytes(data[at : at + length]), at + length
    if kind in (_LIST, _SET):
        byte = _byte(data, at)
        at += 1
        count = byte >> 4
        if count == 15:
            count, at = _varint(data, at)
        values = []
        for _ in range(count):
            value, at = _value(data, at, byte & 15, depth + 1)
            values.append(value)
        return values, at
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    raise ValueError(f"it has a value of type {kind}")


def _byte(data: bytearray, at: int) -> int:
    if at >= len(data):
        raise _Short
    return data[at]


def _varint(data: bytearray, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = _byte(data, at)
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("it has a number of more than 64 bits")


def _zigzag(data: bytearray, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at
