"""Starts the program that reads hostile files, and waits for what it tells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def outcome(kind: str, count: int, seed: int, folder: Path, seconds: float = 900) -> dict[str, Any]:
    """Read ``count`` hostile files in a process of its own.

    Raises
    ------
    AssertionError
        If it did not come to its end: it crashed, hung, or an error was raised that is none of a bad row.
    """
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.programs.hostile_files",
        kind,
        str(count),
        str(seed),
        str(folder),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told
