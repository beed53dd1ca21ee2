"""What commands print on terminals of any kind, into files, and where nothing can be written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.running import COMMAND, run

TRAIN = ["train", "houses.csv", "--model", "sklearn:GaussianNB", "--epochs", "2", "--out"]
SHORT = [
    ["--help"],
    ["train", "--help"],
    ["formats"],
    ["info", "houses.csv"],
    ["train", "--print-config", "houses.csv"],
    ["info", "--wrong"],
]
COMMANDS = [
    *SHORT, ["plan", "houses.csv"], ["stats", "houses.csv"], ["check", "houses.csv"], [*TRAIN, "run", "--overwrite"],
    ["evaluate", "run"], ["predict", "run", "houses.csv", "--out", "p.csv", "--overwrite"],
]  # fmt: skip
# All commands in one process.
PROGRAM = """
import json, sys
from bitesize.cli.app import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["bitesize", *arguments]
    try:
        main()
    except SystemExit:
        sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("skops")
    top = tmp_path_factory.mktemp("output")
    random = np.random.default_rng(0)
    lines = [f"{x:.4f},{y:.4f},{'a class of a long name' if x > y else 'other'}" for x, y in random.random((200, 2))]
    (top / "houses.csv").write_text("\n".join(["rooms,area,label", *lines]) + "\n")
    return top


def on_terminal(folder: Path, commands: list[list[str]], columns: int, **environment: str) -> str:
    """Run commands on a terminal, and return what they write to it."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, np.array([24, columns, 0, 0], np.uint16).tobytes())
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env={**kept, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 1 << 16):
            written += data
    except OSError:  # how the end is told on Linux
        pass
    finally:
        os.close(ours)
    assert program.wait() == 0
    text = written.decode()
    assert "Traceback" not in text
    return text


def test_on_a_narrow_terminal_nothing_is_cut(folder):
    text = on_terminal(folder, COMMANDS, 40)
    assert "…" not in text
    assert "\x1b[36m" in text  # color
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"precision +recall +F1 +rows", text)
    assert "epochs: " in text


def test_a_dumb_terminal_gets_no_control_characters(folder):
    text = on_terminal(folder, COMMANDS, 60, TERM="dumb")
    assert re.findall(r"[^\n\r\x20-\x7e]", text) == []


def test_no_color_is_respected(folder):
    text = on_terminal(folder, SHORT, 80, NO_COLOR="1")
    assert re.findall(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38)(?:;\d+)*m", text) == []


def test_files_get_whole_lines_without_control_characters(folder):
    with (folder / "out.txt").open("wb") as file:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)], cwd=folder, stdout=file, stderr=file, check=True
        )
    text = (folder / "out.txt").read_bytes().decode()
    assert re.findall(r"[^\n\x20-\x7e]", text) == []
    assert re.search(r"^Loading everything at once would work here .* to spare\.$", text, re.MULTILINE)


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
@pytest.mark.parametrize("command", [["--help"], ["formats", "--json"], [*TRAIN, "ended"]], ids=lambda command: command[0])
def test_a_reader_that_ends_first_ends_the_command_silently(command, folder):
    theirs, ours = os.pipe()
    os.close(theirs)
    done = subprocess.run([*COMMAND, *command], cwd=folder, stdout=ours, stderr=subprocess.PIPE, text=True, check=False)
    os.close(ours)
    assert done.returncode == 141
    assert not {"Traceback", "Aborted", "error:"} & set(done.stderr.split())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize("command", [["formats"], ["formats", "--json"], ["--help"]], ids=" ".join)
def test_a_full_disk_is_an_error_of_one_line(command):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"error: the output cannot be written: .*\n", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="shells there cannot close a stream")
def test_a_closed_stdout_is_no_error():
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *COMMAND, "formats"], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_settings_are_printed_for_programs(folder, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    text = run("train", "houses.csv", "--print-config", cwd=folder).stdout
    assert re.findall(r"[^\n\x20-\x7e]", text) == []
    assert all(re.fullmatch(r"\w+: \S.*", line) for line in text.splitlines())
