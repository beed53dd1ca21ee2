"""Data in parts, and files that cannot be read, as the command line takes them."""

import csv
import json

import numpy as np
import pytest
from tests.cli.running import lines_of, run
from tests.conftest import noise, write_jpeg

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of dark and light photographs, in parts; and a run that learned from it."""
    top = tmp_path_factory.mktemp("parts")
    lines = ["path,label,split"]
    for i in range(120):
        pixels = (noise(20, 24, seed=i) // 2 + (128 if i % 2 else 0)).astype(np.uint8)
        write_jpeg(top / "photos" / f"{i}.jpg", pixels)
        lines.append(f"photos/{i}.jpg,{['dark', 'light'][i % 2]},{'train' if i < 80 else 'val'}")
    (top / "table.csv").write_text("\n".join(lines))
    run(
        "train",
        top / "table.csv",
        "--model",
        "sklearn:SGDClassifier",
        "--epochs",
        2,
        "--image-size",
        16,
        "--out",
        top / "run",
    )
    return top


def test_a_part_is_chosen_by_an_option_and_the_error_says_so(data):
    for command in (["evaluate", data / "run"], ["stats"], ["inspect"], ["bench"], ["predict", data / "run"]):
        said = run(*command, data / "table.csv", code=1).stderr
        assert "has splits (train, val): choose one with --split train" in said, command
    assert json.loads(run("plan", data / "table.csv", "--split", "val", "--json").stdout)["rows"] == 40
    whole = json.loads(run("plan", data / "table.csv", "--json").stdout)  # as `bitesize train` takes them
    assert (whole["rows"], whole["parts"]["validation"] > 0) == (80, True)
    assert json.loads(run("stats", data / "table.csv", "--split", "val", "--json").stdout)["classes"] == {
        "dark": 20,
        "light": 20,
    }
    found = json.loads(run("evaluate", data / "run", data / "table.csv", "--split", "val", "--json").stdout)
    assert (found["rows"], found["classes"]) == (40, ["dark", "light"])
    assert sum(map(sum, found["confusion"])) == 40


def test_predict_writes_a_line_for_every_file_however_many_are_bad(data, tmp_path):
    for i in range(40):
        target = tmp_path / "photos" / f"{i:02}.jpg"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((data / "photos" / f"{i}.jpg").read_bytes()[: -200 if i % 4 == 0 else None])
    out = tmp_path / "out.csv"
    said = run("predict", data / "run", tmp_path / "photos", "--out", out, "--on-error", "raise", code=1).stderr
    assert ".jpg: damaged JPEG" in said
    assert "bitesize check DATA lists all files that cannot be read" in said
    assert "--on-error skip" in said
    assert not out.exists()
    run("predict", data / "run", tmp_path / "photos", "--out", out)
    with out.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 40
    assert [i for i, line in enumerate(lines) if line["error"]] == list(range(0, 40, 4))
    assert all(bool(line["predicted"]) != bool(line["error"]) for line in lines)


def test_how_many_bad_rows_are_too_many_is_an_option(data, tmp_path):
    for i in range(40):
        kind = ["dark", "light"][i % 2]
        target = tmp_path / "photos" / kind / f"{i:02}.jpg"
        target.parent.mkdir(exist_ok=True, parents=True)
        target.write_bytes((data / "photos" / f"{i}.jpg").read_bytes()[: -200 if i in (3, 8, 21) else None])
    options = ["--on-error", "skip"]
    said = run("evaluate", data / "run", tmp_path / "photos", *options, code=1).stderr
    assert "--max-bad 0.01 allows 1" in said
    assert "--max-bad allows more" in said
    found = json.loads(run("evaluate", data / "run", tmp_path / "photos", *options, "--max-bad", 0.1, "--json").stdout)
    assert (found["rows"], len(found["bad"])) == (37, 3)
    train = ["train", tmp_path / "photos", "--model", "sklearn:SGDClassifier", "--epochs", 1, "--image-size", 16, *options]
    assert "allows 1" in run(*train, "--out", tmp_path / "run", code=1).stderr
    run(*train, "--max-bad", 0.5, "--out", tmp_path / "run")
    assert len(lines_of(tmp_path / "run" / "bad_rows.csv")) == 3
    assert "--max-bad must be a share" in run(*train, "--max-bad", 3, "--out", tmp_path / "run", code=1).stderr


def test_the_folder_of_a_run_is_not_taken_for_data(data):
    said = run("train", "--resume", data / "run", code=1).stderr
    assert f"bitesize train --resume --out {data / 'run'}" in " ".join(said.split())
