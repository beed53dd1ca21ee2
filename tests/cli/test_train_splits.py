"""Validation data on the command line: kept apart by groups, in folds, and not the training data again."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image
from tests.cli.test_train_values import in_folders, pictures, refused, run

from bitesize.training.data import open_data
from bitesize.training.settings import TrainSettings

OPTIONS = ["--model", "mlp", "--epochs", 2, "--batch-size", 8]


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """Images of twelve patients of two classes, four each, in folders below those of the classes."""
    top = tmp_path_factory.mktemp("patients") / "data"
    for c in ("ill", "well"):
        for p in range(6):
            folder = top / c / f"{c}-{p}"
            folder.mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (20, 20), (p, i, len(c))).save(folder / f"{i}.png")
    return top


def folders(source):
    return {os.path.dirname(source.describe(i)) for i in range(len(source))}


def test_groups_stay_together(patients):
    for by in ("folder", r"((?:ill|well)-\d)"):
        data = open_data(TrainSettings(str(patients), val_split=0.25, split_by=by))
        assert len(data.train) + len(data.val) == 48
        assert not folders(data.train) & folders(data.val)
    with_hint = open_data(TrainSettings(str(patients), val_split=0.25))
    assert folders(with_hint.train) & folders(with_hint.val)


def test_a_hint_names_the_switch(patients, tmp_path):
    done = run("train", patients, "--image-size", 16, *OPTIONS, "--out", tmp_path / "run")
    assert '--split-by "folder"' in done.stdout


def test_a_column_keeps_rows_together(tmp_path):
    lines = [f"{i}.png,{'ab'[i % 2]},p{i // 4}" for i in range(40)]
    for i in range(40):
        Image.new("RGB", (20, 20), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "t.csv").write_text("\n".join(["path,label,patient", *lines]))
    data = open_data(TrainSettings(str(tmp_path / "t.csv"), val_split=0.3, split_by="patient"))
    assert not set(data.train.column("patient")) & set(data.val.column("patient"))
    assert "patient" in refused("train", tmp_path / "t.csv", "--split-by", "nowhere", *OPTIONS)


def test_folds_are_trained_one_by_one_and_summed_up(tmp_path):
    data = in_folders(tmp_path / "data", pictures(60))
    command = ["train", data, "--folds", 3, *OPTIONS, "--checkpoint-every", 2, "--out", tmp_path / "run"]
    done = run(*command)
    assert done.stdout.count("the whole process") <= 1
    assert "fold 3 of 3" in done.stdout
    assert "±" in done.stdout
    summary = json.loads((tmp_path / "run" / "folds.json").read_text())
    accuracies = [fold["val_accuracy"] for fold in summary["folds"]]
    assert summary["mean"]["val_accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-5)
    assert summary["std"]["val_accuracy"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-5)
    held = [
        {open_data(TrainSettings(str(data), folds=3, fold=fold)).val.describe(i) for i in range(20)} for fold in (1, 2, 3)
    ]
    assert len(set.union(*held)) == 60
    again = json.loads(run(*command, "--resume", "--json").stdout)
    assert again["folds"] == summary["folds"]
    assert "--folds" in refused("train", "--resume", "--out", tmp_path / "run")


def test_validation_rows_that_are_training_rows_are_said(tmp_path):
    data = in_folders(tmp_path / "data", pictures(40))
    for name, own, rows in (
        ("a", data, "40 of 40 validation rows are training rows"),
        ("b", data / ".." / "data", "40 of 40"),
    ):
        done = run("train", data, "--val", own, *OPTIONS, "--out", tmp_path / name)
        assert rows in done.stderr.replace("\n", " ")
    np.savez(tmp_path / "a.npz", x=pictures(40), y=np.arange(40) % 2)
    np.savez(tmp_path / "b.npz", x=pictures(40)[:10], y=np.arange(10) % 2)
    assert "10 of 10 validation rows" in " ".join(
        run("train", tmp_path / "a.npz", "--val", tmp_path / "b.npz", *OPTIONS, "--out", tmp_path / "c").stderr.split()
    )


def test_settings_of_splits_that_exclude_each_other_are_refused(patients):
    assert "drop --val" in refused("train", patients, "--folds", 3, "--val", patients)
    assert "at least 2" in refused("train", patients, "--folds", 1)
    assert "--split-by controls how" in refused("train", patients, "--val", patients, "--split-by", "folder")
