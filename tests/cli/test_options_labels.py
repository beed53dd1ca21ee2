"""``--labels none`` and ``--labels a,b`` mean the same to every command that opens data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.cli.test_train_labels import arrays
from tests.cli.test_train_values import in_folders, pictures, refused, run

import bitesize as bs


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return in_folders(tmp_path_factory.mktemp("labels") / "data", pictures(40))


@pytest.mark.parametrize("command", ["info", "check", "plan", "stats", "bench"])
def test_none_takes_data_without_labels(command, folders):
    options = ["--seconds", 0.1] if command == "bench" else []
    shown = run(command, folders, "--labels", "none", *options).stdout
    assert "labels    none" in shown
    assert "classes " not in shown
    assert "40" in shown


def test_training_and_evaluation_refuse_none(folders, tmp_path):
    said = refused("train", folders, "--labels", "none", "--out", tmp_path / "run")
    assert "--labels none opens the data without labels, but training needs the class of each row" in said
    run("train", folders, "--model", "mlp", "--epochs", 1, "--out", tmp_path / "run")
    assert "but evaluation needs the class" in refused("evaluate", tmp_path / "run", folders, "--labels", "none")
    out = tmp_path / "p.csv"
    run("predict", tmp_path / "run", folders, "--labels", "none", "--out", out)
    assert len(out.read_text().splitlines()) == 41


def test_plan_says_that_training_would_refuse_none(folders):
    shown = " ".join(run("plan", folders, "--labels", "none").stdout.split())
    assert "bitesize train cannot use this data: --labels none opens the data without labels" in shown


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of numbers with two columns of labels; opened once, because its reader keeps a pipe open from then on."""
    path = tmp_path_factory.mktemp("labels") / "t.csv"
    lines = [f"{i},{2 * i},{i % 2},{i % 3 % 2}\n" for i in range(40)]
    path.write_text("width,height,round,bright\n" + "".join(lines))
    bs.open(path)
    return path


def test_several_names_are_several_targets(table, tmp_path):
    for command in ("info", "check", "stats"):
        assert "a 0 or 1 for each of round, bright" in run(command, table, "--labels", "round,bright").stdout
    refusal = "needs one class per row"
    classify = ("--labels", "round,bright", "--task", "classify")
    assert refusal in refused("train", table, *classify, "--out", tmp_path / "run")
    assert refusal in " ".join(run("plan", table, *classify).stdout.split())


def test_the_run_keeps_the_labels_as_they_were_given(tmp_path):
    data = arrays(tmp_path / "d.npz", np.arange(40) % 2, kind=np.arange(40) % 4)
    run("train", data, "--labels", "kind", "--model", "mlp", "--epochs", 1, "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["labels"] == "kind"
