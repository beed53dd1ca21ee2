"""`bitesize cache` lists and removes caches; `bitesize train --cache` and `bitesize plan --cache` use them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tests.cli import running


def run(*arguments, code=0):
    done = running.run(*arguments, code=code)
    return done.stdout if code == 0 else " ".join(done.stderr.split())


@pytest.fixture
def photographs(tmp_path):
    random = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "photos" / ("dark", "light")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((random.integers(0, 120, (40, 36, 3)) + 100 * (i % 2)).astype(np.uint8)).save(path)
    return tmp_path / "photos"


def train(photographs, out, *more):
    pytest.importorskip("skops")
    common = (
        "--model",
        "sklearn:SGDClassifier",
        "--epochs",
        "2",
        "--image-size",
        "24",
        "--batch-size",
        "8",
        "--memory",
        "64MiB",
    )
    return json.loads(run("train", photographs, *common, "--out", out, "--json", *more))


def figures(out):
    """What training measured; times differ."""
    lines = running.lines_of(out / "history.csv")
    return [{name: value for name, value in line.items() if "loss" in name or "accuracy" in name} for line in lines]


def test_training_fills_a_cache_and_ends_with_the_same_model(photographs, tmp_path):
    train(photographs, tmp_path / "plain")
    for out in ("first", "second"):
        train(photographs, tmp_path / out, "--cache", "8MiB", "--cache-folder", tmp_path / "cache")
        assert figures(tmp_path / out) == figures(tmp_path / "plain")
    listed = json.loads(run("cache", "--folder", tmp_path / "cache", "--json"))["caches"]
    assert {entry["form"] for entry in listed} == {"batch", "decoded"}  # validation, and training with random crops
    assert all(entry["shards"] and entry["bytes"] > 4096 for entry in listed)
    assert all(entry["root"].endswith("photos") for entry in listed)


def test_a_list_and_removal_for_people(photographs, tmp_path):
    train(photographs, tmp_path / "run", "--cache", "8MiB", "--cache-folder", tmp_path / "cache")
    shown = run("cache", "--folder", tmp_path / "cache")
    assert "decoded" in shown
    assert "Resize" in shown
    keys = [entry["key"] for entry in json.loads(run("cache", "--folder", tmp_path / "cache", "--json"))["caches"]]
    assert "freed" in run("cache", "clear", keys[0][:8], "--folder", tmp_path / "cache")
    left = json.loads(run("cache", "--folder", tmp_path / "cache", "--json"))["caches"]
    assert [entry["key"] for entry in left] == keys[1:]
    assert json.loads(run("cache", "clear", "--folder", tmp_path / "cache", "--json"))["freed_bytes"] > 0
    assert "No caches" in run("cache", "--folder", tmp_path / "cache")


def test_no_folder_is_no_cache(tmp_path):
    assert json.loads(run("cache", "--folder", tmp_path / "none", "--json"))["caches"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("remove",), "takes list, or clear"),
        (("list", "key"), "takes list, or clear"),
        (("clear", "abc"), "has no cache 'abc'"),
    ],
)
def test_wrong_arguments_are_said(photographs, tmp_path, arguments, says):
    train(photographs, tmp_path / "run", "--cache", "8MiB", "--cache-folder", tmp_path / "cache")
    assert says in run("cache", *arguments, "--folder", tmp_path / "cache", code=1)


def test_a_folder_of_other_things_is_not_cleared(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    assert "is no cache" in run("cache", "clear", "--folder", tmp_path, code=1)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--cache", "much"), "is not a size"),
        (("--cache-folder", "somewhere"), "--cache-folder needs --cache"),
        (("--cache", "1MiB", "--cache-kind", "jpeg"), "--cache-kind must be exact or pixels"),
        (("--max-side", "0"), "--max-side"),
    ],
)
def test_wrong_options_are_refused_before_work(photographs, tmp_path, options, says):
    assert says in run("train", photographs, "--out", tmp_path / "run", *options, code=1)
    assert not (tmp_path / "run").exists()


def test_the_plan_has_what_is_kept(photographs, tmp_path):
    plan = json.loads(
        run("plan", photographs, "--cache", "8MiB", "--cache-folder", tmp_path / "cache", "--image-size", "24", "--json")
    )
    assert plan["cache"]["kept"] == "decoded images"
    assert plan["cache"]["rows"] == 36
    assert plan["cache"]["limit"] == 8 << 20
    shown = " ".join(run("plan", photographs, "--cache", "8MiB", "--cache-folder", tmp_path / "cache").split())
    assert "They are added while epochs run; later epochs read from it" in shown
    assert "Validation: Cache in" in shown


def test_reduced_images_are_those_of_evaluation_and_prediction(photographs, tmp_path):
    """The settings that change values are those of the run, also without a cache."""
    train(photographs, tmp_path / "run", "--max-side", "16", "--cache-kind", "pixels")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"]["max_side"] == 16
    assert config["settings"]["cache_kind"] == "pixels"
    seen = json.loads(run("evaluate", tmp_path / "run", photographs, "--json"))
    # The same run without these settings sees other pixels.
    config["settings"] |= {"max_side": None, "cache_kind": "exact"}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert json.loads(run("evaluate", tmp_path / "run", photographs, "--json"))["loss"] != seen["loss"]
