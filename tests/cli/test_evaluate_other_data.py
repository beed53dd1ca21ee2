"""Data for validation, evaluation and prediction that is stored otherwise than what a run was trained on."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from tests.cli.test_train_values import in_folders, learned, pictures, refused, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on float64 of 0 to 255 of 20 x 20 pixels, and its data."""
    top = tmp_path_factory.mktemp("other")
    data = in_folders(top / "data", pictures())
    learned(data, top / "run", "--model", "mlp", "--batch-size", 16)
    return top / "run", data


def test_one_file_of_the_shape_of_a_row_is_one_row(trained, tmp_path):
    out, data = trained
    done = run("predict", out, data / "Dogs1" / "001.npy", "--out", tmp_path / "p.csv")
    assert "x: the file is one row: (20, 20, 3) is the shape of the run's rows  [--no-file-is-row]" in done.stdout
    (line,) = csv.DictReader((tmp_path / "p.csv").read_text("utf-8-sig").splitlines())
    assert line["predicted"] == "Dogs1"
    # Many rows in a file are still many, and the setting still decides.
    np.save(tmp_path / "many.npy", pictures(6))
    assert "6 predictions" in run("predict", out, tmp_path / "many.npy", "--out", tmp_path / "many.csv").stdout
    file = data / "Dogs1" / "001.npy"
    assert "the data has (20, 3)" in refused("predict", out, file, "--no-file-is-row", "--out", tmp_path / "none.csv")


def test_arrays_of_another_size_are_resized_as_photographs_are(trained, tmp_path):
    out, _ = trained
    large = np.stack([np.asarray(Image.fromarray(row).resize((40, 30))) for row in pictures().astype(np.uint8)])
    other = in_folders(tmp_path / "large", large)
    done = run("evaluate", out, other)
    assert "images are resized to 20 x 20, the shape of the run's rows" in done.stdout
    assert json.loads(run("evaluate", out, other, "--json").stdout)["accuracy"] > 0.9
    done = run("predict", out, other / "Dogs1" / "001.npy", "--out", tmp_path / "p.csv")
    assert "the file is one row" in done.stdout
    assert "images are resized to 20 x 20" in done.stdout
    gray = in_folders(tmp_path / "gray", large[..., :1])
    assert "the data has (30, 40, 1)" in refused("evaluate", out, gray)


@pytest.mark.parametrize("model", ["mlp", "sklearn:SGDClassifier"])
def test_validation_data_may_be_of_another_dtype(model, tmp_path):
    data = in_folders(tmp_path / "data", pictures())
    val = in_folders(tmp_path / "val", pictures(40).astype(np.uint8))
    result = json.loads(
        run("train", data, "--val", val, "--model", model, "--epochs", 8, "--out", tmp_path / "run", "--json").stdout
    )
    assert result["epochs"][-1]["val_accuracy"] > 0.9
    small = in_folders(tmp_path / "small", pictures(40, 10))
    assert "validation data has" in refused("train", data, "--val", small, "--model", model, "--out", tmp_path / "other")


def test_resuming_a_finished_run_ends_at_once_and_names_what_can_be_done(tmp_path):
    data = in_folders(tmp_path / "data", pictures(40))
    out = tmp_path / "run"
    run("train", data, "--model", "mlp", "--epochs", 1, "--checkpoint-every", 1, "--out", out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.is_file()}
    done = run("train", "--resume", "--out", out)
    assert "is finished: nothing is left to train" in done.stderr
    assert f"evaluate {out} DATA" in done.stderr
    assert "another --out" in done.stderr
    assert done.stdout == ""
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.is_file()} == before
    assert len(json.loads(run("train", "--resume", "--out", out, "--json").stdout)["epochs"]) == 1


def test_the_memory_of_another_machine_is_for_plans(tmp_path):
    data = in_folders(tmp_path / "data", pictures(8))
    said = refused("train", data, "--ram", "8GiB")
    assert f"plan {data} --ram 8GiB" in said
    assert "--memory" in said


def test_splitting_by_folders_that_are_the_classes_names_the_way_out(tmp_path):
    data = in_folders(tmp_path / "data", pictures(20))
    said = refused("train", data, "--split-by", "folder", "--out", tmp_path / "run")
    assert "20 of 20 files are not" in said
    assert "omit it, or group files by a part of their names" in said
    assert len(said) < 400


def test_the_plan_of_a_small_table_speaks_of_no_pixels_and_no_more_rows_than_there_are(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    x = np.random.default_rng(0).normal(size=(300, 3))
    pandas.DataFrame(x, columns=["a", "b", "c"]).assign(kind=np.where(x[:, 1] > 0, "up", "down")).to_parquet(
        tmp_path / "t.parquet"
    )
    shown = " ".join(run("plan", tmp_path / "t.parquet", "--labels", "kind", env_columns=200).stdout.split())
    assert "uint8" not in shown
    assert "270 rows to select from" in shown
    assert "needed: a list and its array" in shown


def test_whole_bytes_in_large_floats_are_pointed_out(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (1500, 80, 80)).astype(np.float64)
    np.savez(tmp_path / "t.npz", x=x, y=np.arange(1500) % 2)
    shown = " ".join(run("plan", tmp_path / "t.npz").stdout.split())
    assert "are whole numbers from 0 to 255: as uint8 the data would take" in shown
    np.savez(tmp_path / "t.npz", x=x + 0.5, y=np.arange(1500) % 2)
    shown = " ".join(run("plan", tmp_path / "t.npz", "--model", "mlp").stdout.split())
    assert "uint8" not in shown
    assert "for the model" in shown


def test_a_part_that_training_does_not_use_is_said(tmp_path):
    x, y = pictures(60, 8).astype(np.uint8), np.arange(60) % 2
    np.savez(tmp_path / "t.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    done = run("train", tmp_path / "t.npz", "--model", "mlp", "--epochs", 1, "--out", tmp_path / "run")
    assert "split: train is trained on; not used: test  [--split]" in done.stdout
