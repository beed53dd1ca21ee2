"""Programs that train on several ranks, for tests: data whose losses stay above 0, and how to start and to kill ranks."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

MODEL = """
import keras

def make(shape, classes):
    return keras.Sequential([keras.Input(shape), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(classes)])
"""
BACKENDS = ["jax", "torch"]
# Most tests of ranks take a minute: one backend for each, unless all tests are wanted.
FULL = os.environ.get("BITESIZE_TESTS") == "full"
ROWS, BATCH, EPOCHS = 67, 12, 60


def write_data(folder: Path) -> None:
    """Write rows of two classes that overlap, and a model without random numbers."""
    generator = np.random.default_rng(3)
    for name, shift in (("a", -0.3), ("b", 0.3)):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(ROWS // 2 + (name == "a")):
            np.save(folder / "data" / name / f"{i:03}.npy", generator.normal(shift, 1, 6).astype(np.float32))
    (folder / "model.py").write_text(MODEL)


def words(out: str, *more: object) -> list[str]:
    """Return the words of a training command."""
    return [
        "train", "data", "--out", out, "--model", "model.py", "--epochs", str(EPOCHS), "--batch-size", str(BATCH), "--early-stopping", "0",
        "--checkpoint-every", "3", "--memory", "256MiB", "--val-split", "0.2", *map(str, more),
    ]  # fmt: skip


def start(
    folder: Path, backend: str, *command: str, minutes: str = "10", variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in a folder, with Keras on a backend, and with other variables of the environment."""
    # A cluster that another test has started in this process has left its variables.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**inherited, "KERAS_BACKEND": backend, "BITESIZE_RANK_TIMEOUT": minutes, "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        environment.pop(name, None)
    environment |= variables or {}
    log = folder / f"log-{time.monotonic_ns()}.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, text=True
        )
    process.log = log  # type: ignore[attr-defined]
    return process


def torchrun(count: int, out: str, *more: object, restarts: int = 0) -> list[str]:
    """Return a training command for torchrun."""
    launcher = [
        "torch.distributed.run",
        "--nproc-per-node",
        str(count),
        "--max-restarts",
        str(restarts),
        "--master-port",
        "0",
    ]
    return [*launcher, "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "-m", "bitesize", *words(out, *more)]


def finished(process: subprocess.Popen[str], seconds: float = 240) -> str:
    """Wait until a command has ended well, and return what it has printed."""
    try:
        code = process.wait(seconds)
    finally:
        end(process)
    text = printed(process)
    assert code == 0, text[-6000:]
    return text


def printed(process: subprocess.Popen[str]) -> str:
    """Return what a command has printed so far."""
    return process.log.read_text(errors="replace")  # type: ignore[attr-defined]


def end(process: subprocess.Popen[str]) -> None:
    """Kill a command with all its processes."""
    if process.poll() is not None:
        return  # its number may be another process's by now
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in family:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(30)


def ranks(process: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    """Return the processes of a command whose own command has a word."""
    found = []
    for each in psutil.Process(process.pid).children(recursive=True):
        try:
            if word in " ".join(each.cmdline()):
                found.append(each)
        except psutil.NoSuchProcess:
            continue
    return found


def wait_for_epoch(process: subprocess.Popen[str], out: Path, epochs: int, seconds: float = 120) -> None:
    """Wait until a run has finished some epochs."""
    until = time.monotonic() + seconds
    while len(history(out)) < epochs:
        assert process.poll() is None, printed(process)[-6000:]
        assert time.monotonic() < until, printed(process)[-6000:]
        time.sleep(0.05)


def history(out: Path) -> list[dict[str, str]]:
    """Return the lines of a run's history."""
    path = out / "history.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def losses(out: Path) -> np.ndarray:
    """Return the losses of training and validation by epoch: shape (epochs, 2)."""
    return np.array([[float(line["loss"]), float(line["val_loss"])] for line in history(out)])


def kill(process: psutil.Process) -> None:
    """Kill a process as the system does for lack of memory."""
    os.kill(process.pid, signal.SIGKILL)


class Unbroken:
    """Losses of one process that is not interrupted, by backend; trained once each."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._found = folder, {}
        write_data(folder)

    def __call__(self, backend: str) -> np.ndarray:
        """Return the losses by epoch."""
        pytest.importorskip(backend, reason=f"{backend} is not installed")
        if backend not in self._found:
            finished(start(self._folder, backend, "bitesize", *words(f"one-{backend}")))
            found = self._found[backend] = losses(self._folder / f"one-{backend}")
            assert found.shape == (EPOCHS, 2)
            assert found.min() > 0.05
        return self._found[backend]


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether losses are equal within the rounding of float32 sums, which grows over the steps."""
    assert found.shape == expected.shape
    return np.allclose(found, expected, rtol=2e-4, atol=2e-5)
