"""Find the rows that a run was validated on again, in its data, in the data of ``--val``, or in a split of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitesize.errors import NotFound
from bitesize.sources.base import Source
from bitesize.sources.splits import SplitRequired, usual_split
from bitesize.training.data import open_for_run
from bitesize.training.data_of_run import data_of, validation_data_of
from bitesize.training.rows_of_run import split_of


def validation_rows(run: Path, config: Mapping[str, Any]) -> Source | None:
    """Return the rows that a run was validated on, with labels as its task takes them; None if it has none.

    Parameters
    ----------
    run, config
        Folder of the run, and its config, with ``classes``.

    Raises
    ------
    BitesizeError
        If they are no longer there, or have changed.
    """
    fingerprint = config.get("fingerprints", {}).get("val")
    if fingerprint is None:
        return None
    if (val := validation_data_of(config)) is not None:
        return _checked(_opened(config, val), fingerprint, val)
    data = data_of(config)
    try:
        source = open_for_run(config, data, {}, split=config["settings"].get("split"), labeled=True)
    except SplitRequired:
        return _checked(_opened(config, data), fingerprint, data)
    rows = split_of(run, config, data, source).get("val")
    return _checked(source if rows is None else source.subset(rows), fingerprint, data)


def _opened(config: Mapping[str, Any], data: str) -> Source:
    """Open validation data; of data with splits, that of validation."""
    try:
        return open_for_run(config, data, {}, labeled=True)
    except SplitRequired as error:
        name = next((name for name in error.splits if usual_split(name) == "val"), None)
        if name is None:
            raise
        return open_for_run(config, data, {}, split=name, labeled=True)


def _checked(source: Source, fingerprint: str, data: str) -> Source:
    if source.fingerprint() != fingerprint:
        why = "files were added, removed or renamed, or have other labels"
        raise NotFound(f"{data} does not have the rows that the run was validated on: {why}")
    return source
