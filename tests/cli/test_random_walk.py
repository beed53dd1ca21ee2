"""A run that is killed, repeated, resumed, made longer, refused and overwritten in random order loses nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import compiled_once


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_finished_model_is_lost_and_no_row_is_trained_twice(tmp_path):
    program = "from tests.cli.random_walk import walk; walk(steps=12, seed=3)"
    with compiled_once(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
            timeout=1780,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("killed") >= 2
