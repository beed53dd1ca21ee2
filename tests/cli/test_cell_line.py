"""Progress in the output of a notebook's cell."""

import io
import os
import sys
import time

import numpy as np
import pytest
from rich.console import Console
from tests.cli.running import written_to_terminal

from bitesize.cli import cell_line
from bitesize.cli.cell_line import CellLine, in_cell
from bitesize.cli.moving import Figures


def as_notebooks_show(text):
    """Return the lines of an output: text after a carriage return is written over the line, and other controls are left out."""
    lines = []
    for raw in text.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in raw.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_the_line_is_written_over_and_makes_room_for_other_output(monkeypatch):
    monkeypatch.setattr(cell_line, "_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(cell_line, "_PAUSE_SECONDS", 0)
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, no_color=True)
    figures = [Figures("epoch 1/3", 5, 10, "5/10", others=("loss 0.512",), left=61.0)]
    line = CellLine(lambda: figures[-1], console, [console])
    line.start()
    deadline = time.monotonic() + 20
    while "5/10" not in file.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert as_notebooks_show(file.getvalue())[-1].startswith("epoch 1/3 ━")
    assert as_notebooks_show(file.getvalue())[-1].endswith("5/10  loss 0.512  0:01:01")
    console.print("short")
    figures.append(Figures("e", 1, 1, "1/1"))
    while "1/1" not in file.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    line.stop()
    assert as_notebooks_show(file.getvalue()) == ["short", ""]


def test_a_line_that_never_began_ends_quietly():
    file = io.StringIO()
    CellLine(lambda: None, Console(file=file)).stop()
    assert file.getvalue() == ""


def test_a_notebook_is_known_by_the_variable_of_its_kernel():
    assert in_cell({"JPY_PARENT_PID": "1"})
    assert not in_cell({})


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_a_command_in_a_cell_has_lines_that_a_notebook_can_show(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20_000, 8), np.float32))
    settings = {"TERM": "xterm-color", "FORCE_COLOR": "1", "JPY_PARENT_PID": "1", "NO_COLOR": "1", "COLUMNS": "80"}
    command = [sys.executable, "-m", "bitesize", "bench", str(tmp_path / "x.npy"), "--seconds", "1.5"]
    seen = written_to_terminal(command, **settings)
    assert b"\rloading" in seen
    assert b"\x1b[2K" not in seen
    assert b"\x1b[1A" not in seen
    assert not any(line.startswith("loading") for line in as_notebooks_show(seen.decode()))
