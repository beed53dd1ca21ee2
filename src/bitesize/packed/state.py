"""`packing.json`: how a store is being packed, until its manifest is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bitesize.files.atomic import write_text
from bitesize.packed.info import read_json

PACKING = "packing.json"
_FORMAT = "bitesize packing"


def is_unfinished(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a store that was not packed to its end."""
    return (Path(folder) / PACKING).is_file()


def write_packing(folder: Path, plan: dict[str, Any]) -> None:
    """Record how a store is being packed."""
    write_text(folder / PACKING, json.dumps({"format": _FORMAT, **plan}, indent=1) + "\n")


def read_packing(folder: Path) -> dict[str, Any]:
    """Return how a store is being packed; empty if the record is of another format.

    Raises
    ------
    NotFound, PackedError
        If there is no record, or it is damaged.
    """
    value = read_json(folder / PACKING)
    return value if isinstance(value, dict) and value.get("format") == _FORMAT else {}
