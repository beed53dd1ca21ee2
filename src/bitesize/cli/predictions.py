"""Write predictions as CSV, Parquet and JSON, batch by batch."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# About how many bytes a line has for its path and class, and for each probability.
_NAME_NBYTES, _VALUE_NBYTES = 80, 9
Add = Callable[[list[str], list[str], Any, list[str]], None]


def open_file(out: str | None, classes: tuple[str, ...], rows: int = 0) -> contextlib.AbstractContextManager[Add]:
    """Open the file for predictions by its suffix; without a file, rows are dropped.

    At an address, the file is written on the disk first, where there must be room for this number of rows.
    """
    if out is None:
        return contextlib.nullcontext(lambda *_: None)
    nbytes = rows * (_NAME_NBYTES + _VALUE_NBYTES * len(classes))
    return csv_file(out, classes, nbytes) if Path(out).suffix == ".csv" else parquet_file(out, classes, nbytes)


@contextlib.contextmanager
def csv_file(out: str, classes: tuple[str, ...], nbytes: int = 0) -> Iterator[Add]:
    """Write a CSV, and yield the function that adds rows: paths, classes, probabilities and reasons.

    The file starts with a UTF-8 byte order mark; without it, Excel reads names in another encoding.
    """
    from bitesize.files.transfer import replacing_at

    with replacing_at(out, nbytes) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "predicted", *(f"p_{name}" for name in classes), "error"])

        def add(paths: list[str], predicted: list[str], probabilities: Any, reasons: list[str]) -> None:
            for path, name, line, reason in zip(paths, predicted, probabilities.tolist(), reasons, strict=True):
                shown = ["" if math.isnan(p) else f"{p:.6f}" for p in line]
                writer.writerow([path, name, *shown, reason])

        yield add


@contextlib.contextmanager
def parquet_file(out: str, classes: tuple[str, ...], nbytes: int = 0) -> Iterator[Add]:
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
    names = [("path", pa.string()), ("predicted", pa.string()), *((f"p_{name}", pa.float32()) for name in classes)]
    schema = pa.schema([*names, ("error", pa.string())])
    with replacing_at(out, nbytes) as temporary, pq.ParquetWriter(temporary, schema) as writer:

        def add(paths: list[str], predicted: list[str], probabilities: Any, reasons: list[str]) -> None:
            writer.write_table(pa.table([paths, predicted, *probabilities.T, reasons], schema=schema))

        yield add


class JsonOut:
    """Predictions as one JSON object on stdout, written batch by batch.

    Parameters
    ----------
    classes
        Class names.
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes, self._mark = classes, ""
        self._write(f'{{"classes": {_json(list(classes))}, "predictions": [')

    def add(self, paths: list[str], predicted: list[str], probabilities: Any, reasons: list[str]) -> None:
        """Print rows; see `csv_file`."""
        for path, name, line, reason in zip(paths, predicted, probabilities.tolist(), reasons, strict=True):
            values = {each: round(p, 6) for each, p in zip(self._classes, line, strict=True)} if name else None
            row = {"path": path, "predicted": name or None, "probabilities": values, "error": reason or None}
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
