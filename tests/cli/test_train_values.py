"""`bitesize train` learns from values of every range, and says how it took them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bitesize as bs
from bitesize.cli.app import app
from bitesize.training.backend import choose_backend

try:
    choose_backend()
except bs.MissingPackage as error:
    pytest.skip(str(error), allow_module_level=True)

TUTORIAL = """
import keras

def make():
    model = keras.Sequential([
        keras.layers.Flatten(), keras.layers.Dense(128, activation="relu"), keras.layers.Dropout(0.2), keras.layers.Dense(2),
    ])
    model.compile(
        optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    return model
"""
STORED = {
    "float64 of 0 to 255": lambda x: x,
    "float64 of 0 to 1": lambda x: x / 255,
    "float32 of 0 to 255": lambda x: x.astype(np.float32),
    "uint8": lambda x: x.astype(np.uint8),
    "uint16 of 0 to 65535": lambda x: (x * 257).astype(np.uint16),
    "uint16 of 12 bits": lambda x: (x * 16).astype(np.uint16),
    "float32 of -1000 to 3000": lambda x: (x * 16 - 1000).astype(np.float32),
    "float64 of 0 to 16": lambda x: x / 16,
}


def run(*arguments, code=0, env_columns=None):
    env = None if env_columns is None else {"COLUMNS": str(env_columns), "TERMINAL_WIDTH": str(env_columns)}
    done = CliRunner().invoke(app, list(map(str, arguments)), env=env)
    assert done.exit_code == code, done.output
    return done


def refused(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(done.exception, bs.BitesizeError), done.output
    return str(done.exception)


def pictures(rows=160, side=20):
    """Dark stripes from top to bottom, and light ones from left to right; values of 0 to 255 as float64."""
    random = np.random.default_rng(0)
    x = np.empty((rows, side, side, 3))
    for i in range(rows):
        wave = 127 + 70 * np.sin(np.arange(side) * 0.9 + random.random())
        x[i] = wave[:, None, None] if i % 2 else wave[None, :, None]
    x += random.normal(0, 15, x.shape) + np.where(np.arange(rows) % 2, 25, -25)[:, None, None, None]
    return np.clip(x, 0, 255)


def in_folders(folder, x, suffix=".npy"):
    for i, row in enumerate(x):
        path = folder / ("Cats1", "Dogs1")[i % 2] / f"{i:03}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".npy":
            np.save(path, row)
        else:
            Image.fromarray(row.astype(np.uint8)).save(path, quality=95)
    return folder


def learned(data, out, *options):
    result = json.loads(run("train", data, "--epochs", 10, "--val-split", 0.2, "--out", out, "--json", *options).stdout)
    assert max(epoch["val_accuracy"] for epoch in result["epochs"]) > 0.9, result
    return result


_QUICK = ("float64 of 0 to 255",)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in _QUICK else [pytest.mark.slow]) for name in STORED])
def test_arrays_of_any_range_are_learned_from(name, tmp_path):
    data = in_folders(tmp_path / "data", STORED[name](pictures()))
    result = learned(data, tmp_path / "run", "--model", "mlp", "--batch-size", 16)
    (line,) = (line for line in result["understood"] if line.startswith("values: "))
    assert "--normalize none|unit|data|model changes this" in line
    assert name.split()[0] in line


def test_photographs_are_learned_from(tmp_path):
    data = in_folders(tmp_path / "data", pictures(), ".jpg")
    learned(data, tmp_path / "run", "--model", "mlp", "--batch-size", 16, "--image-size", 20, "--no-augment")


@pytest.mark.parametrize("file", ["model.py:make", pytest.param("model.py", marks=pytest.mark.slow)])
def test_the_tutorials_model_from_a_file_of_the_users_learns(file, tmp_path):
    (tmp_path / "model.py").write_text(TUTORIAL)
    data = in_folders(tmp_path / "data", pictures())
    learned(data, tmp_path / "run", "--model", tmp_path / file, "--batch-size", 16)


def textures(folder, rows=80, classes=("bright", "dark")):
    """Bright and dark textures: their means lie far from 0, and far from each other."""
    random, (y, x) = np.random.default_rng(0), np.mgrid[:32, :32]
    for name, mean in zip(classes, (200, 50), strict=True):
        (folder / name).mkdir(parents=True)
        for i in range(rows):
            wave = 40 * np.sin(random.uniform(0.1, 1) * x + random.uniform(0.1, 1) * y + random.uniform(0, 6))
            np.save(folder / name / f"{i}.npy", np.clip(mean + wave[..., None] + random.normal(0, 10, (32, 32, 3)), 0, 255))
    return folder


@pytest.mark.parametrize(
    "model", ["mlp", *(pytest.param(f"model.py:{name}", marks=pytest.mark.slow) for name in ("make", "ready"))]
)
def test_bright_and_dark_textures_are_learned_from_with_the_defaults(model, tmp_path):
    ready = "ready = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(64, 'relu'), keras.layers.Dense(2)])"
    (tmp_path / "model.py").write_text(f"{TUTORIAL}\n{ready}\n")
    data = textures(tmp_path / "data")
    model = model if model == "mlp" else tmp_path / model
    result = json.loads(run("train", data, "--model", model, "--out", tmp_path / "run", "--json").stdout)
    assert result["epochs"][-1]["val_accuracy"] > 0.95
    assert any("as in a sample of 64 rows" in line for line in result["understood"])
    found = json.loads(run("evaluate", tmp_path / "run", data, "--json").stdout)
    assert found["accuracy"] > 0.95


@pytest.mark.parametrize(
    ("first", "taken"),
    [
        ("BatchNormalization()", "scaled by 1/255"),
        ("Rescaling(2.0, offset=-1.0)", "scaled by 1/255"),
        ("Normalization()", "taken as stored"),
        ("Rescaling(1 / 255)", "taken as stored"),
        ("RandomFlip()", "brought to mean 0 and deviation 1"),
    ],
)
def test_a_model_that_begins_with_scaling_is_not_given_standardized_values(first, taken, tmp_path):
    (tmp_path / "model.py").write_text(
        TUTORIAL.replace("keras.layers.Flatten()", f"keras.layers.{first}, keras.layers.Flatten()")
    )
    data = textures(tmp_path / "data", 20)
    result = json.loads(
        run("train", data, "--model", tmp_path / "model.py", "--epochs", 1, "--out", tmp_path / "run", "--json").stdout
    )
    assert any(line.startswith("values: ") and taken in line for line in result["understood"])


@pytest.mark.parametrize(
    ("side", "model", "ways"),
    [
        (8, "mlp", "more --epochs or --normalize data"),
        (16, "mlp", "more --epochs, --model cnn or --normalize data"),
        pytest.param(16, "cnn", "more --epochs or --normalize data", marks=pytest.mark.slow),
        pytest.param(
            32, "cnn", "more --epochs, --model MobileNetV2 --weights imagenet or --normalize data", marks=pytest.mark.slow
        ),
    ],
)
def test_a_model_that_has_not_learned_is_said_with_what_its_rows_allow(tmp_path, side, model, ways):
    data = in_folders(tmp_path / "data", np.random.default_rng(0).uniform(0, 255, (12, side, side, 3)))
    options = ["--model", model, "--epochs", 1, "--learning-rate", 1e-9, "--out", tmp_path / "run"]
    # The same rows in both classes: no model could be better.
    for path in list((data / "Cats1").iterdir()):
        (data / "Dogs1" / path.name).write_bytes(path.read_bytes())
    val = in_folders(tmp_path / "val", np.full((4, side, side, 3), 90.0) + np.arange(side)[:, None])
    done = run("train", data, "--val", val, *options)
    assert f"no better than always answering 'Cats1' (0.500): try {ways}\n" in done.stderr
    again = [*options[2:-2], "--model", tmp_path / "run" / "model.keras", "--out", tmp_path / "again"]
    said = run("train", data, "--val", val, *again).stderr  # whose values stay those of the run
    assert "try more --epochs or another --learning-rate\n" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["largest_class"] == {"class": "Cats1", "share": 0.5}


@pytest.mark.parametrize("patience", [0, 5])
def test_a_model_that_has_learned_its_rows_by_heart_is_not_to_be_trained_longer(tmp_path, patience):
    data = in_folders(tmp_path / "data", np.random.default_rng(0).uniform(0, 255, (12, 8, 8, 3)))
    val = in_folders(
        tmp_path / "val", np.repeat(np.random.default_rng(1).uniform(0, 255, (6, 8, 8, 3)), 2, axis=0)
    )  # no model could be better
    options = ["--model", "mlp", "--epochs", 60, "--batch-size", 4, "--early-stopping", patience, "--no-augment"]
    done = run("train", data, "--val", val, *options, "--out", tmp_path / "run")
    ways = "try more data, --augment or a smaller --model"
    assert (
        f"no better than always answering 'Cats1' (0.500) although training reached accuracy 1 (overfitting): {ways}\n"
        in done.stderr
    )
    epochs = len(json.loads((tmp_path / "run" / "summary.json").read_text())["epochs"])
    said = (
        f"stopped early after epoch {epochs} of 60: no lower validation loss for 5 epochs (--early-stopping changes this)\n"
    )
    assert (said in done.stdout) == (patience > 0) == (epochs < 60)


def test_the_line_is_printed_and_kept_with_the_run(tmp_path):
    data = in_folders(tmp_path / "data", pictures(40))
    done = run("train", data, "--model", "mlp", "--epochs", 1, "--out", tmp_path / "run")
    line = "values: float64 from 0 to 255, brought to mean 0 and deviation 1, as in a sample of 36 rows"
    assert line in done.stdout
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["values"].startswith(line)
    (step,) = config["scaling"]
    assert step["name"] == "Normalize"
    assert len(step["mean"]) == 3
    assert config["value_range"].items() >= {"dtype": "float64", "kind": "bytes"}.items()


@pytest.mark.parametrize(
    ("setting", "scaling"),
    [
        ("none", []),
        pytest.param("unit", ["Scale"], marks=pytest.mark.slow),
        ("data", ["Normalize"]),
        pytest.param("model", ["Normalize"], marks=pytest.mark.slow),
    ],
)
def test_a_setting_decides_otherwise(setting, scaling, tmp_path):
    data = in_folders(tmp_path / "data", pictures(40))
    run("train", data, "--model", "mlp", "--epochs", 1, "--normalize", setting, "--out", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [step["name"] for step in config["scaling"]] == scaling


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on float64 of 0 to 255, and its data."""
    top = tmp_path_factory.mktemp("trained")
    data = in_folders(top / "data", pictures())
    learned(data, top / "run", "--model", "mlp", "--batch-size", 16)
    return top / "run", data


def test_a_run_scales_other_data_as_its_own(trained, tmp_path):
    out, data = trained
    same = json.loads(run("evaluate", out, data, "--json").stdout)
    for name, x in (("uint8", pictures().astype(np.uint8)), ("dark", pictures() / 8)):
        other = in_folders(tmp_path / name, x)
        found = json.loads(run("evaluate", out, other, "--json").stdout)
        if name == "uint8":
            assert found["accuracy"] == pytest.approx(same["accuracy"], abs=0.02)
            assert found["loss"] == pytest.approx(same["loss"], abs=0.02)
    photographs = in_folders(tmp_path / "jpg", pictures(), ".jpg")
    done = run("evaluate", out, photographs)
    assert "images are resized to 20 x 20" in done.stdout
    found = json.loads(run("evaluate", out, photographs, "--json").stdout)
    assert found["accuracy"] == pytest.approx(same["accuracy"], abs=0.05)


@pytest.mark.slow
def test_a_run_normalized_by_its_data_takes_8_bit_twins_alike(tmp_path):
    floats, integers = (
        in_folders(tmp_path / "f", pictures().round()),
        in_folders(tmp_path / "i", pictures().round().astype("u1")),
    )
    for mine, other in ((floats, integers), (integers, floats)):
        out = tmp_path / f"run {mine.name}"
        learned(mine, out, "--model", "mlp", "--batch-size", 16, "--normalize", "data")
        losses = [json.loads(run("evaluate", out, data, "--json").stdout)["loss"] for data in (mine, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_data_in_other_units_are_refused(trained, tmp_path):
    out, _ = trained
    unit = in_folders(tmp_path / "unit", pictures(20) / 255)
    for command in ("evaluate", "predict"):
        said = refused(command, out, unit, *(["--out", tmp_path / "p.csv"] if command == "predict" else []))
        assert "float64 from 0 to 255" in said
        assert "multiply the data by 255" in said
    for options in (["--normalize", "none"], []):
        _check_run_on_unit(tmp_path / f"of {len(options)}", trained[1], options)


def _check_run_on_unit(tmp_path, bytes_, options):
    ours = tmp_path / "ours"
    learned(in_folders(tmp_path / "more", pictures() / 255), ours, "--model", "mlp", "--batch-size", 16, *options)
    assert "divide the data by 255" in refused("evaluate", ours, bytes_)
    integers = in_folders(tmp_path / "bytes", pictures().astype(np.uint8))
    done = run("evaluate", ours, integers)
    assert "uint8 from 0 to 255, scaled by 1/255 to those of the run" in done.stdout
    losses = [json.loads(run("evaluate", ours, data, "--json").stdout)["loss"] for data in (tmp_path / "more", integers)]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_validation_data_do_not_change_the_scaling(tmp_path):
    data, dark = in_folders(tmp_path / "data", pictures(60)), in_folders(tmp_path / "dark", pictures(20) / 10)
    run("train", data, "--val", dark, "--model", "mlp", "--epochs", 1, "--out", tmp_path / "run")
    run("train", data, "--val-split", 0, "--model", "mlp", "--epochs", 1, "--out", tmp_path / "alone")
    config, alone = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("run", "alone"))
    assert config["scaling"] == alone["scaling"]
    assert config["transforms"] == config["scaling"]


def test_a_resumed_run_keeps_its_scaling(tmp_path):
    data = in_folders(tmp_path / "data", pictures(60) * 16 - 1000)
    options = ["--model", "mlp", "--checkpoint-every", 1, "--batch-size", 8]
    run("train", data, "--epochs", 1, "--out", tmp_path / "run", *options)
    before = json.loads((tmp_path / "run" / "config.json").read_text())
    done = run("train", "--resume", "--out", tmp_path / "run")
    assert "is finished" in done.stderr
    after = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {name: after[name] for name in ("scaling", "values", "value_range")} == {
        name: before[name] for name in ("scaling", "values", "value_range")
    }


def test_a_model_that_scales_pixels_itself_gets_them_as_stored(tmp_path):
    (tmp_path / "model.py").write_text(
        TUTORIAL.replace("keras.layers.Flatten()", "keras.layers.Rescaling(1 / 255), keras.layers.Flatten()")
    )
    data = in_folders(tmp_path / "data", pictures())
    result = learned(data, tmp_path / "run", "--model", tmp_path / "model.py", "--batch-size", 16)
    assert any("the model has a layer of its own that scales them" in line for line in result["understood"])


def table_of_scales(path):
    """Three features of very different scales; the small one separates the classes."""
    random = np.random.default_rng(0)
    y = np.arange(300) % 2
    x = np.column_stack([random.normal(0, 1e5, 300), y * 1e-3 + random.normal(0, 2e-4, 300), random.normal(40, 9, 300)])
    np.savez(path, x=x, y=y)
    return path


@pytest.mark.parametrize("model", ["mlp", "sklearn:SGDClassifier"])
def test_features_are_standardized_column_by_column(model, tmp_path):
    table, rate = table_of_scales(tmp_path / "table.npz"), ["--learning-rate", 0.01] if model == "mlp" else []
    result = learned(table, tmp_path / "run", "--model", model, *rate)
    assert any("each of 3 columns brought to mean 0 and deviation 1" in line for line in result["understood"])
    assert json.loads(run("evaluate", tmp_path / "run", table, "--json").stdout)["accuracy"] > 0.9


def test_a_model_of_counts_takes_no_values_below_0(tmp_path):
    table = table_of_scales(tmp_path / "table.npz")
    assert "does not take values below 0" in refused(
        "train", table, "--model", "sklearn:MultinomialNB", "--out", tmp_path / "run"
    )


def test_values_that_are_nan_are_refused(tmp_path):
    x = np.random.default_rng(0).normal(0, 100, (40, 3))
    x[7, 1] = np.nan
    np.savez(tmp_path / "table.npz", x=x, y=np.arange(40) % 2)
    said = refused("train", tmp_path / "table.npz", "--val-split", 0, "--out", tmp_path / "run")
    assert "feature 1 of the rows has NaN or infinite values" in said
