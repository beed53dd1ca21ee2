"""Models that are compiled with a loss of their own: settings of the loss are refused, and those of rows are used."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.cli.running import run

pytest.importorskip("keras")

ROWS = 24
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 4)).astype(np.float32)
TAGS = (RANDOM.random((ROWS, 3)) < 0.5).astype(np.uint8)
NUMBERS = RANDOM.normal(size=(ROWS, 2))
IMAGES = RANDOM.integers(0, 255, (ROWS, 8, 8, 3)).astype(np.uint8)
MASKS = RANDOM.integers(0, 2, (ROWS, 8, 8)).astype(np.uint8)
MASKS[:, :2] = 255
DENSE = "keras.layers.Dense(outputs)"
OF_PIXELS = "keras.layers.Conv2D(outputs, 1)"
OWN = """
def own(y, p):
    error = keras.ops.cast(y, p.dtype)
    error = keras.ops.reshape(error, (*error.shape, *[1] * (len(p.shape) - len(error.shape)))) - p
    return keras.ops.mean(error**2, axis=tuple(range(1, len(p.shape))))
"""


@pytest.fixture
def compiled(tmp_path):
    """Write a model that is compiled with a loss."""

    def write(layer, loss):
        (tmp_path / "net.py").write_text(
            f"import keras\n{OWN}\ndef make(shape, outputs):\n"
            f"    model = keras.Sequential([keras.Input(shape), {layer}])\n"
            f"    model.compile('sgd', {loss})\n    return model\n"
        )
        return tmp_path / "net.py"

    return write


def data(folder, x, y, **others):
    np.savez(folder / "data.npz", x=x, y=y, **others)
    return folder / "data.npz"


@pytest.mark.parametrize(
    ("x", "y", "layer", "loss", "option"),
    [
        (X, TAGS, DENSE, "keras.losses.BinaryCrossentropy(from_logits=True)", ["--class-weights"]),
        (X, TAGS, DENSE, "own", ["--class-weights"]),
        (IMAGES, MASKS, OF_PIXELS, "own", ["--class-weights"]),
        (X, NUMBERS, DENSE, "'mse'", ["--loss", "huber"]),
        (X, TAGS[:, 0], DENSE, "own", ["--loss", "crossentropy"]),
    ],
)
def test_settings_of_the_loss_are_refused_before_training(x, y, layer, loss, option, compiled, tmp_path):
    words = "train", data(tmp_path, x, y), "--model", compiled(layer, loss), "--out", tmp_path / "run", *option
    said = " ".join(run(*words, code=1).stderr.split())
    assert f"{' '.join(option)} is for the loss that bitesize chooses, but the model" in said
    assert f"leave compile out of the model, or drop {option[0]}" in said


def test_weights_of_classes_are_used_with_any_loss(compiled, tmp_path):
    loss = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
    labels = np.arange(ROWS) % 4 // 3
    found = [
        trained(tmp_path, data(tmp_path, X, labels), compiled(DENSE, loss), "--batch-size", ROWS, *option)
        for option in ([], ["--class-weights"])
    ]
    assert found[0]["epochs"][0]["loss"] != pytest.approx(found[1]["epochs"][0]["loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("x", "y", "layer", "loss"),
    [(X, TAGS, DENSE, "own"), (IMAGES, MASKS, OF_PIXELS, "own")],
)
def test_rows_of_weight_0_do_not_count_with_any_loss(x, y, layer, loss, compiled, tmp_path):
    weight = np.arange(ROWS) % 2 * 1.0
    others = np.where((weight == 0).reshape(-1, *[1] * (y.ndim - 1)) & (y < 255), 1 - y, y)
    found = [
        trained(tmp_path, data(tmp_path, x, labels, weight=weight), compiled(layer, loss), "--sample-weights", "weight")
        for labels in (y, others)
    ]
    assert found[0]["epochs"]
    assert [line["loss"] for line in found[0]["epochs"]] == [line["loss"] for line in found[1]["epochs"]]


def test_a_loss_of_keras_may_ignore_the_pixels_that_the_run_ignores(compiled, tmp_path):
    path = data(tmp_path, IMAGES, MASKS)
    loss = "keras.losses.SparseCategoricalCrossentropy(from_logits=True{})"
    model = compiled(OF_PIXELS, loss.format(""))
    refused = run("train", path, "--model", model, "--out", tmp_path / "run", code=1).stderr
    assert "SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)" in refused.replace("\n", "")
    result = trained(tmp_path, path, compiled(OF_PIXELS, loss.format(", ignore_class=255")), "--ignore-class", 255)
    assert "the model's own loss and metrics get them (--ignore-class none counts them)" in " ".join(result["understood"])


def test_what_is_said_of_the_loss_is_of_the_loss_that_is_used(compiled, tmp_path):
    result = trained(tmp_path, data(tmp_path, X, NUMBERS), compiled(DENSE, "own"))
    assert "standardized for the model's own loss" in " ".join(result["understood"])
    result = trained(tmp_path, data(tmp_path, X, TAGS), compiled(DENSE, "own"), "--val-split", 0.5)
    assert result["baseline"] is None  # a cross-entropy, which another loss cannot be compared with


def trained(folder, path, model, *options):
    words = ["--epochs", 1, "--batch-size", 8, *(() if "--val-split" in options else ("--val-split", 0)), *options]
    done = run("train", path, "--model", model, *words, "--out", folder / "run", "--overwrite", "--json")
    return json.loads(done.stdout)
