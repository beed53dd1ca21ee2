"""The model cnn for volumes."""

import numpy as np
import pytest
from typer.testing import CliRunner

import bitesize as bs
from bitesize.cli.app import app
from bitesize.training.models import build_model, default_model


def test_volumes_get_a_convnet_with_three_axes_and_the_head_of_the_task():
    model = build_model("cnn", (12, 16, 20, 2), 5)
    assert model.output_shape == (None, 5)
    assert {type(layer).__name__ for layer in model.layers} >= {"Conv3D"}
    assert build_model("cnn", (12, 16, 20), 3, axes="DHW").output_shape == (None, 3)


def test_the_default_model_depends_on_the_axes():
    assert default_model((16, 16, 16, 1)) == default_model((16, 16, 16), "DHW") == "cnn"
    assert default_model((4, 16, 16, 1)) == "mlp"  # too short to be halved three times


def test_volumes_that_the_cnn_cannot_take_are_refused():
    with pytest.raises(bs.BadSetting, match="at least 8 voxels"):
        build_model("cnn", (4, 16, 16, 1), 2)
    with pytest.raises(bs.BadSetting, match="channels seem to come first"):
        build_model("cnn", (3, 16, 16, 16), 2)


def volumes(folder, rows, size=(12, 14, 16)):
    """Write volumes of noise with a bright ball, near the first or the last plane, one file each in a folder per class."""
    z, y, x = np.mgrid[: size[0], : size[1], : size[2]]
    for i in range(rows):
        random = np.random.default_rng(i)
        depth = 3 if i % 2 else size[0] - 4
        ball = (z - depth) ** 2 + (y - random.uniform(4, 9)) ** 2 + (x - random.uniform(4, 11)) ** 2 < 9
        path = folder / ("near" if i % 2 else "far") / f"{i:03}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, (random.uniform(0, 120, size) + 120 * ball).astype(np.uint8))


@pytest.mark.slow
def test_volumes_of_files_are_learned_better_than_the_baseline_and_predicted(tmp_path):
    data, out = tmp_path / "data", tmp_path / "run"
    volumes(data, 96)
    command = ["train", str(data), "--axes", "DHW", "--epochs", "12", "--batch-size", "16", "--val-split", "0.25"]
    result = CliRunner().invoke(app, [*command, "--image-size", "12", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "taken as volumes of 12 x 12 x 12 voxels" in " ".join(result.output.split())
    model = bs.load(out)
    assert model.settings["model"] == "cnn"
    assert model.evaluate(data)["accuracy"] > 0.8  # the largest class has half of the rows
    found = model.predict([data / "near" / "001.npy", data / "far" / "000.npy"])
    assert found.labels == ["near", "far"]
