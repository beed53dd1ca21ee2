"""Which rows of data at hand a run was trained on, and which it held back for validation, as its split says."""

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

Rows = NDArray[np.int64]


def split_of(run: Path, config: Mapping[str, Any], data: Any, source: Source) -> dict[str, Rows]:
    """Return the rows of a source that a run was trained on, and those that it was validated on, by the name of the part.

    Parameters
    ----------
    run, config
        The run's folder, and what it keeps.
    data, source
        The data at hand, as they were given and opened.

    Returns
    -------
    dict
        Empty where the data are not those of the run: they lie elsewhere, or have other rows. A part is missing that came of other data.
    """
    if not isinstance(data, str | os.PathLike) or "split" not in config or "fingerprints" not in config:
        return {}
    own = os.path.join(config["folder"], config["settings"]["data"])
    if os.path.realpath(own) != os.path.realpath(os.fspath(data)):
        return {}
    file = run / config["split"]["file"]
    if not file.is_file():
        return {}
    return {name: rows for name, rows in _read(file).items() if _are(source, rows, config["fingerprints"].get(name))}


def rows_of_part(split: Mapping[str, Rows], part: str, run: Path) -> Rows:
    """Return the rows of a part of a run's data.

    Raises
    ------
    BadSetting
        If the data at hand do not have it.
    """
    if part not in split:
        raise BadSetting(
            f"the rows that {run} was {'trained' if part == 'train' else 'validated'} on are none of this data: --part is for the data "
            "that the run was trained on, opened as it was then"
        )
    return split[part]


def training_rows_line(split: Mapping[str, Rows], rows: int) -> str | None:
    """Return a line about data in which there are training rows, or None."""
    trained = len(split.get("train", ()))
    if not trained:
        return None
    are = "is a training row" if trained == 1 else "are training rows"
    held = "; --part val evaluates those held back" if len(split.get("val", ())) else ""
    return f"{trained:,} of {counted(rows, 'row')} {are} of this run: this is not a measure for new data{held}"


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
    """Return whether rows of a source are those that have a fingerprint."""
    return bool(len(rows)) and int(rows.max()) < len(source) and source.subset(rows).fingerprint() == fingerprint
