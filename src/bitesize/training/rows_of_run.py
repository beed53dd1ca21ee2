"""Find the rows of given data that a run was trained or validated on, from its recorded split."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.memory.sizes import counted
from bitesize.sources.base import Source
from bitesize.training.data_of_run import is_data_of

Rows = NDArray[np.int64]


def split_of(run: Path, config: Mapping[str, Any], data: Any, source: Source) -> dict[str, Rows]:
    """Return the rows of a source that a run was trained on and validated on, by the name of the part.

    Parameters
    ----------
    run, config
        Folder and config of the run.
    data, source
        The data as given, and the opened source.

    Returns
    -------
    dict
        Rows of each part. Empty if the data is not the run's data: it has another path or other rows. A part is missing if it
        came from other data.
    """
    if "split" not in config or "fingerprints" not in config or not is_data_of(config, data):
        return {}
    file = run / config["split"]["file"]
    if not file.is_file():
        return {}
    return {name: rows for name, rows in _read(file).items() if _are(source, rows, config["fingerprints"].get(name))}


def rows_of_part(split: Mapping[str, Rows], part: str, run: str | os.PathLike[str]) -> Rows:
    """Return the rows of a part of a run's data.

    Raises
    ------
    BadSetting
        If the given data does not contain the part.
    """
    if part not in split:
        raise BadSetting(
            f"none of this data are rows that {run} was {'trained' if part == 'train' else 'validated'} on: use --part with the data of "
            "the run, opened with the same settings"
        )
    return split[part]


def training_rows_line(split: Mapping[str, Rows], rows: int) -> str | None:
    """Return a line about training rows in the data, or None."""
    trained = len(split.get("train", ()))
    if not trained:
        return None
    are = "is a training row" if trained == 1 else "are training rows"
    held = "; use --part val to evaluate the validation rows" if len(split.get("val", ())) else ""
    return f"{trained:,} of {counted(rows, 'row')} {are} of this run: the figures do not apply to new data{held}"


def _read(file: Path) -> dict[str, Rows]:
    if file.suffix == ".npz":
        with np.load(file) as parts:
            return dict(parts)
    numbers: dict[str, list[int]] = {}
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        for line in csv.DictReader(lines):
            numbers.setdefault(line["part"], []).append(int(line["row"]))
    return {name: np.array(rows, np.int64) for name, rows in numbers.items()}


def _are(source: Source, rows: Rows, fingerprint: str | None) -> bool:
    """Return whether rows of a source match a fingerprint."""
    return bool(len(rows)) and int(rows.max()) < len(source) and source.subset(rows).fingerprint() == fingerprint
