"""Compiling is said once a machine, before results, by the command line; the library logs it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

MESSAGE = "compiling bitesize's kernels for this machine: once, a few seconds"


def run(program: str, folder) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)


LIBRARY = """
import logging, sys
from bitesize.kernels.warm import warm
seen = []
class Seen(logging.Handler):
    def emit(self, record):
        seen.append((record.levelname, record.getMessage()))
log = logging.getLogger("bitesize")
log.addHandler(Seen())
log.setLevel(logging.INFO)
warm([("one", lambda: None)])
warm([("two", lambda: None)])
print(seen)
"""


def test_the_library_logs_it_once_a_machine_and_prints_nothing(tmp_path):
    first, second = run(LIBRARY, tmp_path), run(LIBRARY, tmp_path)
    assert first.stdout.count("('INFO', 'compiling kernels for this machine: once, a few seconds')") == 1
    assert second.stdout.strip() == "[]"
    assert first.stderr == second.stderr == ""


def test_code_that_could_not_be_compiled_is_not_taken_for_compiled(tmp_path):
    failing = LIBRARY.replace("lambda: None", "lambda: 1 / 0")
    assert "compiling kernels" in run(failing, tmp_path).stdout
    assert "compiling kernels" in run(failing, tmp_path).stdout


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user may write everywhere")
def test_where_no_folder_can_be_written_it_is_said_each_time(tmp_path):
    tmp_path.chmod(0o500)
    for _ in range(2):
        assert "compiling kernels" in run(LIBRARY, tmp_path).stdout


@pytest.mark.slow
def test_a_command_says_it_once_before_its_results_and_one_that_loads_nothing_never(tmp_path):
    rows = tmp_path / "x.npy"
    np.save(rows, np.zeros((60, 4)))
    both = "import os, sys; os.dup2(1, 2); from bitesize.cli.app import main; sys.argv = ['bitesize', *{!r}]; main()"
    for quiet in (["formats"], ["info", str(rows)], ["plan", str(rows)]):
        assert MESSAGE not in run(both.format(quiet), tmp_path / quiet[0]).stdout
    stats = both.format(["stats", str(rows)])
    first, second = run(stats, tmp_path / "stats").stdout, run(stats, tmp_path / "stats").stdout
    assert first.count(MESSAGE) == 1
    assert first.index(MESSAGE) < first.index("std")
    assert MESSAGE not in second
