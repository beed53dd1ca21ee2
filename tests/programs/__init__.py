"""Programs that tests start in a process of their own, because a backend, a limit or a signal concerns the whole process.

Each also runs by hand: ``python -m tests.programs.NAME ARGUMENTS``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def program(name: str, *arguments: object) -> list[str]:
    """Return the command that starts a program of this folder, with `ROOT` as the current folder."""
    return [sys.executable, "-m", f"tests.programs.{name}", *map(str, arguments)]


def run_program(name: str, *arguments: object, timeout: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this folder to its end, and require that it succeeds."""
    done = subprocess.run(
        program(name, *arguments),
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=timeout
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done
