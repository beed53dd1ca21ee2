"""Rows that a model was trained on measure nothing new: `evaluate` and `train --val` say so."""

import json
import shutil

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg
from typer.testing import CliRunner

from bitesize.cli.app import app

SMALL = ("--model", "mlp", "--image-size", 16, "--epochs", 1)


def run(*arguments, code=0):
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    return done


def refusal(*arguments):
    return str(run(*arguments, code=1).exception)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty photographs of two classes, the same as arrays in one file, and a run of each."""
    root = tmp_path_factory.mktemp("data")
    for i in range(40):
        write_jpeg(root / "photos" / ("cat", "dog")[i % 2] / f"{i:02}.jpg", noise(40, 50, seed=i))
    np.savez(root / "rows.npz", x=noise(40 * 8, 8).reshape(40, 8, 8, 3), y=np.arange(40) % 2)
    run("train", root / "photos", *SMALL, "--out", root / "photos-run")
    run("train", root / "rows.npz", "--model", "mlp", "--epochs", 1, "--out", root / "rows-run")
    shutil.copytree(root / "photos", root / "copy")
    return root


@pytest.mark.parametrize(("name", "run_name"), [("photos", "photos-run"), ("rows.npz", "rows-run")])
def test_evaluation_on_training_rows_says_so_and_how_to_evaluate_the_others(data, name, run_name):
    done = run("evaluate", data / run_name, data / name)
    assert (
        "36 of 40 rows are training rows of this run: the figures do not apply to new data; use --part val to evaluate the validation rows"
        in done.output
    )
    held = run("evaluate", data / run_name, data / name, "--part", "val")
    assert "4 rows: loss" in held.stdout
    assert "training row" not in held.output
    told = json.loads(run("evaluate", data / run_name, data / name, "--json").stdout)
    assert (told["rows"], told["training_rows"]) == (40, 36)


def test_the_rows_held_back_are_those_of_the_validation_in_training(data):
    history = (data / "photos-run" / "history.csv").read_text(encoding="utf-8-sig").splitlines()
    line = dict(zip(history[0].split(","), history[1].split(","), strict=True))
    told = json.loads(run("evaluate", data / "photos-run", data / "photos", "--part", "val", "--json").stdout)
    assert told["loss"] == pytest.approx(float(line["val_loss"]), abs=1e-3)


def test_other_data_are_not_taken_for_those_of_the_run(data):
    assert "training row" not in run("evaluate", data / "photos-run", data / "copy").output
    assert "none of this data" in refusal("evaluate", data / "photos-run", data / "copy", "--part", "val")
    assert "--part must be val or train" in refusal("evaluate", data / "photos-run", data / "copy", "--part", "test")


def test_validation_on_a_copy_of_the_training_data_is_said(data, tmp_path):
    done = run("train", data / "photos", "--val", data / "copy", *SMALL, "--out", tmp_path / "run")
    assert "40 of 40 validation rows are copies of training rows'" in done.output
    for i in range(40):  # other pictures of the same names and sizes
        path = tmp_path / "other" / ("cat", "dog")[i % 2] / f"{i:02}.jpg"
        write_jpeg(path, noise(40, 50, seed=100 + i))
        size = (data / "photos" / path.parent.name / path.name).stat().st_size
        path.write_bytes((path.read_bytes() + bytes(size))[:size])
    done = run(
        "train",
        data / "photos",
        "--val",
        tmp_path / "other",
        *SMALL,
        "--on-error",
        "skip",
        "--max-bad",
        1,
        "--out",
        tmp_path / "2",
    )
    assert "copies" not in done.output
