"""Run `bitesize` as its users do, and read what it writes."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

COMMAND = [sys.executable, "-c", "from bitesize.cli.app import main; main()"]
# The same, with five milliseconds more for each batch of training: for signals in the middle of an epoch on machines of any speed.
PACED_COMMAND = [sys.executable, str(Path(__file__).parents[1] / "programs" / "paced_training.py"), "0.005"]


def run(*arguments: object, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end within this process, which has loaded what it needs; check its exit code.

    A test of signals, locales or what is imported starts a process of its own, by `COMMAND`.
    """
    from bitesize.cli.app import main

    words = list(map(str, arguments))
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    before, ended = Path.cwd(), 0
    with (
        mock.patch.object(sys, "argv", ["bitesize", *words]),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        if cwd is not None:
            os.chdir(cwd)
        try:
            main()
        except SystemExit as error:
            ended = error.code if isinstance(error.code, int) else 0
        finally:
            os.chdir(before)
    out, err = (stream.buffer.getvalue().decode() for stream in streams)  # type: ignore[attr-defined]
    assert ended == code, f"{ended}\n{out}\n{err}"
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(words, ended, out, err)


def run_alone(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, where what this process has loaded would count."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", timeout=280, check=False
    )
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def lines_of(path: Path) -> list[dict[str, str]]:
    """Read a table that a command wrote."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def written_to_terminal(command: list[str], **environment: str) -> bytes:
    """Run a command whose errors go to a pseudo-terminal, and return what it writes there."""
    mine, its = os.openpty()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=its, env={**os.environ, **environment}) as child:
        os.close(its)
        seen = b""
        try:
            while block := os.read(mine, 4096):
                seen += block
        except OSError:  # how Linux reports the other end as closed
            pass
    os.close(mine)
    assert child.returncode == 0
    return seen
