"""Where the command line prints: results to stdout, errors and progress to stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

console = Console()
errors = Console(stderr=True)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, whatever the terminal's width."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def left_out_line(left_out: Any) -> str | None:
    """Say what a scan left out, or None."""
    if not left_out:
        return None
    return "left out: " + ", ".join(f"{count:,} {why}" for why, count in left_out.items())
