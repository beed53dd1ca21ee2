"""Start server programs on free ports of this machine, and stop them.

A program is looked for in the folder that ``BITESIZE_TEST_SERVERS`` names, beside this Python, in ``.node``, and on ``PATH``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

FOLDER = "BITESIZE_TEST_SERVERS"
REPOSITORY = Path(__file__).parents[2]
PIP = f"pip install -r {Path(__file__).with_name('requirements.txt').relative_to(REPOSITORY)}"
# Where `npm install --prefix` puts programs, beside .venv.
NODE = REPOSITORY / ".node"
NPM = f"npm install --prefix {NODE.name} azurite@3"
# The environment of `python -m tests.servers...` in any folder.
MODULES = {"PYTHONPATH": str(REPOSITORY)}
TRIES = 3


class ProgramMissing(Exception):
    """A server program is not installed; the message has the line that installs it."""


class DidNotStart(Exception):
    """A server program ended or did not answer in time; the message has the tail of its log."""


@dataclass(frozen=True)
class Program:
    """A running server: the ports it was given, its folder, its log, and the process that runs and watches it."""

    ports: tuple[int, ...]
    folder: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """Return host and port, as in a Host header."""
        return f"127.0.0.1:{self.ports[0]}"


def find(name: str, install: str = PIP) -> str:
    """Return the path of a program, or raise `ProgramMissing` with the line that installs it."""
    folders = [os.environ.get(FOLDER), Path(sys.executable).parent, NODE / "node_modules" / ".bin"]
    for folder in folders:
        if folder and (found := shutil.which(name, path=str(folder))):
            return found
    if found := shutil.which(name):
        return found
    raise ProgramMissing(f"{name} is not installed: {install}, or name its folder in {FOLDER}")


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that no program listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def answers(port: int) -> bool:
    """Return whether an HTTP server answers on a port, with any status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


@contextlib.contextmanager
def running(
    command: Callable[[tuple[int, ...], Path], Sequence[str]],
    *,
    ports: int = 1,
    environment: Mapping[str, str] | None = None,
    seconds: float = 30,
) -> Iterator[Program]:
    """Run a server until the block ends.

    Parameters
    ----------
    command : function of (ports, folder)
        Return the command line; the first port is the one that answers HTTP.
    ports : int
        How many free ports the program needs.
    environment : mapping of str to str, optional
        Variables beside those of this process.
    seconds : float
        How long the program may take until it answers.
    """
    with tempfile.TemporaryDirectory(prefix="bitesize-server-", ignore_cleanup_errors=True) as temporary:
        program = _start(command, ports, Path(temporary), {**os.environ, **(environment or {})}, seconds)
        try:
            yield program
        finally:
            stop(program.process)


def _start(
    command: Callable[[tuple[int, ...], Path], Sequence[str]],
    ports: int,
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
) -> Program:
    # Another program may take a port between our look and its start: then with other ports.
    for attempt in range(1, TRIES + 1):
        taken = free_ports(ports)
        inside = folder / f"data{attempt}"
        inside.mkdir()
        log = folder / f"log{attempt}.txt"
        line = command(taken, inside)
        with log.open("wb") as output:
            # -P: this folder has modules that are named like those of the standard library.
            process = subprocess.Popen(
                [sys.executable, "-P", __file__, *line],
                cwd=inside,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            if answers(taken[0]):
                return Program(taken, inside, log, process)
            time.sleep(0.05)
        ended = process.poll()
        stop(process)
        if ended is None or attempt == TRIES:
            why = f"did not answer within {seconds:g} s" if ended is None else f"ended with status {ended}"
            tail = log.read_text(errors="replace")[-2000:]
            raise DidNotStart(f"{Path(line[0]).name} {why}; the end of its log:\n{tail}")
    raise AssertionError


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, by the end of standard input of the process that watches it."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def main() -> None:
    """Run a program until it ends, or until standard input does: with a parent that is killed, its servers end, too."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def watch() -> None:
        sys.stdin.buffer.read()
        # Servers of tests have nothing to save, and some end slowly while a client is connected.
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()

    threading.Thread(target=watch, daemon=True).start()
    # Not sys.exit: the thread may hold standard input.
    os._exit(process.wait() & 0xFF)


if __name__ == "__main__":
    main()
