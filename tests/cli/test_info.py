"""`bitesize info`, and the lines with which other commands begin."""

import json

import numpy as np
import pytest
from tests.cli.running import run
from tests.layouts.drawing import image


@pytest.fixture
def folders(tmp_path):
    for i in range(8):
        image(tmp_path / "data" / ("cat", "dog")[i % 2] / f"{i}.png", 20 * i)
    (tmp_path / "data" / "notes.txt").write_text("hello")
    return tmp_path / "data"


def test_info_says_what_was_understood_and_what_decides_otherwise(folders):
    result = run("info", folders)
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert ["data", "8 rows: images (.png)"] in lines
    assert ["values", "uint8 from 0 to 140, in a sample of 8 rows"] in lines
    assert ["classes", "2: cat 4, dog 4"] in lines
    assert "labels: the names of the 2 class folders  [--labels]" in result.stdout
    assert "1 other file (.txt)" in result.stdout


def test_rows_of_the_sample_that_cannot_be_read_are_counted(folders):
    (folders / "cat" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    line = "uint8 from 20 to 140, in a sample of 7 rows, 1 of 8 could not be read (bitesize check lists all)"
    assert line in " ".join(run("info", folders).stdout.split())


def test_stats_of_a_damaged_file_says_what_lists_all(folders):
    (folders / "cat" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    assert "bitesize check DATA lists all files that cannot be read" in run("stats", folders, code=1).stderr


def test_info_prints_one_object_for_scripts(folders):
    found = json.loads(run("info", folders, "--json").stdout)
    assert (found["rows"], found["classes"]) == (8, {"cat": 4, "dog": 4})
    assert found["values"] == {"minimum": 0, "maximum": 140, "dtype": "uint8", "rows": 8}
    assert found["left_out"] == {"other files (.txt)": 1}
    assert json.loads(run("info", folders, "--labels", "none", "--json").stdout)["classes"] is None


def test_info_shows_each_split(tmp_path):
    np.savez(
        tmp_path / "m.npz",
        x_train=np.zeros((6, 4)),
        y_train=np.arange(6) % 2,
        x_test=np.ones((3, 4)),
        y_test=np.arange(3) % 2,
    )
    found = json.loads(run("info", tmp_path / "m.npz", "--json").stdout)["splits"]
    assert {name: each["rows"] for name, each in found.items()} == {"train": 6, "test": 3}
    assert "--split train" in run("info", tmp_path / "m.npz").stdout
    assert json.loads(run("info", tmp_path / "m.npz", "--split", "test", "--json").stdout)["rows"] == 3


@pytest.mark.parametrize("command", ["check", "stats", "plan"])
def test_other_commands_begin_with_the_same_lines(folders, command):
    shown = run(command, folders, code=3 if command == "check" else 0).stdout  # which finds that two images are alike
    assert "rows: images (.png)" in " ".join(shown.split())
    assert "1 other file (.txt)" in shown


def test_info_refuses_what_can_be_read_in_two_ways(tmp_path):
    for name in ("train", "val", "sample"):
        image(tmp_path / name / "cat" / "1.png", 1)
    result = run("info", tmp_path, code=1)
    assert "--split" in result.stderr
    assert "Traceback" not in result.stderr


def test_training_twice_inside_the_data_folder_leaves_the_runs_out(folders):
    command = ("train", ".", "--epochs", "1", "--model", "mlp", "--image-size", "8", "--batch-size", "4")
    for _ in range(2):
        result = run(*command, cwd=folders)
    assert "1 folder of training runs" in result.stdout
    assert json.loads((folders / "runs" / "2" / "classes.json").read_text()) == ["cat", "dog"]
