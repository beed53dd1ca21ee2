"""Taking turns: all loaders of a case are started, then asked for an epoch one after the other, round by round."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cases import Case

# What a loader makes ahead after its turn must not take time from the next.
_PAUSE_SECONDS = 0.4


@dataclass
class Result:
    """What one loader did.

    Parameters
    ----------
    how
        How it was set up.
    values
        Rows per second, or seconds, of each round.
    missing
        Why it did not take part.
    peak
        The most bytes that its process held at one time.
    """

    how: str = ""
    values: list[float] = field(default_factory=list)
    missing: str = ""
    peak: int = 0

    @property
    def median(self) -> float:
        """The middle of all rounds."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.values) < 3:
            return 0.0
        low, _, high = statistics.quantiles(self.values, n=4)
        return (high - low) / 2 / self.median


ROOT = Path(__file__).parents[1]


def compare(
    name: str, case: Case, folder: Path, peers: dict[str, tuple[str, Path]], rounds: int, say: Callable[[str], None]
) -> dict[str, Result]:
    """Measure a case: peers by the label to show, each with its name in the case and the checkout that it runs from."""
    results: dict[str, Result] = {}
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for peer, (function, checkout) in peers.items():
            say(f"{name}: starting {peer}")
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.child", name, function, str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout / "src")},
            )  # fmt: skip
            heard = _hear(process)
            results[peer] = Result(how=heard.get("how", ""), missing=heard.get("missing", "") or heard.get("failed", ""))
            if heard.get("ready"):
                running[peer] = process
            else:
                process.wait(timeout=60)
        for turn in range(rounds):
            # Every other round the other way round, because what runs first after a pause is slower.
            for peer, process in list(running.items())[:: -1 if turn % 2 else 1]:
                say(f"{name}: round {turn + 1} of {rounds}, {peer}")
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                heard = _hear(process)
                time.sleep(_PAUSE_SECONDS)
                results[peer].peak = heard["peak"]
                results[peer].values.append(heard["seconds"] if case.unit == "s" else heard["rows"] / heard["seconds"])
    finally:
        for process in running.values():
            process.kill()
            process.communicate()
    return results


def _hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        return {"failed": f"it ended with code {process.wait()}"}
    heard: dict[str, Any] = json.loads(line)
    return heard
