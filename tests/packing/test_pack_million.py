"""A million small rows are packed and read back within a budget of 64 MiB, under a memory cgroup."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.measure import MARGIN, small_group, why_not

TOP = Path(__file__).parents[2]
BUDGET_MIB = 64


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_rows_within_64_mib(tmp_path):
    reason = why_not("cgroup", "pack")
    if reason is not None:
        pytest.skip(reason)
    command = [sys.executable, "-m", "tests.programs.million_rows", str(tmp_path), "1000000", str(BUDGET_MIB)]
    with small_group() as group:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TOP)
        try:
            assert child.stdout.readline() == "ready\n"
            (group / "cgroup.procs").write_text(str(child.pid))
            # What the child held before stays charged where it was first used, outside of the group.
            (group / "memory.limit_in_bytes").write_text(str((BUDGET_MIB << 20) + MARGIN))
            output, _ = child.communicate("go\n", timeout=800)
        finally:
            child.kill()
            child.communicate()
    assert child.returncode == 0, output
    found = json.loads(output)
    assert found["rows"] == 1_000_000
    assert found["peak"] <= BUDGET_MIB << 20
