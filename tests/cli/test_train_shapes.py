"""Rows of every shape: taken for what people mean, or refused with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.cli.test_train_values import refused, run

from bitesize.errors import BadSetting
from bitesize.training.models import as_image, default_model


def saved(path, shape):
    np.savez(path, x=np.random.default_rng(0).integers(0, 255, (20, *shape), np.uint8), y=np.arange(20) % 2)
    return path


@pytest.mark.slow
def test_gray_arrays_get_an_axis_for_their_channel(tmp_path):
    done = run("train", saved(tmp_path / "gray.npz", (28, 28)), "--epochs", 1, "--out", tmp_path / "run")
    assert "rows of shape (28, 28) taken as gray images, (28, 28, 1)" in done.stdout
    found = json.loads(run("evaluate", tmp_path / "run", tmp_path / "gray.npz", "--json").stdout)
    assert found["rows"] == 20


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((16, 24, 24), "look like volumes"),
        ((64, 24, 24), "look like volumes"),
        ((3, 64, 64), "channels first"),
        ((1, 28, 28), "channels first"),
        ((4, 24, 24, 1), "at least 8 voxels"),
        ((8, 8, 3), "at least 16 x 16"),
    ],
)
def test_what_is_no_image_is_refused_by_models_of_images(shape, says, tmp_path):
    said = refused("train", saved(tmp_path / "x.npz", shape), "--model", "cnn", "--epochs", 1, "--out", tmp_path / "run")
    assert says in said
    assert "--model mlp takes any shape" in said


@pytest.mark.parametrize("shape", [(24, 24, 1), (24, 20, 3), (24, 24, 4), (32, 32, 2), (32, 32, 10), (64, 64, 13)])
def test_images_of_any_few_channels_are_taken(shape):
    assert as_image("cnn", shape) == shape


def test_too_many_channels_are_refused():
    for shape in ((64, 64, 33), (24, 24, 16)):
        with pytest.raises(BadSetting, match="volumes"):
            as_image("cnn", shape)


def test_features_train_an_mlp(tmp_path):
    done = run("train", saved(tmp_path / "x.npz", (6,)), "--epochs", 1, "--out", tmp_path / "run")
    assert "model: mlp, for rows of shape (6,) (--model changes this)" in done.stdout
    assert [default_model(shape) for shape in ((), (6,), (8, 8), (28, 28), (32, 32, 3))] == [
        "mlp",
        "mlp",
        "mlp",
        "cnn",
        "cnn",
    ]
