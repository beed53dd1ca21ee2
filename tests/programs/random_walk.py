"""Train, kill, repeat, resume, extend and overwrite one run in random order: nothing finished is lost, no row is trained twice. Also run by hand.

    python -m tests.programs.random_walk STEPS SEED

Each step is a process of its own. A killed one gets SIGKILL while it starts, after a random number of checkpoints or when a model takes its place, and a random moment
later. What must come out is known: the weights of runs that nobody disturbed, with the same settings.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bitesize.cli.app import main
from bitesize.training.run import RunFolder
from bitesize.training.run_status import read_status
from bitesize.training.snapshot import read_snapshot

ROWS, BATCH = 80, 2
STEPS_AN_EPOCH = 36  # of 72 training rows
EPOCHS, MOST_EPOCHS = 2, 5
SEEDS = (0, 1)
# A server that has imported everything once forks each process; where there is none, each imports it by itself.
CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")


def train(arguments: list[str], said: str) -> None:
    """Be `bitesize train`, in a process of its own; what it says goes into a file."""
    with open(said, "w") as file, open(os.devnull, "w") as nothing:
        os.dup2(file.fileno(), 2)
        os.dup2(nothing.fileno(), 1)
    sys.argv = ["bitesize", "train", *arguments]
    main()


@dataclass
class Walk:
    """One folder, and what is known of it.

    Attributes
    ----------
    seed
        Of the run that the newest checkpoint is of.
    path
        Numbers of epochs that it was to have, one after the other; None where it was made longer while it was interrupted, since the
        learning rate then depends on the moment.
    replacing
        Whether that run was begun with --overwrite and may not have an epoch yet.
    kills
        Processes that were killed so far.
    """

    folder: Path
    chance: random.Random
    seed: int = 0
    path: tuple[int, ...] | None = (EPOCHS,)
    replacing: bool = False
    kills: int = 0
    references: dict[tuple[int, tuple[int, ...]], list[np.ndarray]] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def step(self) -> str:
        """Take a step, and check what must hold."""
        status = read_status(self.out)
        whole = RunFolder(self.out).whole
        model = (self.out / "model.keras").read_bytes() if whole else b""
        killed = self.kills < 3 or self.chance.random() < 0.6
        kinds = ["repeat", "resume", "longer", "overwrite", "other"]
        kinds += ["longer", "longer", "overwrite", "overwrite"] if status.interrupted is None else ["repeat", "resume"]
        kind = self.chance.choice(kinds if status.checkpoint else ["repeat"])
        overwritten = kind == "overwrite"
        if kind == "longer" and (self._planned(status) or EPOCHS) >= MOST_EPOCHS:
            kind = "resume"
        known = self.seed, self.path, self.replacing
        arguments, refusal = self._arguments(kind, status)
        if overwritten:
            self.seed, self.path, self.replacing = self.chance.choice(SEEDS), (EPOCHS,), True
            arguments = [*self.command(self.seed), "--overwrite"]
        elif kind == "longer":
            longer = (self._planned(status) or EPOCHS) + 1
            self.path = (*self.path, longer) if self.path and status.interrupted is None else None
            arguments = ["--resume", "--epochs", str(longer)]
        code, said = self.run([*arguments, "--out", str(self.out)], killed)
        now = RunFolder(self.out)
        self.kills += code == -9
        if code == -9 and self._begun(read_status(self.out)) == self._begun(status):
            self.seed, self.path, self.replacing = known  # killed before it saved anything of its own
        if whole and not self.replacing:
            assert now.whole, "a model was lost"
        if refusal:
            assert code in (1, -9), said
            assert code == -9 or "with other settings" in said, said
            assert (self.out / "model.keras").read_bytes() == model if whole else True
        elif code == 0:
            self.replacing = False
            self._compare()
        else:
            assert code == -9, said
        if now.whole:
            self._check_whole()
        newest = read_status(self.out).checkpoint
        return f"{kind}{' killed' if code == -9 else ''}: {newest.name if newest else 'nothing saved'}"

    def _arguments(self, kind: str, status) -> tuple[list[str], bool]:
        if kind == "other":
            begun = status.interrupted
            nothing = begun is not None and not begun.epochs and status.config is None
            if nothing:  # nothing is lost: it is trained
                self.seed, self.path, self.replacing = 1 - self.seed, (EPOCHS,), True
                return self.command(self.seed), False
            return [*self.command(self.seed), "--learning-rate", "0.5"], True
        return (["--resume"] if kind == "resume" else self.command(self.seed)), False

    @staticmethod
    def _begun(status) -> tuple[str, int] | None:
        """Name the run of the newest checkpoint, with its number of epochs."""
        extra = status.checkpoint.extra if status.checkpoint else None
        return None if extra is None else (extra["run"], extra["settings"]["epochs"])

    @staticmethod
    def _planned(status) -> int | None:
        return status.checkpoint.extra["settings"]["epochs"] if status.checkpoint else None

    def command(self, seed: int) -> list[str]:
        return [str(self.folder / "data"), "--model", "mlp", "--batch-size", str(BATCH), "--epochs", str(EPOCHS), "--seed", str(seed),
                "--memory", "16MiB", "--checkpoint-every", "7", "--json"]  # fmt: skip

    def run(self, arguments: list[str], killed: bool) -> tuple[int, str]:
        """Run a command to its end, or kill it; return its code and what it said."""
        said = self.folder / "said"
        process = CONTEXT.Process(target=train, args=(arguments, str(said)))
        process.start()
        if killed:
            self._wait_for_a_moment(process)
            process.kill()
        process.join(timeout=300)
        return process.exitcode, said.read_text(encoding="utf-8") if said.is_file() else ""

    def _wait_for_a_moment(self, process) -> None:
        """Wait until a drawn number of files have appeared or changed in the run's folder, or only for a moment of the start."""
        events = self.chance.choice([0, 1, 2, 3, 5, 8, 13, 21])
        seen, deadline = self._files(), time.monotonic() + 300
        if not events:
            time.sleep(self.chance.uniform(0, 2))
        while events > 0 and process.is_alive() and time.monotonic() < deadline:
            now = self._files()
            events -= len(now - seen)
            seen |= now
            time.sleep(0.001)
        time.sleep(self.chance.choice([0, 0, 0.005, 0.05]))

    def _files(self) -> set[tuple[str, int]]:
        found = set()
        for top, _, names in os.walk(self.out):
            for name in names:
                try:
                    found.add((name, (Path(top) / name).stat().st_mtime_ns))
                except FileNotFoundError:  # removed meanwhile
                    continue
        return found

    def _check_whole(self) -> None:
        """Check that the model loads with finite weights, and its history has each epoch once."""
        import keras

        run = RunFolder(self.out)
        assert run.config()["settings"]["model"] == "mlp"
        model = keras.models.load_model(run.saved, compile=False)
        assert all(np.isfinite(weight).all() for weight in model.get_weights())
        history = self.out / "history.csv"
        if not history.is_file():
            assert self.replacing  # killed between the model and its history
            return
        with history.open() as file:
            epochs = [int(line["epoch"]) for line in csv.DictReader(file)]
        assert epochs == list(range(1, len(epochs) + 1)), epochs

    def _compare(self) -> None:
        """Check that a run that came to its end has trained each batch once: by its steps, and by the weights of an undisturbed run."""
        status = read_status(self.out)
        assert status.interrupted is None
        assert status.summary is not None
        epochs = self._planned(status)
        state, arrays = read_snapshot(self.out / "checkpoints" / status.checkpoint.name)
        assert int(arrays["optimizer/0"]) == epochs * STEPS_AN_EPOCH, int(arrays["optimizer/0"])
        assert (state["loader"]["epoch"], state["loader"]["position"]) == (epochs, 0)
        assert [line["epoch"] for line in status.summary["epochs"]] == list(range(1, epochs + 1))
        if self.path is not None:
            expected = self._reference(self.seed, self.path)
            found = [arrays[name] for name in sorted(arrays) if name.startswith(("weights/", "optimizer/"))]
            for first, second in zip(expected, found, strict=True):
                assert np.array_equal(first, second)

    def _reference(self, seed: int, path: tuple[int, ...]) -> list[np.ndarray]:
        if (seed, path) not in self.references:
            out = self.folder / f"reference-{seed}-{'-'.join(map(str, path))}"
            for epochs in path:
                begins = epochs == path[0]
                arguments = self.command(seed) if begins else ["--resume", "--epochs", str(epochs)]
                code, said = self.run([*arguments, "--out", str(out)], False)
                assert code == 0, said
            _, arrays = read_snapshot(sorted((out / "checkpoints").glob("*.npz"))[-1])
            found = [arrays[name] for name in sorted(arrays) if name.startswith(("weights/", "optimizer/"))]
            self.references[seed, path] = found
        return self.references[seed, path]


def make_data(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for i in range(ROWS):
        path = folder / "ab"[i % 2] / f"{i:03}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, (draw.normal(size=(2, 3)) + (i % 2)).astype(np.float32))


def walk(steps: int, seed: int, log=sys.stdout.write) -> list[str]:
    """Take some steps, then let the run come to its end; return what was done."""
    if CONTEXT.get_start_method() == "forkserver":
        CONTEXT.set_forkserver_preload(["tests.programs.random_walk", "bitesize.training.loop", "keras", "numba", "skops"])
    with tempfile.TemporaryDirectory() as temporary:
        make_data(Path(temporary) / "data")
        here = Walk(Path(temporary), random.Random(seed))
        done = []
        for number in range(steps):
            done.append(here.step())
            log(f"{number + 1:3} {done[-1]}\n")
        code, said = here.run([*here.command(here.seed), "--out", str(here.out)], False)
        assert code == 0, said
        here._compare()
        return done


if __name__ == "__main__":
    walk(int(sys.argv[1]), int(sys.argv[2]))
