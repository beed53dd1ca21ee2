"""Run a case in a child under a limit, and read from the kernel what it held."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.cases import CASES, OUTPUTS, Case, LimitKind
from tests.contract.data import files_of
from tests.servers.programs import ProgramMissing, find
from tests.servers.s3 import s3_server

_MIB = 1 << 20
_CGROUPS = Path("/sys/fs/cgroup/memory")
# Room beside base and budget under a limit: page tables and stacks, which no budget can know.
MARGIN = 24 * _MIB
# Address space that a thread reserves without using it (glibc's arena and stack), and what mappings are rounded up by.
THREAD_SPACE = 76 * _MIB
GROWTH = 5 * _MIB  # over 95 epochs


@dataclass
class Outcome:
    """What was measured, in bytes."""

    base: int = 0
    peak: int = 0
    high_water: int = 0
    limit: int = 0
    growth: int | None = None
    told: dict[str, Any] = field(default_factory=dict)
    killed: bool = False

    @property
    def held(self) -> int:
        """The most that was held beside what was there before."""
        return self.peak - self.base

    def complaints(self, budget: int) -> list[str]:
        """List what broke the contract."""
        found = []
        if self.killed:
            found.append("killed")
        if "error" in self.told:
            found.append(self.told["error"])
        if self.held > budget:
            found.append(f"held {self.held / _MIB:.1f} MiB")
        if self.high_water > budget + MARGIN:  # the kernel's own mark, in which mapped files count: no sample misses it
            found.append(f"reached {self.high_water / _MIB:.1f} MiB")
        if self.told.get("peak", 0) > budget or self.told.get("planned", 0) > budget:
            found.append("its own account is beyond the budget")
        if self.told.get("rows", 0) < 0:
            found.append("batches could be kept without end")
        if any(count > 0 for count in self.told.get("left", {}).values()):
            found.append(f"left behind: {self.told['left']}")
        if self.growth is not None and self.growth > GROWTH:
            found.append(f"grew by {self.growth / _MIB:.1f} MiB")
        return found


@contextmanager
def bucket_of(case: Case, folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a child; for a case of data at addresses, with a bucket that has its files."""
    if not case.kind.startswith("remote"):
        yield {}
        return
    with s3_server() as server:
        bucket = server.make_bucket()
        for file in files_of(case.kind.removeprefix("remote "), folder):
            server.put(bucket, file.name, file.read_bytes())
        yield {"BITESIZE_TEST_BUCKET": json.dumps({"address": f"s3://{bucket}", "options": server.options()})}


def why_not(limit: LimitKind, how: str, kind: str = "") -> str | None:
    """Tell why a limit cannot be tested here, or None."""
    if sys.platform != "linux":
        return "the kernel's figures are read from /proc"
    if kind.startswith("remote"):
        try:
            find("weed")
        except ProgramMissing as missing:
            return str(missing)
    if limit == "cgroup":
        try:
            with small_group() as _:
                return None
        except OSError as error:
            return f"memory cgroups cannot be made: {error}"
    package = OUTPUTS.get(how)  # type: ignore[call-overload]
    if package is not None and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if limit == "RLIMIT_AS" and (how == "train" or package):
        return "frameworks reserve gigabytes of address space"
    return None


def measure(number: int, limit: LimitKind, folder: Path) -> Outcome:
    """Run a case."""
    case, outcome = CASES[number], Outcome()
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    with small_group() if limit == "cgroup" else _nothing() as group, bucket_of(case, folder) as more:
        environment |= more
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.child", str(number), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            if group is not None:
                (group / "cgroup.procs").write_text(str(child.pid))
            if child.stdout.readline() != "ready\n":
                outcome.told = {"error": "it did not begin"}
                return outcome
            (Path("/proc") / str(child.pid) / "clear_refs").write_text("5")  # the high-water mark begins anew
            before = _status(child.pid)
            outcome.base = _held(before)
            outcome.limit = _set_limit(limit, child.pid, group, before, case.budget * _MIB, case.threads)
            with _sampled(child.pid, outcome):
                _go(child)
                told = child.stdout.readline()
                steady = None
                while told.startswith("epoch "):
                    now = _held(_status(child.pid))
                    steady, outcome.growth = (now, None) if steady is None else (steady, now - steady)
                    _go(child)
                    told = child.stdout.readline()
            if told:
                outcome.told = json.loads(told)
                outcome.high_water = _status(child.pid).get("VmHWM", 0) - before.get("VmRSS", 0)
                _go(child)
            outcome.killed = not told or child.wait(timeout=60) != 0
        finally:
            child.kill()
            child.communicate()
    return outcome


def _go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def _set_limit(limit: LimitKind, pid: int, group: Path | None, before: dict[str, int], budget: int, threads: int) -> int:
    if group is not None:
        # Files that libraries are mapped from count where they were read first, perhaps here: all of them are allowed for.
        size = before["VmRSS"] + budget + MARGIN
        (group / "memory.limit_in_bytes").write_text(str(size))
        return size
    if limit == "RLIMIT_AS":
        import resource

        size = before["VmSize"] + budget + MARGIN + (threads + 1) * THREAD_SPACE
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
        return size
    return 0


@contextmanager
def _sampled(pid: int, outcome: Outcome) -> Iterator[None]:
    """Read what the process holds every 5 ms."""
    stop = threading.Event()

    def sample() -> None:
        while not stop.is_set():
            outcome.peak = max(outcome.peak, _held(_status(pid)))
            stop.wait(0.005)

    thread = threading.Thread(target=sample, name="sampler")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _status(pid: int) -> dict[str, int]:
    try:
        text = (Path("/proc") / str(pid) / "status").read_text()
    except OSError:  # it has ended
        return {}
    pairs = (line.split(":") for line in text.splitlines() if line.endswith(" kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _held(status: dict[str, int]) -> int:
    return status.get("RssAnon", 0) + status.get("RssShmem", 0)


@contextmanager
def small_group() -> Iterator[Path]:
    group = _CGROUPS / f"bitesize-contract-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()


@contextmanager
def _nothing() -> Iterator[None]:
    yield None
