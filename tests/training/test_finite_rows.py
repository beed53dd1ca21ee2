"""Rows with values that are NaN or infinite: `train` skips them where bad rows are skipped, as `evaluate` and `predict` do."""

from __future__ import annotations

import csv
import json

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

REASON = "values that are NaN or infinite"


def train(*options, code=0):
    arguments = ["train", "--memory", "16MiB", "--epochs", 2, "--batch-size", 8, *options]
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    if code:
        assert isinstance(done.exception, bs.BitesizeError), done.output
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def rows(folder, odd=(), count=60):
    random = np.random.default_rng(0)
    for i in range(count):
        path = folder / "ab"[i % 2] / f"{i:03}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = random.normal(size=5).astype(np.float32) + i % 2
        values[2] = np.nan if i in odd else 0
        np.save(path, values)
    return folder


@pytest.mark.parametrize("model", ["mlp", "sklearn:SGDClassifier"])
@pytest.mark.parametrize("normalize", ["none", "data"])
def test_rows_that_are_not_finite_are_skipped_and_listed(model, normalize, tmp_path):
    if model != "mlp":
        pytest.importorskip("skops")
    data = rows(tmp_path / "data", odd=(6, 7))
    out = tmp_path / "run"
    options = ["--model", model, "--normalize", normalize, "--val-split", 0.2, "--max-bad", 0.1]
    result = train(data, *options, "--on-error", "skip", "--out", out, "--json")
    assert result["bad_rows"] == 2
    with (out / "bad_rows.csv").open(encoding="utf-8-sig") as file:
        listed = list(csv.DictReader(file))
    assert sorted(line["path"].rpartition("/")[2] for line in listed) == ["006.npy", "007.npy"]
    assert all(line["reason"].endswith(REASON) for line in listed)
    assert np.isfinite([epoch["val_loss"] for epoch in result["epochs"]]).all()
    with pytest.raises(bs.BadFile, match=REASON):
        bs.load(out).evaluate(data, memory="16 MiB")
    assert bs.load(out).evaluate(data, memory="16 MiB", on_error="skip", max_bad=0.1)["bad_rows"] == 2


@pytest.mark.parametrize("normalize", ["none", "data"])
def test_without_skipping_the_message_says_how_to(normalize, tmp_path):
    data = rows(tmp_path / "data", odd=(6,))
    said = train(data, "--normalize", normalize, "--val-split", 0, "--out", tmp_path / "run", code=1)
    assert "006.npy: 1 of 5 values of x" in said
    assert "skip them" in said
    assert "--on-error skip" in said


@pytest.mark.parametrize("model", ["mlp", "sklearn:SGDClassifier"])
def test_validation_data_are_looked_at_before_training(model, tmp_path):
    if model != "mlp":
        pytest.importorskip("skops")
    data, val = rows(tmp_path / "data"), rows(tmp_path / "val", odd=(6,))
    said = train(data, "--val", val, "--model", model, "--out", tmp_path / "run", code=1)
    assert f"1 row of 60 checked in the validation data has {REASON}: " in said
    assert "006.npy: 1 of 5 values of x. Fix these rows, or skip them with --on-error skip" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "kept", "options"),
    [
        ("mlp", "-epoch0-batch7.npz", []),
        ("mlp", "model.keras", ["--checkpoint-every", 0]),
        ("sklearn:SGDClassifier", "model.skops", []),
    ],
)
def test_what_the_sample_of_validation_data_misses_costs_no_epoch(model, kept, options, tmp_path):
    if model != "mlp":
        pytest.importorskip("skops")
    data, val = rows(tmp_path / "data"), rows(tmp_path / "val", odd=(1,), count=400)
    said = train(data, "--val", val, "--model", model, *options, "--out", tmp_path / "run", code=1)
    assert "001.npy: 1 of 5 values of x" in said
    assert f"Kept in {tmp_path / 'run'}" in said
    assert kept in said
    if model != "mlp" or options:
        assert len(bs.load(tmp_path / "run").predict(data, memory="16 MiB")) == 60
    else:
        rows(tmp_path / "val", count=400)
        arguments = ["--resume", "--out", tmp_path / "run", "--json"]
        done = CliRunner().invoke(app, list(map(str, ["train", *arguments])))
        assert done.exit_code == 0, done.output
        assert len(json.loads(done.stdout)["epochs"]) == 2
