"""A finished run of `bitesize train` with its checkpoints, on a table of numbers."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.golden.data import ROWS

COMMAND = [
    "train",
    "data.csv",
    "--labels",
    "label",
    "--model",
    "mlp",
    "--epochs",
    "2",
    "--batch-size",
    "8",
    "--memory",
    "64MiB",
]


def write_table(folder: Path) -> Path:
    """Write ``data.csv``: two numbers, and the class that the larger one names."""
    values = np.random.default_rng(4).normal(size=(ROWS, 2)).round(3)
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "label"])
        writer.writerows([a, b, "left" if a > b else "right"] for a, b in values.tolist())
    return folder / "data.csv"


@contextlib.contextmanager
def within(folder: Path) -> Iterator[None]:
    """Work in a folder, so that what is recorded names no other."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def record_run(target: Path) -> None:
    """Train, and keep the run."""
    from bitesize.cli.app import app

    home = Path(tempfile.gettempdir()) / "golden"  # checkpoints name it
    home.mkdir()
    write_table(home)
    command = [*COMMAND, "--out", "run"]
    sys.argv = ["bitesize", *command]
    os.environ["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # so that the command has no folder
    )
    with within(home):
        app(command, standalone_mode=False)
    _name_no_machine(home / "run")
    shutil.copytree(home / "run", target)
    shutil.rmtree(home)


def _name_no_machine(run: Path) -> None:
    """Take the machine out of what is kept."""
    config = json.loads((run / "config.json").read_text())
    config["machine"] = {
        "system": "Linux",
        "processor": "x86_64",
        "cores": 2,
        "threads": 2,
        "memory": 1 << 34,
        "accelerators": [],
    }
    (run / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def predictions(run: Path) -> list[list[float]]:
    """Return the probabilities that a run's model gives for rows of its data."""
    import bitesize as bs

    with tempfile.TemporaryDirectory() as folder, (write_table(Path(folder))).open() as file:
        rows = [[float(line["a"]), float(line["b"])] for line in csv.DictReader(file)]
    return [[round(float(each), 6) for each in row] for row in bs.load(run).predict(rows).probabilities]
