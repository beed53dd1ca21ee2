"""Write predictions as CSV, Parquet and JSON, batch by batch."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitesize.training.tasks.base import Task

# About how many bytes a line has for its path and class, and for each number.
_NAME_NBYTES, _VALUE_NBYTES = 80, 9
# Adds rows: paths, predictions, whether each row has one, reasons, and files of masks if there are any.
Add = Callable[..., None]


def open_file(out: str | None, task: Task, rows: int = 0, *, masks: bool = False) -> contextlib.AbstractContextManager[Add]:
    """Open the file for predictions by its suffix, with a column of the files of masks or without; without a file, rows are dropped.

    At an address, the file is written on the disk first, where there must be room for this number of rows.
    """
    if out is None:
        return contextlib.nullcontext(lambda *_: None)
    nbytes = rows * ((1 + masks) * _NAME_NBYTES + _VALUE_NBYTES * len(task.names))
    return csv_file(out, task, nbytes, masks) if Path(out).suffix == ".csv" else parquet_file(out, task, nbytes, masks)


@contextlib.contextmanager
def csv_file(out: str, task: Task, nbytes: int = 0, masks: bool = False) -> Iterator[Add]:
    """Write a CSV, and yield the function that adds rows: paths, predictions, whether each row has one, reasons, and files of masks.

    The file starts with a UTF-8 byte order mark; without it, Excel reads names in another encoding.
    """
    from bitesize.files.transfer import replacing_at

    with replacing_at(out, nbytes) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *_mask_column(masks), *(column.name for column in _no_rows(task)), "error"])

        def add(paths: list[str], predictions: Any, known: Any, reasons: list[str], *files: list[str]) -> None:
            cells = [_texts(column.values, task.digits) for column in task.columns(predictions, known)]
            writer.writerows(zip(paths, *files, *cells, reasons, strict=True))

        yield add


def _mask_column(masks: bool) -> list[str]:
    """Return the names of the columns between the path and those of the task."""
    return ["mask"] if masks else []


def _texts(values: Any, digits: str) -> list[str]:
    """Return the cells of a column as text; empty for NaN."""
    if isinstance(values, list):
        return values
    return ["" if math.isnan(value) else format(value, digits) for value in values.tolist()]


def _no_rows(task: Task) -> Any:
    """Return the columns of a task, without rows."""
    import numpy as np

    return task.columns(np.empty((0, task.width), np.float32), np.empty(0, np.bool_))


@contextlib.contextmanager
def parquet_file(out: str, task: Task, nbytes: int = 0, masks: bool = False) -> Iterator[Add]:
    """Write Parquet, and yield the function that adds rows; see `csv_file`.

    Raises
    ------
    MissingPackage
        If pyarrow is not installed.
    """
    from bitesize.errors import MissingPackage
    from bitesize.files.transfer import replacing_at
    from bitesize.packages import pip_install

    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingPackage(f"writing Parquet needs pyarrow: {pip_install('pyarrow')}") from error
    kinds = [(column.name, pa.string() if isinstance(column.values, list) else pa.float32()) for column in _no_rows(task)]
    files_kinds = [(name, pa.string()) for name in _mask_column(masks)]
    schema = pa.schema([("path", pa.string()), *files_kinds, *kinds, ("error", pa.string())])
    with replacing_at(out, nbytes) as temporary, pq.ParquetWriter(temporary, schema) as writer:

        def add(paths: list[str], predictions: Any, known: Any, reasons: list[str], *files: list[str]) -> None:
            cells = [column.values for column in task.columns(predictions, known)]
            writer.write_table(pa.table([paths, *files, *cells, reasons], schema=schema))

        yield add


class JsonOut:
    """Predictions as one JSON object on stdout, written batch by batch.

    Parameters
    ----------
    task
        What the model has learned.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._mark = task, ""
        head = "".join(f"{_json(name)}: {_json(value)}, " for name, value in task.json_head().items())
        self._write(f'{{{head}"predictions": [')

    def add(self, paths: list[str], predictions: Any, known: Any, reasons: list[str], *files: list[str]) -> None:
        """Print rows; see `csv_file`."""
        masks = files[0] if files else None
        # As Python numbers, the voxels of a mask would take ten times as much memory; only their shares are printed.
        values_of_rows = predictions if self._task.predictions_are == "masks" else predictions.tolist()
        rows = zip(paths, values_of_rows, known.tolist(), reasons, strict=True)
        for i, (path, values, there, reason) in enumerate(rows):
            mask = {} if masks is None else {"mask": masks[i] or None}
            row = {"path": path, **mask, **self._task.json_row(values if there else None), "error": reason or None}
            self._write(f"{self._mark}{_json(row)}")
            self._mark = ", "

    def end(self, said: list[str], rows: int, errors: int) -> None:
        """Print the rest of the object."""
        self._write(f'], "rows": {rows}, "errors": {errors}, "said": {_json(said)}}}\n')

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
