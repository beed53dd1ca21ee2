"""Build models by name: mlp, cnn, `keras.applications`, a function in a file, or a saved model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile, BadSetting, NotFound, WrongModel, one_line
from bitesize.memory.sizes import counted
from bitesize.spec import Encoded, Field, is_volume
from bitesize.training.backend import load_keras
from bitesize.training.cnn import build_cnn
from bitesize.training.image_shape import LEAST_SIDE, as_image
from bitesize.training.model_output import check_agreement, declared_output
from bitesize.training.pretrained import application_function, build_application, check_weights
from bitesize.training.run import RunFolder
from bitesize.training.settings import IMAGE_SIZE, TrainSettings
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.classify import Classify
from bitesize.training.unet import as_space, build_unet
from bitesize.training.user_model import check_file, check_loss, is_file, model_of_file
from bitesize.training.volume_cnn import LEAST_VOLUME_SIDE, as_volume, build_volume_cnn, takes_volumes

Shape = tuple[int, ...]
_OWN = ("auto", "mlp", "cnn", "unet")

# Most models of keras.applications halve images five times: 96 pixels would become 3.
_APPLICATION_IMAGE_SIZE = 128
# Prefixes of the names of layers that do not change values.
_RESHAPING = ("InputLayer", "Flatten", "Reshape", "Permute", "Random", "Resizing", "CenterCrop", "Cropping", "ZeroPadding")


def default_model(shape: Shape, axes: str = "") -> str:
    """Return the default model: ``"cnn"`` for images and volumes, ``"mlp"`` for features and small arrays."""
    if takes_volumes(shape, axes):
        return "cnn" if min(shape[:3]) >= LEAST_VOLUME_SIDE else "mlp"
    return "mlp" if len(shape) < 2 or (len(shape) == 2 and min(shape) < LEAST_SIDE) else "cnn"


def check_model(name: str, weights: str | None = None) -> None:
    """Raise for an invalid model or invalid weights, before data is read.

    Raises
    ------
    BadSetting
        If the model does not exist, or does not take weights.
    NotFound
        If a file does not exist.
    """
    if name.endswith(".keras"):
        if not os.path.isfile(name):
            raise NotFound(f"the model {name} does not exist")
    elif is_file(name):
        check_file(name)
    elif name not in _OWN:
        application_function(name)
    if weights is not None:
        check_weights(name, weights, is_application=is_application(name))


def is_application(name: str) -> bool:
    """Return whether a model's name is one of `keras.applications`, and not mlp, cnn or a file."""
    return not (name in _OWN or is_file(name) or name.endswith(".keras"))


def build_model(
    name: str, shape: Shape, outputs: int | Task, weights: str | None = None, *, tunes: bool = False, axes: str = ""
) -> Any:
    """Build an uncompiled Keras model that maps rows to the outputs of a task.

    Parameters
    ----------
    name
        - ``"mlp"``: Flatten, Dense 128 relu, Dropout 0.2, logits;
        - ``"cnn"``: a small residual convnet with group normalization, for images or volumes;
        - ``"unet"``: a small U-Net, for masks of images or volumes;
        - a name in `keras.applications`, such as ``"MobileNetV2"``;
        - ``"file.py:function"`` or ``"file.py"``, see `model_of_file`;
        - a saved ``.keras`` model.
    shape
        Shape of one row: (height, width, channels) for images.
    outputs
        Task that the model learns, or a number of classes.
    weights, tunes
        For `keras.applications`, as in `build_application`.
    axes
        Axes of a row, if the user has said them.

    Raises
    ------
    BadSetting
        If the model does not exist, or cannot take rows of this shape.
    NotFound
        If a file does not exist.
    WrongModel
        If its output does not match the task, is neither logits nor probabilities, or does not match its loss.
    """
    if name.startswith("sklearn:"):
        raise BadSetting(f"{name} is an estimator of scikit-learn: its memory cannot be computed as for a network")
    keras = load_keras(f"the model {name}")
    check_model(name, weights)
    task = Classify.numbered(outputs) if isinstance(outputs, int) else outputs
    if name == "mlp":
        model = _mlp(keras, shape, task.head(keras))
    elif name == "cnn" and takes_volumes(shape, axes):
        model = build_volume_cnn(keras, shape, axes, task.head(keras))
    elif name == "cnn":
        model = build_cnn(keras, shape, task.head(keras))
    elif name == "unet":
        model = build_unet(keras, shape, task.head(keras), axes)
    elif name.endswith(".keras"):
        try:
            model = keras.models.load_model(name, compile=False)
        except Exception as error:  # Keras raises many types of errors for damaged or foreign files
            raise BadFile(f"the model {name} cannot be loaded: {error}") from error
    elif is_file(name):
        model = model_of_file(name, shape, len(task.names))
        check_loss(model, name, task)
    else:
        model = build_application(name, shape, task.head(keras), weights, tunes)
    _check(model, name, shape, task)
    check_agreement(model, name, declared_output(model, name, task), task)
    return model


def scales_itself(model: Any) -> bool:
    """Return whether a user's model starts with a layer that scales pixels of 0 to 255."""
    for layer in itertools.islice(_leaves(model), 4):
        if type(layer).__name__ == "Normalization":
            return True
        if type(layer).__name__ == "Rescaling":
            return float(np.max(np.abs(layer.scale))) < 0.1
    return False


def begins_with_scaling(model: Any) -> bool:
    """Return whether the first computing layer of a model scales values to its own range."""
    layer = next((each for each in _leaves(model) if not type(each).__name__.startswith(_RESHAPING)), None)
    return type(layer).__name__ in ("Rescaling", "Normalization", "BatchNormalization")


def _leaves(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield from _leaves(layer) if hasattr(layer, "layers") else (layer,)


def choose_image_size(settings: TrainSettings, field: Field | Encoded) -> tuple[TrainSettings, list[str]]:
    """Choose the side of the square that images are resized to, if it is not given; return a line about it.

    Parameters
    ----------
    settings
        Settings of the run. A saved model of an earlier run gets the size that it was trained on.
    field
        Field of the rows. Arrays keep their size.
    """
    if settings.image_size is not None:
        cube = " x ".join([str(settings.image_size)] * 3)
        return settings, [f"volumes are resized to {cube}, all three sides (--image-size)"] if is_volume(field) else []
    if (size := _saved_image_size(settings.model)) is not None or not isinstance(field, Encoded):
        return replace(settings, image_size=size), []
    size = _APPLICATION_IMAGE_SIZE if is_application(settings.model) else IMAGE_SIZE
    return replace(settings, image_size=size), [f"images are resized to {size} x {size} (--image-size changes this)"]


def _saved_image_size(name: str) -> int | None:
    if not name.endswith(".keras") or (config := run_beside(name)) is None:
        return None
    shape = config["input_shape"]
    return int(shape[0]) if len(shape) == 3 and shape[0] == shape[1] else None


def run_beside(model: str) -> dict[str, Any] | None:
    """Read the config of the run whose folder contains a saved model, if any."""
    folder = RunFolder(Path(model).parent)
    return folder.config() if (folder.path / "config.json").is_file() else None


def _mlp(keras: Any, shape: Shape, head: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            head,
        ],
        name="mlp",
    )


def understood_shape(name: str, shape: Shape, axes: str = "") -> str | None:
    """Return a line about rows that are used as images or volumes but could be something else, or None."""
    if name in ("cnn", "unet") and takes_volumes(shape, axes):
        depth, height, width, channels = as_space(shape, axes) if name == "unet" else as_volume(shape, axes)
        many = counted(channels, "channel")
        return f"rows of shape {shape} taken as volumes of {depth} x {height} x {width} voxels with {many}"
    if name == "mlp" or name.endswith(".keras") or is_file(name):
        return None
    height, width, channels = as_image(name, shape)
    if len(shape) == 2:
        return f"rows of shape {shape} taken as gray images, ({height}, {width}, 1)"
    return f"rows of shape {shape} taken as images of {channels} channels" if channels not in (1, 3, 4) else None


def _check(model: Any, name: str, shape: Shape, task: Task) -> None:
    keras = load_keras()
    if not isinstance(model, keras.Model):
        raise WrongModel(f"{name} is {type(model).__name__}, not a Keras model")
    try:
        if not model.built:
            model.build((None, *shape))
        taken = getattr(model, "input_shape", None)
    except Exception as error:  # layers raise many types of errors for a wrong shape
        raise WrongModel(f"the model {name} cannot take rows of shape {shape}: {one_line(error, 500)}") from error
    if isinstance(taken, tuple) and not _fits(taken[1:], shape):
        side = taken[1] if len(taken) == 4 and taken[1] == taken[2] and len(shape) == 3 else None
        hint = f": use --image-size {side} to resize images to that shape" if side else ""
        raise WrongModel(f"the model {name} takes rows of shape {taken[1:]}, but the data has {shape}{hint}")
    given = _output_shape(model, name, shape)
    wanted = (None, *task.output_shape(shape))
    if not task.fits_output(given, shape):
        need = "needs" if len(task.names) == 1 else "need"
        end = f": end it in keras.layers.{f'Dense({wanted[1]})' if len(wanted) == 2 else f'Conv{len(wanted) - 2}D({wanted[-1]}, 1)'}"
        raise WrongModel(f"the model {name} returns {given}, but {task.described} {need} {wanted}{end}")


def _output_shape(model: Any, name: str, shape: Shape) -> Any:
    """Return the output shape; for a subclass of Model, which has no output shape, from one row of zeros."""
    try:
        return model.output_shape
    except (AttributeError, ValueError):
        pass  # found below
    try:
        return (None, *model(np.zeros((1, *shape), np.float32)).shape[1:])
    except Exception as error:  # layers raise many types of errors for a wrong shape
        raise WrongModel(f"the model {name} cannot take rows of shape {shape}: {one_line(error, 500)}") from error


def _fits(wanted: Sequence[int | None], shape: Shape) -> bool:
    return len(wanted) == len(shape) and all(w is None or w == s for w, s in zip(wanted, shape, strict=True))
