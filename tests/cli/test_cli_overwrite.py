"""A file that is there already is kept, and refused before any work, unless `--overwrite` is given."""

import numpy as np
import pytest
from tests.cli.test_cli import run
from tests.conftest import noise, write_jpeg


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twenty photographs of two classes, and a run."""
    root = tmp_path_factory.mktemp("data")
    for i in range(20):
        write_jpeg(root / "photos" / ("cat", "dog")[i % 2] / f"{i:02}.jpg", noise(40, 50, seed=i))
    for name in "ab":
        np.save(root / f"{name}.npy", np.zeros((3, 2)))
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    run("train", root / "photos", "--model", "mlp", "--image-size", 16, "--epochs", 1, "--out", root / "run")
    return root


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("predict", "{data}/run", "{data}/photos"), "predictions.csv"),
        (("inspect", "{data}/photos", "--rows", "1", "--draws", "1"), "grid.png"),
        (("concat", "{data}/a.npy", "{data}/b.npy", "--out", "all.npy"), "all.npy"),
        (("concat", "{data}/a.npy", "{data}/b.npy", "--out", "all"), "all.npy"),
    ],
)
def test_a_file_is_only_replaced_where_that_is_asked_for(data, tmp_path, command, name):
    command, out = [word.format(data=data) for word in command], tmp_path / name
    out.write_text("of value")
    refused = run(*command, code=1, cwd=tmp_path)
    assert f"{name} exists already: use --overwrite to replace it, or another --out to keep it" in refused.stderr
    assert out.read_text() == "of value"
    assert refused.stdout == ""
    run(*command, "--overwrite", cwd=tmp_path)
    assert out.read_bytes()[:8] != b"of value"


@pytest.mark.parametrize("words", [("nowhere", "{data}/photos"), ("{data}/run", "nowhere")])
def test_input_that_is_missing_is_said_before_a_file_that_is_there(data, tmp_path, words):
    (tmp_path / "predictions.csv").write_text("of value")
    run_and_data = [word.format(data=data) for word in words]
    assert "error: nowhere does not exist\n" in run("predict", *run_and_data, code=1, cwd=tmp_path).stderr


def test_predictions_are_kept_where_no_file_could_be_predicted(data, tmp_path):
    out = tmp_path / "p.csv"
    run("predict", data / "run", data / "photos", "--out", out)
    before = out.read_bytes()
    said = run("predict", data / "run", data / "broken.jpg", "--out", out, "--overwrite", code=1).stderr
    assert "p.csv is unchanged" in said
    assert out.read_bytes() == before


def test_a_demo_removes_no_folder_that_no_demo_made(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"mine")
    assert "was not made by a demo" in run("demo", "--folder", tmp_path, code=1).stderr
    assert (tmp_path / "photos" / "mine.jpg").read_bytes() == b"mine"
