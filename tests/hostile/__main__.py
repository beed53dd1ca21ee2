"""Reads ten thousand hostile arrays, archives and images each under a limit on memory: `python -m tests.hostile [COUNT]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.hostile.running import outcome
from tests.programs.hostile_files import BUDGET, KINDS

count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
print(f"budget {BUDGET >> 20} MiB; {count:,} files of each kind")
print(f"{'kind':8}{'rows':>8}{'bad':>8}{'wrong':>8}{'slowest':>10}{'reached':>12}")
for kind in KINDS:
    with tempfile.TemporaryDirectory() as folder:
        told = outcome(kind, count, 0, Path(folder))
    print(
        f"{kind:8}{told['rows']:8,}{told['bad']:8,}{told['wrong']:8,}{told['slowest']:9.2f}s{told['reached'] / 2**20:8.1f} MiB"
    )
