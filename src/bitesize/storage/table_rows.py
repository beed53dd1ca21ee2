"""Rows of tables that may be objects: text with or without gzip, and Parquet."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Iterator, Mapping
from typing import Any

from bitesize.errors import BadFile, MissingPackage
from bitesize.packages import is_installed, pip_install
from bitesize.storage import paths

_ROWS = 65_536  # of Parquet in memory


@contextlib.contextmanager
def text_of(name: str) -> Iterator[io.TextIOWrapper]:
    """Open a text file in UTF-8, compressed if its name ends with ``.gz``; lines keep their ends, as `csv` needs it.

    Raises
    ------
    BadFile
        If it is not text, or damaged.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(paths.open(name))
        if name.lower().endswith(".gz"):
            file = stack.enter_context(gzip.GzipFile(fileobj=file))  # type: ignore[assignment]
        text = stack.enter_context(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        try:
            yield text
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise BadFile(f"{name} is damaged, or no text: {error}") from error


def parquet_rows(name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a Parquet file.

    Raises
    ------
    BadFile
        If it is damaged.
    MissingPackage
        If pyarrow is not installed.
    """
    if not is_installed("pyarrow"):
        raise MissingPackage(f"{name} needs pyarrow: {pip_install('pyarrow')}")
    import pyarrow
    import pyarrow.parquet

    with paths.open(name) as file:
        try:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(_ROWS):
                yield from batch.to_pylist()
        except pyarrow.ArrowInvalid as error:
            raise BadFile(f"{name} is damaged: {error}") from error
