"""The model unet."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.training.models import build_model
from bitesize.training.tasks.segment import Segment

TASK = Segment(("a", "b", "c"), numbers=(0, 1, 2))


@pytest.mark.parametrize("shape", [(16, 16, 3), (17, 30, 5), (20, 24)])
def test_outputs_have_the_size_of_the_image_and_one_value_per_class(shape):
    model = build_model("unet", shape, TASK)
    assert model.output_shape == (None, *shape[:2], 3)
    assert model.predict_on_batch(np.zeros((2, *shape), np.float32)).shape == (2, *shape[:2], 3)


def test_it_has_about_half_a_million_parameters():
    assert 400_000 < build_model("unet", (64, 64, 3), TASK).count_params() < 600_000


def test_models_with_one_output_per_row_are_refused(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(
        "import keras\ndef make(shape, classes):\n    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)])\n"
    )
    with pytest.raises(bs.WrongModel, match=r"need \(None, 8, 8, 3\): end it in keras.layers.Conv2D\(3, 1\)"):
        build_model(str(file), (8, 8, 3), TASK)


def test_a_model_of_the_user_may_end_in_a_convolution(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(
        "import keras\ndef make(shape, classes):\n    return keras.Sequential([keras.Input(shape), keras.layers.Conv2D(classes, 1, activation='softmax')])\n"
    )
    assert build_model(str(file), (8, 8, 3), TASK).output_shape == (None, 8, 8, 3)
    file.write_text(file.read_text().replace("softmax", "sigmoid"))
    with pytest.raises(bs.WrongModel, match="ends in sigmoid"):
        build_model(str(file), (8, 8, 3), TASK)


OF_VOLUMES = Segment(("a", "b", "c"), numbers=(0, 1, 2), dimensions=3)


@pytest.mark.parametrize(("shape", "axes"), [((8, 16, 16, 1), ""), ((5, 17, 30), "DHW"), ((9, 8, 12, 2), "DHWC")])
def test_volumes_have_one_value_per_class_for_each_voxel(shape, axes):
    model = build_model("unet", shape, OF_VOLUMES, axes=axes)
    assert model.output_shape == (None, *shape[:3], 3)
    assert model.predict_on_batch(np.zeros((2, *shape), np.float32)).shape == (2, *shape[:3], 3)


def test_for_volumes_it_has_about_a_third_of_a_million_parameters():
    assert 300_000 < build_model("unet", (8, 8, 8, 1), OF_VOLUMES).count_params() < 400_000


def test_volumes_of_few_slices_and_rows_of_unknown_axes_are_refused():
    with pytest.raises(bs.BadSetting, match="the model unet needs volumes of at least 4 voxels along each axis"):
        build_model("unet", (3, 64, 64), OF_VOLUMES, axes="DHW")
    with pytest.raises(bs.BadSetting, match="--axes DHW makes them volumes"):
        build_model("unet", (16, 32, 32), TASK)


def test_a_model_of_the_user_for_volumes_is_told_the_convolution_to_end_in(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(
        "import keras\ndef make(shape, classes):\n    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)])\n"
    )
    with pytest.raises(bs.WrongModel, match=r"need \(None, 8, 8, 8, 3\): end it in keras.layers.Conv3D\(3, 1\)"):
        build_model(str(file), (8, 8, 8, 1), OF_VOLUMES)
