"""What `bitesize train` takes for classes, and what it refuses, with the names that are there."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image
from tests.cli.test_train_values import refused, run

from bitesize.cli.console import in_options

ROWS = 40
Y = np.arange(ROWS) % 2


def arrays(path, y, **others):
    np.savez(path, x=np.random.default_rng(0).integers(0, 255, (ROWS, 8, 8, 3), np.uint8), y=y, **others)
    return path


def classes_of(out):
    return json.loads((out / "classes.json").read_text())


def trained(data, out, *options):
    done = run("train", data, "--model", "mlp", "--epochs", 1, "--out", out, "--json", *options)
    return json.loads(done.stdout)["understood"]


@pytest.mark.parametrize(
    ("name", "y"),
    [
        ("floats", Y.astype(float)),
        ("a column", Y[:, None]),
        ("a column of floats", Y[:, None].astype(np.float32)),
        ("minus and plus one", Y * 2 - 1),
        ("codes", np.where(Y, 205, 100)),
        ("from one on", Y + 1),
    ],
)
def test_whole_numbers_are_classes_however_they_are_stored(name, y, tmp_path):
    said = trained(arrays(tmp_path / "data.npz", y), tmp_path / "run")
    assert classes_of(tmp_path / "run") == [str(each) for each in np.unique(y.astype(int))]
    assert any("2 different whole numbers, used as classes" in line for line in said)


def test_codes_in_a_table_are_named_as_there(tmp_path):
    for i in range(8):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    for names in (("1", "2"), ("100", "205"), ("20240101", "20240202")):
        table = tmp_path / "t.csv"
        table.write_text("path,label\n" + "".join(f"{i}.png,{names[i % 2]}\n" for i in range(8)))
        trained(table, tmp_path / names[0], "--image-size", 8, "--batch-size", 2)
        assert classes_of(tmp_path / names[0]) == list(names)
    for way in (("--epochs", 1), ("--epochs", 3, "--resume")):  # the table has other classes now
        options = ("--model", "mlp", "--image-size", 8, "--batch-size", 2, *way)
        said = refused("train", table, *options, "--out", tmp_path / "1")
        assert re.search(r"classes of .* have other names|other class names", said)
        assert "than at the start of the run" in said


def test_a_quantity_is_no_class(tmp_path):
    random = np.random.default_rng(0)
    for i in range(240):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    lines = [f"{i}.png,{random.integers(0, 4000)},{i / 7:.3f},{i % 15}" for i in range(240)]
    (tmp_path / "t.csv").write_text("\n".join(["path,count,size,stage", *lines]))
    said = refused("train", tmp_path / "t.csv", "--labels", "count", "--task", "classify")
    assert "--labels count of" in in_options(said)
    assert "distinct whole numbers in 240 rows: that is a quantity to predict, not a class" in said
    assert "numbers such as 0.143, but --task classify learns classes" in refused(
        "train", tmp_path / "t.csv", "--labels", "size", "--task", "classify"
    )
    said = trained(tmp_path / "t.csv", tmp_path / "run", "--labels", "stage", "--image-size", 8)
    assert any("15 different whole numbers" in line for line in said)


def test_data_without_known_labels_names_its_columns(tmp_path):
    for i in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    (tmp_path / "t.csv").write_text("path,patient,diagnosis\n" + "".join(f"{i}.png,p{i},ill\n" for i in range(4)))
    said = refused("train", tmp_path / "t.csv")
    assert "diagnosis" in said
    assert "--labels NAME" in in_options(said)


def test_labels_that_were_left_out_are_said(tmp_path):
    np.savez(tmp_path / "o.npz", x=np.zeros((4, 8, 8, 3), "u1"), y=np.array(["a", "b"] * 2, object), allow_pickle=True)
    said = refused("train", tmp_path / "o.npz")
    assert "left out: 1 y: an array of Python objects" in said
    assert "folder" not in said


def test_columns_come_in_the_order_of_the_run(tmp_path):
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    x = np.random.default_rng(0).normal(size=(300, 3)) * [1, 100, 1e4]
    table = pandas.DataFrame(x, columns=["a", "b", "c"]).assign(label=np.where(x[:, 1] > 0, "up", "down"))
    table.to_parquet(tmp_path / "t.parquet")
    table[["label", "c", "a", "b"]].to_parquet(tmp_path / "turned.parquet")
    table[["a", "c", "label"]].to_parquet(tmp_path / "less.parquet")
    run(
        "train",
        tmp_path / "t.parquet",
        "--epochs",
        8,
        "--batch-size",
        16,
        "--learning-rate",
        0.01,
        "--out",
        tmp_path / "run",
    )
    found = [
        json.loads(run("evaluate", tmp_path / "run", tmp_path / name, "--json").stdout)
        for name in ("t.parquet", "turned.parquet")
    ]
    assert found[0] == found[1] | {name: found[0][name] for name in ("left_out", "training_rows")}
    assert found[0]["accuracy"] > 0.9
    assert "no column 'b', which the run was trained on" in refused("evaluate", tmp_path / "run", tmp_path / "less.parquet")


def test_fields_of_one_number_are_features(tmp_path):
    random = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", a=random.random(40), b=random.random(40), y=Y)
    said = trained(tmp_path / "t.npz", tmp_path / "run")
    assert any(line.startswith("x: the columns a, b as one row of features") for line in said)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["input_shape"] == [2]


def test_sample_weights_are_used_and_said(tmp_path):
    weights = np.where(Y, 1.0, 0.0)
    said = trained(
        arrays(tmp_path / "w.npz", Y, weight=weights), tmp_path / "run", "--sample-weights", "weight", "--class-weights"
    )
    assert any(line.startswith("sample weights: ") for line in said)
    bad = arrays(tmp_path / "bad.npz", Y, weight=-weights)
    assert "must be at least 0" in refused("train", bad, "--sample-weights", "weight", "--model", "mlp")
    assert "weights of a model, use --weights imagenet" in refused("train", bad, "--sample-weights", "imagenet")
    assert "for a column of sample weights, use --sample-weights weight" in refused("train", bad, "--weights", "weight")
