"""Runs at addresses: trained, resumed on another machine, measured and used, and never half there."""

import hashlib
import json

import pytest
from tests.buckets import make_bucket
from tests.cli.running import lines_of, run
from tests.cli.test_run_folder import OPTIONS, make_rows

from bitesize.training import run_copy
from bitesize.training.trained import load

ADDRESS = "disk://bucket/runs/first"
TRAIN = [*OPTIONS, "--epochs", 3, "--checkpoint-every", 1]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_rows(tmp_path / "data")


@pytest.fixture
def bucket(tmp_path):
    return make_bucket(tmp_path / "bucket")


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Return a function that moves to a machine of another name, which has no copies of runs yet."""

    def move(name):
        monkeypatch.setattr(run_copy, "working_folder", lambda: tmp_path / f"cache of {name}")

    move("one")
    return move


def weights(path):
    import keras

    return [hashlib.md5(each.tobytes()).hexdigest() for each in keras.models.load_model(path).get_weights()]


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_run_at_an_address_is_that_of_a_folder(data, bucket, tmp_path, machine):
    run("train", data, *TRAIN, "--out", "local")
    done = run("train", data, *TRAIN, "--out", ADDRESS)
    assert f"Its files are copied to {ADDRESS}" in done.stderr
    assert f"saved in {ADDRESS}: model.keras" in " ".join(done.stdout.split())
    there = bucket.folder / "runs" / "first"
    assert names(there) == names(tmp_path / "local")
    assert weights(there / "model.keras") == weights(tmp_path / "local" / "model.keras")
    assert not (tmp_path / "cache of one").exists() or not names(tmp_path / "cache of one")
    machine("two")
    for name in ("loss", "accuracy", "confusion"):
        at, local = (json.loads(run("evaluate", each, data, "--json").stdout)[name] for each in (ADDRESS, "local"))
        assert at == local
    run("predict", ADDRESS, data, "--out", "disk://bucket/there.csv")
    run("predict", "local", data, "--out", "here.csv")
    assert lines_of(bucket.folder / "there.csv") == lines_of(tmp_path / "here.csv")
    assert load(ADDRESS + "/").classes == ("a", "b")
