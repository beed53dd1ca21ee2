"""The first value of a column of a Parquet file, read without its whole page.

A page of large values has hundreds of MiB: writers check the size only every thousand values.
"""

from __future__ import annotations

import zlib

from bitesize.files.parquet import Page
from bitesize.files.pread import Handle, read_into, stream_from

_PLAIN = 0  # values are written without an encoding
_ROOM = 1 << 16  # maximum bytes of the levels before the values
_PIECE = 1 << 16  # compressed bytes that are read, more than the value needs
_STREAMED = ("zstd", "brotli")
_GZIP = 47  # for zlib: a header of gzip or zlib


def first_bytes(fd: Handle, page: Page, codec: str, nullable: bool, most: int, path: bytes) -> bytes | None:
    """Return the first bytes of the first value of a page of texts or bytes.

    Parameters
    ----------
    fd, path
        The file.
    page
        A dictionary or a page of values of a column outside lists.
    codec
        One of `bitesize.files.parquet.CODECS`.
    nullable
        Whether values may be missing.
    most
        Maximum number of bytes to return.

    Returns
    -------
    bytes or None
        None if the whole page is needed: for other encodings, and for codecs other than Snappy, gzip, Zstandard and Brotli.

    Raises
    ------
    BadFile
        If the file ends too early.
    """
    if page.encoding not in (_PLAIN, _PLAIN + 2 * page.dictionary):
        return None
    levels = nullable and not page.dictionary and not page.levels
    data = _beginning(fd, page, codec, most + 4 + (_ROOM if levels else 0), path)
    if data is None:
        return None
    at = 4 + int.from_bytes(data[:4], "little") if levels else 0
    if at + 4 > len(data):
        return None
    start = at + 4
    return data[start : start + min(most, int.from_bytes(data[at:start], "little"))]


def _beginning(fd: Handle, page: Page, codec: str, nbytes: int, path: bytes) -> bytes | None:
    """Return the first bytes of the values of a page, decompressed, or None for a codec that cannot be decompressed partially."""
    offset, stored = page.offset + page.levels, page.stored - page.levels
    if codec == "uncompressed" or not page.compressed:
        data = bytearray(min(stored, nbytes))
        read_into(fd, [data], offset, path)
        return bytes(data)
    if codec in _STREAMED:
        return _streamed(fd, offset, codec, nbytes)
    data = bytearray(min(stored, 2 * nbytes + _PIECE))
    read_into(fd, [data], offset, path)
    if codec == "snappy":
        return _snappy(data, nbytes)
    if codec == "gzip":
        try:
            return zlib.decompressobj(_GZIP).decompress(data, nbytes)
        except zlib.error:
            return None
    return None


def _streamed(fd: Handle, offset: int, codec: str, nbytes: int) -> bytes | None:
    import pyarrow as pa

    values = bytearray()
    with stream_from(fd, offset) as raw:
        try:
            with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec) as stream:
                while len(values) < nbytes and (piece := stream.read(nbytes - len(values))):
                    values += piece
        except (OSError, pa.ArrowException):
            return None
    return bytes(values)


def _snappy(data: bytearray, nbytes: int) -> bytes | None:
    """Return the first bytes of a block of Snappy; https://github.com/google/snappy/blob/main/format_description.txt."""
    at, values = 0, bytearray()
    while at < len(data) and data[at] & 128:  # the total length, which is known
        at += 1
    at += 1
    while len(values) < nbytes and at < len(data):
        tag, kind = data[at] >> 2, data[at] & 3
        at += 1
        if kind == 0:  # literal bytes
            extra = max(0, tag - 59)
            length = 1 + (int.from_bytes(data[at : at + extra], "little") if extra else tag)
            at += extra
            values += data[at : at + min(length, nbytes)]
            at += length
            continue
        width = (1, 2, 4)[kind - 1]
        back = int.from_bytes(data[at : at + width], "little")
        at += width
        length = 1 + tag
        if kind == 1:
            back, length = back | tag >> 3 << 8, 4 + (tag & 7)
        if not 0 < back <= len(values):
            return None
        for _ in range(length):
            values.append(values[-back])
    return bytes(values[:nbytes])
