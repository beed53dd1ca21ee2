"""A team of real workers for tests, and what ends one of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import psutil

from bitesize.cluster.session import connected
from bitesize.cluster.team import Team
from bitesize.cluster.workers import Workers

WITHOUT_RAY = "Ray is not installed: pip install 'bitesize[ray]'"


@contextlib.contextmanager
def team_of(count: int) -> Iterator[Team]:
    """Start Ray on this machine, for one module of tests."""
    workers = Workers(count)
    with connected(workers) as session:
        assert session.address is None, "RAY_ADDRESS is set: these tests kill workers"
        yield Team(session, workers)


def kill_one_worker() -> None:
    """End one of the workers of this process as the system does when memory is short."""
    workers = [
        process
        for process in psutil.Process().children(recursive=True)
        if any("ray::Worker" in word for word in _command_of(process))
    ]
    assert workers
    os.kill(workers[0].pid, signal.SIGKILL)


def _command_of(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


class KillsOnce:
    """Progress of a command that kills a worker after the first results."""

    def __init__(self) -> None:
        self.killed = False

    def __call__(self, *_: int) -> None:
        if not self.killed:
            self.killed = True
            kill_one_worker()


def wait_until(ready: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
