"""What a model takes: parameters counted, activations by layers or by hooks."""

import pytest

import bitesize as bs
from bitesize.errors import WrongModel
from bitesize.training.footprint import Footprint, footprint, refuse_too_large
from bitesize.training.models import build_model
from bitesize.training.tasks.segment import Segment


def test_layers_tell_parameters_and_activations():
    model = build_model("mlp", (8, 8, 3), 10)  # 192 -> 128 -> 10
    weights = 4 * (192 * 128 + 128 + 128 * 10 + 10)
    found = footprint(model, (8, 8, 3))
    assert weights <= found.parameters <= weights + 64  # a seed of dropout beside them
    assert (found.gradients, found.optimizer) == (weights, 2 * weights)
    # Flatten 192, Dense 128, Dropout 128, Dense 10, each both ways in float32.
    assert found.activations == 2 * 4 * (192 + 128 + 128 + 10)
    assert found.row == 4 * 192


def test_convolutions_of_nested_models_are_counted():
    import keras

    inner = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3, padding="same")])
    model = keras.Sequential([keras.Input((16, 16, 3)), inner, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    found = footprint(model, (16, 16, 3))
    assert found.activations >= 2 * 4 * (16 * 16 * 8 + 8 + 2)
    assert found.gradients == 4 * (3 * 3 * 3 * 8 + 8 + 8 * 2 + 2)


def test_modules_of_torch_are_looked_at_by_hooks():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(2048, 2),
    )
    found = footprint(model, (3, 16, 16))
    assert found.gradients == 4 * (3 * 9 * 8 + 8 + 16 + 2048 * 2 + 2)
    assert found.parameters == found.gradients + 4 * 16 + 8  # running mean and variance, and a counter
    assert found.activations == 2 * 4 * (4 * 2048 + 2)
    assert model.training


def test_the_largest_batch_is_what_is_left_by_the_model():
    found = Footprint(parameters=100, gradients=100, optimizer=200, activations=90, row=10)
    assert found.total(3) == 700
    assert found.largest_batch(699) == 2
    assert found.largest_batch(700) == 3
    assert found.largest_batch(10) == 0


def test_a_module_of_torch_that_does_not_fit_the_rows_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(WrongModel, match=r"Conv2d cannot take one row of shape \(3, 16, 12\)"):
        footprint(torch.nn.Conv2d(7, 4, 3), (3, 16, 12))


def test_a_batch_of_volumes_that_needs_more_than_the_machine_has_is_refused_with_a_smaller_one():
    task = Segment(("a", "b"), numbers=(0, 1), dimensions=3)
    model = build_model("unet", (24, 24, 24), task, axes="DHW")
    refuse_too_large(model, (24, 24, 24), 1, 0)
    with pytest.raises(bs.DoesNotFit, match=r"batches of 10,000,000 rows needs .*Lower --batch-size to \d+"):
        refuse_too_large(model, (24, 24, 24), 10_000_000, 0)
    with pytest.raises(bs.DoesNotFit, match="No batch fits: give --image-size N"):
        refuse_too_large(model, (24, 24, 24), 1, 1 << 60)
