"""Kill training again and again and resume it: it ends as training that was never killed.

Arguments: backend, kills, kills at a checkpoint, and ``cache`` for a cache of decoded images in the killed runs: full, partial or none, anew
for each resume. The run that is never killed has none.

A run of `bitesize train` is killed with SIGKILL at moments drawn evenly over it; a given number of kills wait for a checkpoint
to be open, that is between the opening of its temporary file and its renaming. Each is logged with its phase.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

ROWS, EPOCHS = 240, 3
COMMAND = [sys.executable, "-m", "bitesize"]
MODEL = """
import keras

def make(shape, classes):
    layers = keras.layers
    return keras.Sequential([
        keras.Input(shape), layers.Conv2D(8, 3, strides=2, activation="relu"), layers.BatchNormalization(),
        layers.Flatten(), layers.Dropout(0.3), layers.Dense(400, activation="relu"), layers.Dense(classes),
    ])
"""


def make_data(folder: Path) -> Path:
    data = folder / "data"
    draw = np.random.default_rng(0)
    for i in range(ROWS):
        name = ("dark", "light")[i % 2]
        (data / name).mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 160, (24, 24, 3)) + 90 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(data / name / f"{i:04d}.png")
    (folder / "model.py").write_text(MODEL)
    return data


def command(folder: Path, data: Path, out: Path) -> list[str]:
    return [
        *COMMAND, "train", str(data), "--model", f"{folder / 'model.py'}:make", "--image-size", "20", "--epochs", str(EPOCHS),
        "--batch-size", "8", "--memory", "64MiB", "--early-stopping", "50", "--checkpoint-every", "3", "--out", str(out), "--json",
    ]  # fmt: skip


def history(out: Path) -> list[dict[str, str]]:
    """Read what training measured; times differ."""
    with (out / "history.csv").open() as file:
        return [{k: v for k, v in line.items() if k not in ("seconds", "rows_per_second")} for line in csv.DictReader(file)]


def weights(out: Path) -> dict[str, np.ndarray]:
    """Read the last checkpoint's arrays: weights, optimizer, and what callbacks remember; and the saved model's."""
    newest = sorted((out / "checkpoints").glob("[0-9]*.npz"))[-1]
    with zipfile.ZipFile(newest) as archive:
        arrays = {}
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as member:
                    arrays[name] = np.lib.format.read_array(member)
    return arrays


def opened(out: Path, process: int) -> list[Path]:
    """List checkpoints that a process is writing, or was when it was killed."""
    return list(out.glob(f"checkpoints/.*-{process}-*"))


def run_killed(
    arguments: list[str], out: Path, moment: float | None, environment: dict[str, str], openings: int = 12
) -> str | None:
    """Run until a moment in seconds, or until a checkpoint is open if it is None; tell the phase, or None if it ended before.

    Which of the first openings it is, is drawn by chance.
    """
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    begun = time.monotonic()
    skip = random.randrange(openings)
    seen: set[str] = set()
    while process.poll() is None:
        if moment is not None and time.monotonic() - begun >= moment:
            break
        if moment is None:
            now = {path.name for path in opened(out, process.pid)} - seen
            if now and len(seen) >= skip:
                break
            seen |= now
            continue  # without a pause: it is open for milliseconds
        time.sleep(0.002)
    if process.poll() is not None:
        assert process.returncode == 0, process.stderr.read().decode()[-3000:]
        return None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = opened(out, process.pid)
    if left:
        return f"a checkpoint was open ({left[0].stat().st_size:,} bytes of it)"
    return "training" if list(out.glob("checkpoints/[0-9]*.npz")) else "before the first checkpoint"


def caching(folder: Path, caches: bool) -> list[str]:
    """Return options for a cache that holds all rows, a part of them, or nothing."""
    size = random.choice(["64MiB", "450KiB", None]) if caches else None
    return [] if size is None else ["--cache", size, "--cache-folder", str(folder / f"cache-{size}")]


def prove(
    backend: str, kills: int, open_kills: int, caches: bool = False, seed: int = 0, log=sys.stdout.write
) -> Counter[str]:
    """Train once whole and once killed; compare everything."""
    random.seed(seed)
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    phases: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_data(folder)
        begun = time.monotonic()
        whole, out = folder / "whole", folder / "killed"
        assert run_killed(command(folder, data, whole), whole, 1e9, environment) is None
        seconds = time.monotonic() - begun
        kept = 0
        plan = [None] * open_kills + [random.uniform(0, seconds) for _ in range(kills - open_kills)]
        random.shuffle(plan)
        done, openings = 0, 12
        while True:
            moment = plan[done] if done < kills else 1e9
            began = time.monotonic()
            arguments = [*command(folder, data, out), "--resume", *caching(folder, caches)]
            phase = run_killed(arguments, out, moment, environment, openings)
            if phase is None:
                if done >= kills:
                    break
                # It had come to its end: training begins once more, for the kills that are left. The first run may have been slower
                # than all others will be, and openings are seen only while this program has its turn: so they are drawn anew.
                if moment is None:
                    openings = max(1, openings // 2)
                else:
                    plan[done] = random.uniform(0, time.monotonic() - began)
                compare(whole, out)
                kept += 1
                shutil.rmtree(out)  # a finished run is kept, and not trained again
                continue
            done += 1
            kind = "open" if phase.startswith("a checkpoint") else phase
            phases[kind] += 1
            log(
                f"{time.monotonic() - begun:5.0f} s: kill {done:2} after {'an opening' if moment is None else f'{moment:5.1f} s'}: {phase}\n"
            )
        compare(whole, out)
        log(f"{backend}: {done} kills, {dict(phases)}; {kept + 1} runs ended as the one that was never killed\n")
    return phases


def compare(whole: Path, killed: Path) -> None:
    """Say what differs between two runs that ended."""
    assert history(whole) == history(killed), (history(whole), history(killed))
    assert [line["epoch"] for line in history(killed)] == [str(i + 1) for i in range(EPOCHS)]
    first, second = weights(whole), weights(killed)
    assert first.keys() == second.keys()
    for name in first:
        assert np.array_equal(first[name], second[name]), name


if __name__ == "__main__":
    prove(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["cache"])
