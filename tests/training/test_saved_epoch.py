"""Of which epoch the model of a run is: `bs.load`, `predict` and `evaluate` say it."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pytest
from typer.testing import CliRunner

import bitesize as bs
from bitesize.cli.app import app
from bitesize.training.backend import choose_backend

try:
    choose_backend()
except bs.MissingPackage as error:
    pytest.skip(str(error), allow_module_level=True)


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def trained(tmp_path):
    """Return a function that trains on labels which nothing tells: what is learned by heart soon fails in validation."""
    random = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=random.normal(size=(60, 4)).astype(np.float32), y=random.integers(0, 2, 60))

    def train(*options):
        arguments = ["train", tmp_path / "data.npz", "--model", "mlp", "--memory", "16MiB", "--learning-rate", 0.05]
        run(*arguments, "--val-split", 0.3, "--out", tmp_path / "run", *options)
        return tmp_path / "run"

    return train


def history(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_accuracy_is_that_of_the_saved_model(trained, caplog):
    folder = trained("--epochs", 20, "--early-stopping", 2)
    best, lines = json.loads((folder / "summary.json").read_text())["best_epoch"], history(folder)
    assert best < len(lines)
    accuracy = float(lines[best - 1]["val_accuracy"])
    assert f"validation accuracy {accuracy:.3f}, of epoch {best} of {len(lines)})" in repr(bs.load(folder))
    assert not caplog.records


def test_one_epoch_is_one_epoch(trained):
    folder = trained("--epochs", 1, "--early-stopping", 1)
    assert repr(bs.load(folder)).endswith(" after 1 epoch)")


def test_the_model_of_a_run_that_is_not_finished_is_used_with_a_warning(trained, tmp_path, caplog):
    folder = trained("--epochs", 3, "--early-stopping", 0)
    (folder / "summary.json").unlink()  # as a run that was killed in its third epoch leaves it
    text = (folder / "history.csv").read_text().splitlines()[:3]
    (folder / "history.csv").write_text("\n".join(text) + "\n")
    line = "the run is not finished: epoch 2 of 3, its model is that of epoch 2"
    losses = [float(each["val_loss"]) for each in history(folder)]
    line += ", and epoch 1 has the lowest validation loss" if losses[0] < losses[1] else ""
    with caplog.at_level(logging.WARNING, "bitesize"):
        assert repr(bs.load(folder)).endswith(f"after 2 epochs, {line})")
    assert [record.getMessage() for record in caplog.records] == [f"load: {folder}: {line}"]
    for command in (["evaluate", folder, tmp_path / "data.npz"], ["predict", folder, tmp_path / "data.npz"]):
        done = run(*command, *(["--out", tmp_path / "found.csv"] if command[0] == "predict" else []))
        assert done.stderr.count(f"warning: {folder}: {line}\n") == 1


def test_a_run_that_is_trained_longer_is_finished_again(trained):
    folder = trained("--epochs", 1, "--early-stopping", 0)
    run("train", "--resume", "--epochs", 2, "--out", folder)
    assert bs.load(folder).saved_epoch.finished
    assert repr(bs.load(folder)).endswith(" after 2 epochs)")
