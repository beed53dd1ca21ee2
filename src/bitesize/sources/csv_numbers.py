"""CSV, TSV and JSON lines of numbers, loaded into an Arrow table of bounded size."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bitesize.errors import BadFile, BadSetting, DoesNotFit, MissingPackage, one_line
from bitesize.files.state import FileState
from bitesize.memory.limits import available
from bitesize.memory.sizes import format_size
from bitesize.packages import pip_install
from bitesize.sources.arrow_rows import ArrowSource
from bitesize.sources.arrow_stacked import fits_float
from bitesize.sources.arrow_table import TableChunk, pool
from bitesize.sources.base import OpenOptions
from bitesize.sources.column_names import LABELS, PERHAPS_PATHS, first_named, match, plain
from bitesize.sources.protocol import ChunkStarts
from bitesize.sources.splits import COLUMNS
from bitesize.sources.text_table import JSON_LINES, delimiter_of
from bitesize.storage import paths
from bitesize.storage.url import is_url

# Maximum ratio of the bytes of a table to the bytes of its text: two characters become eight bytes.
_GROWS = 4
# Bytes of text that are read at a time.
_BLOCK = 1 << 20


class NumberTable(ArrowSource):
    """Tables of numbers with the same columns, read from text; the Arrow table is in memory, and counted in ``nbytes``."""

    label_field: ClassVar[str] = "y"
    text_may_be_numbers: ClassVar[bool] = True

    def __init__(self, paths: Sequence[str], options: OpenOptions, labels: Sequence[str]) -> None:
        import pyarrow as pa

        self._states = {path: FileState.of(os.fsencode(path)) for path in paths}
        tables = [_read(path, labels) for path in paths]
        for path, table in zip(paths, tables, strict=True):
            if table.column_names != tables[0].column_names:
                raise BadFile(
                    f"{path} has the columns {', '.join(table.column_names)}, and {paths[0]} {', '.join(tables[0].column_names)}"
                )
        self._content = pa.concat_tables(tables, promote_options="permissive")
        counts = [table.num_rows for table in tables]
        self._lines_known = [_lines_are_rows(path, count) for path, count in zip(paths, counts, strict=True)]
        where = paths[0] if len(paths) == 1 else f"{len(paths)} files from {paths[0]}"
        files = list(zip(paths, counts, strict=True))
        super().__init__([TableChunk(self._content.num_rows, 0)], options, where, None, files)
        if self.feature_names is None and options.fields is None:
            lost = first_named(self._names, PERHAPS_PATHS)
            hint = (
                f". If {lost!r} names files, no such files are next to it: bs.open(FOLDER, labels={paths[0]!r})"
                if lost
                else ""
            )
            raise BadFile(
                f"{where} has no column of paths of existing files, such as path or file_name, and no column of numbers: "
                f"it has {', '.join(self._names)}{hint}"
            )

    def _read_part(self, number: int) -> Any:
        return self._content

    def _fits_float(self, name: str) -> bool:
        return fits_float(self._content.column(name))

    def chunks(self) -> ChunkStarts | None:
        """Return None: rows in memory cost the same in any order."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of the table, and of labels."""
        return super().nbytes + int(self._content.nbytes)

    def check_unchanged(self) -> None:
        """Do nothing: rows are in memory, and do not depend on changes of the file."""

    def describe(self, row: int) -> str:
        """Return the file and the line in it."""
        file, inside = self._file_of(row), self._row_in_file(row)
        known = self._lines_known[self._files.index(file)]
        return f"{file}, line {inside + 1 + known}" if known is not None else f"{file}, row {inside}"


def read_numbers(tables: Sequence[str], options: OpenOptions) -> NumberTable:
    """Return the source of tables of numbers.

    Raises
    ------
    MissingPackage
        If pyarrow is not installed.
    DoesNotFit
        If the tables need more than a quarter of the available memory.
    BadFile
        If the files cannot be read as tables, or have no header line.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingPackage(
            f"{tables[0]} is a table of numbers, and reading such tables needs pyarrow: {pip_install('pyarrow')}"
        ) from error
    size, room = sum(map(paths.getsize, tables)), available().room
    if size * _GROWS > room:
        name = paths.basename(tables[0])
        made = os.path.splitext(name)[0] + ".parquet"
        raise DoesNotFit(
            f"{tables[0]} has {format_size(size)} of text, but a quarter of the available memory is {format_size(room // 4)}. "
            "Convert it to Parquet, which is read in parts:\n"
            "  import pyarrow.csv as csv, pyarrow.parquet as pq; blocks = csv.open_csv("
            f"{name!r})\n"
            f"  with pq.ParquetWriter({made!r}, blocks.schema) as out: [out.write_batch(block) for block in blocks]"
        )
    names = _names(tables[0])
    return NumberTable(tables, options, _text_columns(names, options))


def _names(path: str) -> list[str]:
    """Return the names of the columns; empty for JSON lines, whose columns are never read as text."""
    if path.lower().endswith(JSON_LINES):
        return []
    return delimiter_of(path)[1]


def _text_columns(names: Sequence[str], options: OpenOptions) -> list[str]:
    """Return the columns that are read as text: labels, to keep leading zeros, and splits."""
    if isinstance(options.labels, str):
        label = match(options.labels, names)
    elif isinstance(options.fields, Mapping):
        field = first_named(options.fields, LABELS)
        label = None if field is None else match(options.fields[field], names)
    else:
        label = None if options.labels is not None else first_named(names, LABELS)
    return [name for name in names if name == label or plain(name) in COLUMNS]


def _read(path: str, texts: Sequence[str]) -> Any:
    """Return a table, with some columns read as text."""
    import pyarrow as pa
    from pyarrow import csv, json

    try:
        file = paths.open(path) if is_url(path) else path
        if path.lower().endswith(JSON_LINES):
            return json.read_json(file, json.ReadOptions(use_threads=False, block_size=_BLOCK), memory_pool=pool())
        delimiter, names = delimiter_of(path)
        return csv.read_csv(
            file,
            csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=names, skip_rows=1),
            csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string())),
            memory_pool=pool(),
        )
    except pa.ArrowException as error:
        raise BadFile(f"{path} cannot be read as a table: {one_line(error, 300)}") from error


def _lines_are_rows(path: str, rows: int) -> int | None:
    """Return the number of lines before the first row, or None if rows and lines differ."""
    head = 0 if path.lower().endswith(JSON_LINES) else 1
    lines, last = 0, b"\n"
    with paths.open(path) as file:
        while block := file.read(_BLOCK):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return head if lines + (last != b"\n") == rows + head else None


def refuse_recordings(paths: Sequence[str], names: Sequence[str]) -> None:
    """Raise `BadSetting` for several tables of numbers without labels: it is ambiguous whether a row or a file is a sample."""
    first = paths[0]
    raise BadSetting(
        f"{len(paths)} tables of numbers, such as {first} ({', '.join(names[:6])}), without a column of labels: tables of one sample each are "
        "not supported. Convert each to a .npy file in the same folder:\n"
        "  import glob, numpy as np\n"
        '  for name in glob.glob("**/*.csv", recursive=True): '
        'np.save(name[:-4] + ".npy", np.loadtxt(name, delimiter=",", skiprows=1))\n'
        'If each row is a sample, name the column of labels, labels="...", or open one table.'
    )
