"""The first row of a column of a Parquet file, with the least reading."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

from bitesize.errors import BadFile, BitesizeError, one_line
from bitesize.files.names import show
from bitesize.files.parquet import Chunk, Page, RowGroup, pages
from bitesize.files.parquet_values import first_bytes
from bitesize.files.pread import Handle, with_file
from bitesize.sources.arrow_columns import is_text
from bitesize.sources.text_labels import check_room

# Pages of more bytes are not read for a first value, where that is possible.
_LARGE = 2 << 20
# Bytes of a value that are read: enough to recognize an image, and for any path.
_LONGEST = 1 << 14
# Bytes that Arrow holds for one of a page: as it is stored, decompressed, and as values.
_TIMES = 4


def first_row(file: Any, path: str, number: int, group: RowGroup, field: Any) -> Any:
    """Return the first row of a column of a row group as an Arrow array of one value.

    Where pages are large it is the first value that is not missing, or its beginning.

    Parameters
    ----------
    file
        Arrow's reader of the file ``path``.
    number, group
        The row group, and what the file says of it.
    field
        The column, from the schema of Arrow.

    Raises
    ------
    BadFile
        If the column is damaged.
    DoesNotFit
        If a page needs more than a quarter of the available memory.
    """
    import pyarrow as pa

    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    in_struct = pa.types.is_struct(kind)
    chunks = [each for each in group.chunks if each.name == field.name or each.name.startswith(f"{field.name}.")]
    if in_struct:  # of images, which is the only structure that is read
        chunks = [each for each in chunks if each.name == f"{field.name}.bytes"]
    try:
        for chunk in chunks:
            first = with_file(os.fsencode(path), partial(_first_pages, chunk, path=os.fsencode(path)))
            if chunk.type == "BYTE_ARRAY" and sum(page.nbytes for page in first) > _LARGE:
                value = with_file(os.fsencode(path), partial(_value, file, chunk, first[0], path=os.fsencode(path)))
                if value is not None:
                    return _as_array(value, kind, in_struct)
            check_room(_TIMES * sum(page.nbytes for page in first), f"the first page of {chunk.name!r} of {path}")
        columns = [f"{field.name}.bytes"] if in_struct and chunks else [field.name]
        batch = next(file.iter_batches(1, row_groups=[number], columns=columns, use_threads=False))
        return batch.column(0)
    except BitesizeError:
        raise
    except Exception as error:  # Arrow raises many types for damaged pages
        why = one_line(f"{type(error).__name__} {error}")
        raise BadFile(f"row group {number} of {path} cannot be read: {why}") from error


def _first_pages(chunk: Chunk, fd: Handle, path: bytes) -> list[Page]:
    """Return the first page with values, and the dictionary before it."""
    first_pages = []
    for page in pages(fd, chunk.start, chunk.stored, path) if chunk.values else ():
        first_pages.append(page)
        if sum(each.nbytes for each in first_pages) > chunk.nbytes or page.values > chunk.values:
            raise BadFile(
                f"{show(path)}: the pages of the column {chunk.name!r} decompress to more than the {chunk.nbytes:,} bytes and "
                f"{chunk.values:,} values that the metadata declares"
            )
        if page.values:
            break
    return first_pages


def _value(found: Any, chunk: Chunk, page: Page, fd: Handle, path: bytes) -> bytes | None:
    """Return the first bytes of the first value of a column, None if the whole page is needed."""
    schema = found.metadata.schema
    leaf = next((leaf for leaf in map(schema.column, range(len(schema))) if leaf.path == chunk.name), None)
    if leaf is None or leaf.max_repetition_level:
        return None
    return first_bytes(fd, page, chunk.codec, leaf.max_definition_level > 0, _LONGEST, path)


def _as_array(value: bytes, kind: Any, in_struct: bool) -> Any:
    """Return a value as an array of one value of a type like ``kind``."""
    import pyarrow as pa

    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    ends = pa.py_buffer(np.array([0, len(value)], np.int32))
    # Not pa.array, which imports pandas.
    made = pa.Array.from_buffers(pa.string() if is_text(inner) else pa.binary(), 1, [None, ends, pa.py_buffer(value)])
    if not in_struct:
        return made
    return pa.Array.from_buffers(pa.struct([("bytes", made.type)]), 1, [None], children=[made])
