"""`packing.json`: how a store is being packed, until its manifest is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bitesize.files.atomic import write_text
from bitesize.files.stores import PACKING, UNFINISHED
from bitesize.packed.info import read_json
from bitesize.storage.address import Folder


def write_packing(folder: Path, plan: dict[str, Any]) -> None:
    """Record how a store is being packed."""
    write_text(folder / PACKING, json.dumps({"format": UNFINISHED, **plan}, indent=1) + "\n")


def read_packing(folder: Folder) -> dict[str, Any]:
    """Return how a store is being packed; empty if the record is of another format.

    Raises
    ------
    NotFound, PackedError
        If there is no record, or it is damaged.
    """
    value = read_json(folder / PACKING)
    return value if isinstance(value, dict) and value.get("format") == UNFINISHED else {}
