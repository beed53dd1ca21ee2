"""Where the command line prints: results to stdout, errors and progress to stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

console = Console()
errors = Console(stderr=True)


def command() -> str:
    """Give what starts this program from here, for lines that people copy: it may be in an environment that is not active."""
    if shutil.which("bitesize") is not None:
        return "bitesize"
    beside = os.path.join(os.path.dirname(sys.executable), "bitesize")
    return os.path.relpath(beside) if os.path.exists(beside) else "python -m bitesize"


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, whatever the terminal's width."""
    text = json.dumps(value, ensure_ascii=False) + "\n"
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))  # what is no text is escaped, as JSON has it


def plain(text: object) -> str:
    """Escape what a user named, such as a folder ``[bold]``, so that it is not taken for markup."""
    return escape(str(text))


def left_out_line(left_out: Any) -> str | None:
    """Say what a scan left out, or None; safe to print, whatever the names."""
    if not left_out:
        return None
    return "left out: " + plain(", ".join(f"{count:,} {why}" for why, count in left_out.items()))
