"""Large lists take little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.properties import FULL

TOP = Path(__file__).parents[2]


def run(program, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP / "src"), str(TOP)])}
    command = [sys.executable, "-m", f"tests.programs.{program}", *map(str, arguments)]
    return subprocess.run(command, cwd=TOP, env=environment, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize(
    ("classes", "images"),
    [(20, 10_000), pytest.param(1000 if FULL else 200, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_a_list_opens_again_in_little_memory(tmp_path, classes, images):
    """Of ten million names (two million without BITESIZE_TESTS=full), less than 100 MB; the labels of the rows are 8 bytes each."""
    count = classes * images
    assert run("lister", "sim://bucket/photos/", tmp_path, classes, images, 0, tmp_path / "counter")[2:] == [
        str(count),
        "True",
    ]
    rows, requests, of_list, of_all, nbytes = map(int, run("reopened_list", tmp_path, classes, images))
    assert (rows, requests) == (count, 0)
    assert of_list < 40e6
    assert of_all < 100e6 + 8 * count
    assert nbytes < 50e6 + 8 * count
