"""Pretrained weights: where they come from, what they are fed, and that they are frozen first and then tuned."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import bitesize as bs
from bitesize.training.backend import choose_backend

try:
    choose_backend()
except bs.MissingPackage as error:
    pytest.skip(str(error), allow_module_level=True)

from tests.cli.running import run
from tests.conftest import noise, write_jpeg

from bitesize.training.backend import load_keras
from bitesize.training.capture import sync
from bitesize.training.fit import fit_phases
from bitesize.training.models import build_model
from bitesize.training.phases import choose_phases
from bitesize.training.pretrained import expected_colors
from bitesize.training.settings import TrainSettings

NAME = "VGG16"  # the fewest layers: built fastest


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Save weights as someone would who has a network; without one they are random."""
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    base = getattr(load_keras().applications, NAME)(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    for number, weight in enumerate(base.weights):
        weight.assign(weight + 0.01 * (number % 7))
    base.save_weights(path)
    return base, str(path)


def test_weights_come_from_a_file_into_one_layer(weights):
    base, path = weights
    model = build_model(NAME, (32, 32, 3), 4, path, tunes=True)
    held = next(layer for layer in model.layers if isinstance(layer, load_keras().Model))
    for there, here in zip(base.get_weights(), held.get_weights(), strict=True):
        np.testing.assert_array_equal(there, here)


def test_gray_rows_are_repeated_to_what_preprocess_input_makes_of_gray_pixels(weights):
    keras, (base, path) = load_keras(), weights
    gray = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8).astype(np.float32)
    wanted = base(keras.applications.vgg16.preprocess_input(np.repeat(gray[..., None], 3, axis=3)))
    model = build_model(NAME, (32, 32), 2, path, tunes=True)
    features = keras.Model(model.input, model.layers[-1].input)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(features(gray)), keras.ops.convert_to_numpy(wanted), rtol=1e-3, atol=1e-3
    )
    assert expected_colors(NAME)[:, 3].tolist() == pytest.approx([-103.939, -116.779, -123.68], abs=1e-2)


@pytest.mark.parametrize(
    ("name", "shape", "file", "error", "says"),
    [
        (NAME, (32, 32, 3), "none.weights.h5", bs.NotFound, "none.weights.h5: no such file"),
        (NAME, (32, 32, 3), "weight", bs.BadSetting, "--sample-weights weight"),
        ("mlp", (32, 32, 3), "imagenet", bs.BadSetting, "is for models of keras.applications, but --model is mlp"),
        (NAME, (32, 32, 4), "imagenet", bs.BadSetting, "needs RGB images with 3 channels"),
        ("VGG19", (32, 32, 3), None, bs.BadSetting, "are not those of VGG19 without its top"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, name, shape, file, error, says):
    with pytest.raises(error, match=says):
        build_model(name, shape, 2, file or weights[1], tunes=True)


def test_without_a_network_imagenet_says_where_the_file_goes_and_what_else_can_be_done(tmp_path):
    code = f"from bitesize.training.models import build_model; build_model({NAME!r}, (64, 64, 3), 2, 'imagenet')"
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | offline, capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stderr.splitlines()[-1]
    assert said.startswith("bitesize.errors.NotFound: --weights imagenet: Keras could not download"), done.stderr
    assert f"into {tmp_path / 'models'}" in said
    assert "https://storage.googleapis.com/" in said
    assert "put vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5, from" in said
    assert f"use --weights {NAME}.weights.h5" in said
    assert done.stdout == ""


# --- phases, on a model that compiles in a second ------------------------------------------------------------------------


def small_model():
    keras = load_keras()
    keras.utils.set_random_seed(3)
    layers = keras.layers
    base = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, activation="relu"), layers.BatchNormalization()], name="base"
    )
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(2)(layers.Dropout(0.2)(base(inputs))))


def train(folder, stop=None, **settings):
    """Train 3 epochs frozen and 3 tuned, of 5 batches each; stop after a number of batches."""
    keras = load_keras()
    settings = TrainSettings("data", weights="file", epochs=6, frozen_epochs=3, learning_rate=0.05, **settings)
    model, base, seen = small_model(), [], []
    settings, phases, said = choose_phases(settings, model, "logits", 0, 5)
    x = np.random.default_rng(0).random((40, 5), np.float32)
    with bs.Loader(bs.open(x, (x.sum(axis=1) > 2.5).astype(int)), batch_size=8, memory="16 MiB", threads=1) as loader:
        checkpoint = bs.keras.Checkpoint(folder, every_batches=1)

        def watch(batch, logs):
            seen.append(batch)
            sync(model)  # JAX carries weights outside of the model
            base.append(phases[0].base.get_weights()[0].copy())
            if len(seen) == stop:
                checkpoint.stop()

        history = fit_phases(
            model,
            bs.to_keras(loader),
            [(phase.end, lambda phase=phase: phase.begin(model, 5)) for phase in phases],
            checkpoint=checkpoint,
            resume=True,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=watch)],
        )
    return history.history, model.get_weights(), base, said


def test_weights_stay_while_they_are_frozen_and_move_afterwards(tmp_path):
    history, weights, base, said = train(tmp_path)
    assert len(history["loss"]) == 6
    for each in base[:15]:
        np.testing.assert_array_equal(each, base[0])
    assert not np.array_equal(base[-1], base[0])
    assert said[0].startswith(
        "pretrained: 3 epochs with the weights of auto frozen, learning rate 0.05, then 3 epochs of all weights, 0.005; batch"
    )
    averages = [each for each in weights if each.shape == (4,)][-2:]  # of batch normalization
    np.testing.assert_array_equal(averages, [np.zeros(4), np.ones(4)])


@pytest.mark.parametrize(
    "stop", [4, 10, 15, 16, 23]
)  # within the first phase, at an epoch's end, at its end, within the second
def test_a_training_that_is_stopped_in_any_phase_ends_as_one_that_was_not(stop, tmp_path):
    history, weights, _, _ = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop)
    again, resumed, base, _ = train(tmp_path / "stopped")
    assert len(base) == 30 - stop
    assert again == history
    for one, other in zip(weights, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_early_stopping_counts_no_frozen_epoch_and_keeps_their_weights_where_they_are_best(tmp_path):
    from bitesize.training.early_stopping import early_stopping

    callback = early_stopping(2, frozen=3)
    callback.set_model(small_model())
    callback.model.compile("sgd", "mse")
    callback.model.stop_training = False
    callback.on_train_begin()
    callback._set_monitor_op = lambda: setattr(callback, "monitor_op", np.less)
    stopped = []
    for epoch, loss in enumerate([1.0, 2.0, 2.0, 2.0, 2.0]):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        stopped.append(callback.model.stop_training)
    assert stopped == [False, False, False, False, True]
    assert callback.best_epoch == 0


@pytest.mark.slow
def test_the_command_line_freezes_then_tunes_says_so_and_the_run_predicts(weights, tmp_path):
    for i in range(24):
        write_jpeg(tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i}.jpg", noise(40, 48, seed=i))
    out = tmp_path / "run"
    options = ["--model", NAME, "--weights", weights[1], "--image-size", 32, "--epochs", 2, "--batch-size", 8]
    shown = run("train", tmp_path / "photos", *options, "--val-split", 0.25, "--out", out).stdout
    assert "pretrained: 1 epoch with the weights of VGG16 frozen, learning rate 0.001, then 1 epoch of all weights" in shown
    config = json.loads((out / "config.json").read_text())
    assert config["settings"]["weights"] == weights[1]
    told = json.loads(run("evaluate", out, tmp_path / "photos", "--json").stdout)
    assert told["rows"] == 24


@pytest.mark.slow
def test_values_stay_those_that_pretrained_weights_are_for_where_nothing_was_learned(weights, tmp_path):
    for i in range(12):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "data" / "ab"[i % 2] / f"{i // 2}.npy", np.full((32, 32, 3), 9 * (i // 2), np.uint8))
    arguments = [
        "train",
        tmp_path / "data",
        "--model",
        NAME,
        "--weights",
        weights[1],
        "--epochs",
        1,
        "--learning-rate",
        1e-9,
    ]
    arguments += ["--val", tmp_path / "data", "--batch-size", 4, "--memory", "64MiB", "--out", tmp_path / "run"]
    done = run(*arguments)
    assert "(0.500): try more --epochs or another --learning-rate\n" in done.stderr
