"""Models by name, and the scaling that each expects."""

import importlib

import numpy as np
import pytest

import bitesize as bs
from bitesize.training.backend import choose_backend

try:
    choose_backend()
except bs.MissingPackage as error:
    pytest.skip(str(error), allow_module_level=True)

from bitesize.memory.budget import Budget
from bitesize.training.backend import load_keras
from bitesize.training.model_output import declared_output
from bitesize.training.models import build_model
from bitesize.training.pretrained import expected_colors, names
from bitesize.training.values import choose_scaling, measure_values


def families():
    """Return one model of each family of keras.applications: a family has one preprocess_input."""
    applications = load_keras().applications
    return sorted({getattr(applications, name).__module__: name for name in names()}.values())


@pytest.mark.parametrize("name", families())
def test_an_application_gets_what_its_preprocess_input_does(name):
    keras = load_keras()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    module = importlib.import_module(getattr(keras.applications, name).__module__)
    expected = np.array(module.preprocess_input(pixels.astype(np.float32)))
    for stored in (pixels, pixels.astype(np.float64), pixels / 255, pixels.astype(np.uint16) * 257):
        source, budget = bs.open(stored), Budget("64 MiB")
        steps = choose_scaling(source, "model", expected_colors(name), measure_values(source, budget), budget).steps
        with bs.Loader(source, batch_size=2, transforms=steps, memory="8 MiB", shuffle=False, dtype="float32") as loader:
            np.testing.assert_allclose(next(iter(loader))["x"], expected, atol=1e-2)


def test_the_small_models_are_what_they_say():
    mlp = build_model("mlp", (4, 4, 3), 5)
    assert [type(layer).__name__ for layer in mlp.layers] == ["Flatten", "Dense", "Dropout", "Dense"]
    assert mlp.count_params() == 48 * 128 + 128 + 128 * 5 + 5
    cnn = build_model("cnn", (32, 32, 1), 7)
    assert cnn.output_shape == (None, 7)
    assert cnn.count_params() < 500_000
    strides = {layer.strides for layer in build_model("cnn", (96, 96, 3), 7).layers if type(layer).__name__ == "Conv2D"}
    assert strides == {(1, 1), (2, 2)}
    kinds = [type(layer).__name__ for layer in build_model("cnn", (96, 97, 3), 7).layers]
    assert kinds.count("AveragePooling2D") == 3
    assert "AveragePooling2D" not in [type(layer).__name__ for layer in cnn.layers]
    assert declared_output(cnn, "cnn") == declared_output(mlp, "mlp") == "logits"


@pytest.mark.slow
def test_an_application_is_built_from_scratch_for_the_classes():
    model = build_model("MobileNetV2", (32, 32, 3), 4)
    assert model.output_shape == (None, 4)
    with pytest.raises(bs.BadSetting, match=r"cannot take rows of shape \(8, 8, 3\)"):
        build_model("MobileNetV2", (8, 8, 3), 4)
