"""How far long work is: a line that fits each terminal, and a line a minute where there is none."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console
from tests.cli.running import written_to_terminal

from bitesize.cli import moving
from bitesize.cli.bar import counting, counting_bytes
from bitesize.cli.moving import Figures, Moving, Pace

TRAINING = Figures(
    "epoch 12/50", 123, 984, "123/984", "batch", ("loss 0.512", "1,234 rows/s", "216 MiB/5.5 GiB", "accuracy 0.810"), 4321.0
)
READING = Figures("predicting", 12_345, 60_000, "12,345/60,000", "rows", ("21%", "12,345 rows/s", "216 MiB/5.5 GiB"))


def rendered(figures: Figures, width: int) -> str:
    console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    console.print(figures)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize(("figures", "left"), [(TRAINING, "1:12:01"), (READING, "-:--:--")])
def test_the_line_fits_the_terminal_and_ends_with_the_time_left(figures, left, width):
    text = rendered(figures, width)
    assert text.count("\n") == 1
    line = text.rstrip("\n")
    assert len(line) < width
    assert line.endswith(left)
    assert line.startswith(figures.what)
    assert figures.count in line
    assert "…" not in line


@pytest.mark.parametrize(
    ("width", "shown"), [(40, []), (60, ["loss 0.512"]), (80, ["loss 0.512", "1,234 rows/s", "216 MiB/5.5 GiB"])]
)
def test_where_room_is_short_the_least_important_figures_go_first(width, shown):
    line = rendered(TRAINING, width)
    assert [each for each in TRAINING.others if each in line] == shown
    assert all(each in rendered(TRAINING, 120) for each in TRAINING.others)


def test_time_left_does_not_count_what_comes_before_the_first_batch():
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.left(10) is None
    now = 190.0  # loading took 90 seconds
    pace.at(1)
    assert pace.left(10) is None
    now = 192.0
    pace.at(3)
    assert pace.rate == 1.0
    assert pace.left(10) == 7.0


def test_without_a_terminal_there_is_a_line_each_time_that_a_minute_has_passed(monkeypatch, capsys):
    monkeypatch.setattr(moving, "EVERY_SECONDS", 0.01)
    with Moving(lambda: TRAINING, Console(file=io.StringIO())):
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert set(lines) == {
        "epoch 12/50, batch 123/984, loss 0.512, 1,234 rows/s, 216 MiB/5.5 GiB, accuracy 0.810, 1:12:01 left"
    }


def test_short_work_without_a_terminal_prints_nothing(capsys):
    with counting("reading", 10) as advance:
        advance(10)
    with counting_bytes("writing", 10) as at:
        at(10)
    assert capsys.readouterr() == ("", "")


def test_hidden_progress_prints_nothing(monkeypatch, capsys):
    monkeypatch.setattr(moving, "EVERY_SECONDS", 0.01)
    with counting("reading", 10, hide=True) as advance:
        advance(5)
        time.sleep(0.1)
    assert capsys.readouterr() == ("", "")


PROGRAM = """
import sys
from bitesize.cli import moving
moving.EVERY_SECONDS = 0.02
from bitesize.cli.app import main
main()
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "x.npy"
    np.save(path, np.random.default_rng(0).random((20_000, 8)).astype(np.float32))
    return path


def test_commands_print_lines_to_stderr_and_results_to_stdout(rows):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "bench", str(rows), "--seconds", "0.5"], capture_output=True, text=True, check=True
    )
    assert "loading, " in done.stderr
    assert " rows/s, " in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
@pytest.mark.parametrize(("setting", "moves"), [({"COLUMNS": "80"}, True), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_a_moving_line_unless_it_is_dumb(rows, setting, moves):
    command = [sys.executable, "-m", "bitesize", "bench", str(rows), "--seconds", "0.5"]
    seen = written_to_terminal(command, **{"TERM": "xterm", **setting, "NO_COLOR": "1"})
    assert (b"\x1b" in seen) == moves
    assert (b"loading" in seen) == moves
    assert b"\x1b[3" not in seen  # no colors


@pytest.mark.slow
def test_training_prints_epoch_batch_loss_speed_memory_and_time_left(photos, tmp_path):
    command = [
        "train",
        str(photos),
        "--image-size",
        "16",
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--model",
        "mlp",
        "--out",
        "run",
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    line = r"(epoch|validating) [12]/2, batch \d+/9, loss \d+\.\d+, [\d,]+ rows/s, .* MiB/.*, \d:\d\d:\d\d left"
    assert re.search(line, done.stderr), done.stderr
    assert "epoch 1/2" not in done.stdout
    assert "val_loss" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
