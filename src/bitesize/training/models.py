"""Models by name: small ones of our own, `keras.applications`, a function in a file, or a saved model."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile, BadSetting, NotFound, WrongModel
from bitesize.training.backend import load_keras
from bitesize.training.run import RunFolder
from bitesize.transforms.base import Transform, from_dict
from bitesize.transforms.colour import Colour, Scale

Shape = tuple[int, ...]


def build_model(name: str, shape: Shape, classes: int, weights: str | None = None) -> Any:
    """Build an uncompiled Keras model that maps rows to one logit (or probability) a class.

    Parameters
    ----------
    name
        - ``"mlp"``: Flatten, Dense 128 relu, Dropout 0.2, logits;
        - ``"cnn"``: a small residual convnet with group normalisation;
        - a name in `keras.applications`, such as ``"MobileNetV2"``;
        - ``"file.py:function"``, called as ``function(input_shape, classes)``;
        - a saved ``.keras`` model.
    shape
        Shape of one row: (height, width, channels) for images.
    classes
        Number of classes.
    weights
        For `keras.applications`: a ``.weights.h5`` file of the model without its top; None starts from scratch.

    Raises
    ------
    BadSetting
        If there is no such model, or it cannot take such rows.
    NotFound
        If a file does not exist.
    WrongModel
        If its output does not fit the classes.
    """
    keras = load_keras()
    if weights is not None and not os.path.isfile(weights):
        raise NotFound(f"the weights {weights} do not exist")
    if name == "mlp":
        model = _mlp(keras, shape, classes)
    elif name == "cnn":
        model = _cnn(keras, shape, classes)
    elif name.endswith(".keras"):
        if not os.path.isfile(name):
            raise NotFound(f"the model {name} does not exist")
        try:
            model = keras.models.load_model(name, compile=False)
        except Exception as error:  # Keras raises many types for damaged or foreign files
            raise BadFile(f"the model {name} cannot be loaded: {error}") from error
    elif ":" in name:
        model = _of_file(name, shape, classes)
    else:
        model = _application(keras, name, shape, classes, weights)
    _check(model, name, shape, classes)
    return model


def build_to_look_at(name: str, shape: Shape, classes: int) -> tuple[Any, Shape]:
    """Make a model that need not be trained here: what a function of a user's file gives may be a PyTorch module.

    Returns
    -------
    model : Any
        As `build_model` gives it, or the module.
    shape : tuple of int
        Of one row as the model takes it: modules take images as (channels, height, width).
    """
    if name.startswith("sklearn:"):
        raise BadSetting(f"{name} is no network: what an estimator takes beside its batch, only it knows")
    if ":" not in name:
        return build_model(name, shape, classes), shape
    model = _of_file(name, shape, classes)
    if hasattr(model, "register_forward_hook"):
        return model, (shape[2], *shape[:2]) if len(shape) == 3 else shape
    _check(model, name, shape, classes)
    return model, shape


def input_scaling(name: str, whole: bool) -> list[Transform]:
    """Tell what a model expects done to pixel values.

    Parameters
    ----------
    name
        As `build_model` takes it.
    whole
        Whether the data are 8-bit values of 0 to 255. Other data are given as they are.

    Returns
    -------
    list of Transform
        What `keras.applications` does in its ``preprocess_input`` for that model; for a saved model of an earlier run what
        that run did; 0 to 1 for all others.
    """
    if not whole:
        return []
    if name.endswith(".keras") and (config := run_beside(name)) is not None:
        return [from_dict(settings) for settings in config["scaling"]]
    if name in ("mlp", "cnn") or ":" in name or name.endswith(".keras"):
        return [Scale(1 / 255)]
    module = importlib.import_module(_application_function(load_keras(), name).__module__)
    # Every preprocess_input is affine in the colours: four colours tell all of it.
    probe = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.float32).reshape(1, 2, 2, 3)
    black, red, green, blue = np.array(module.preprocess_input(probe)).reshape(4, 3).astype(np.float64)
    matrix = np.stack([(red - black) / 255, (green - black) / 255, (blue - black) / 255, black], axis=1)
    return [Colour(tuple(float(value) for value in matrix.reshape(-1)))]


def saved_image_size(name: str) -> int | None:
    """Tell the side of the square images that a saved model takes, or None."""
    if not name.endswith(".keras") or (config := run_beside(name)) is None:
        return None
    shape = config["input_shape"]
    return int(shape[0]) if len(shape) == 3 and shape[0] == shape[1] else None


def run_beside(model: str) -> dict[str, Any] | None:
    """Read the config of the run whose folder a saved model lies in, if it does."""
    folder = RunFolder(Path(model).parent)
    return folder.config() if (folder.path / "config.json").is_file() else None


def outputs_probabilities(model: Any) -> bool:
    """Whether a model ends in a softmax; else its outputs are taken as logits."""
    layer = model.layers[-1]
    return getattr(getattr(layer, "activation", None), "__name__", "") == "softmax" or type(layer).__name__ == "Softmax"


def _mlp(keras: Any, shape: Shape, classes: int) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(classes),
        ],
        name="mlp",
    )


def _cnn(keras: Any, shape: Shape, classes: int, widths: Sequence[int] = (24, 48, 96, 128)) -> Any:
    """Build a residual convnet of about 0.4 million parameters.

    Group normalisation, because batch normalisation's running averages (momentum 0.99) are still near their start after
    the few hundred steps of a small data set. The first convolution has stride 2: it saves three quarters of the work.
    """
    if len(shape) != 3 or min(shape[:2]) < 16:
        raise BadSetting(
            f"the model cnn needs images of at least 16 x 16 pixels, (height, width, channels), not rows of shape {shape}: try --model mlp"
        )
    layers = keras.layers

    def normed(x: Any) -> Any:
        return layers.GroupNormalization(groups=8)(x)

    inputs = keras.Input(shape)
    x = layers.Rescaling(4.0, -2.0)(inputs)  # 0 to 1 becomes -2 to 2: about zero mean and unit deviation for photographs
    x = layers.Conv2D(widths[0], 5, strides=2, padding="same", use_bias=False)(x)
    x = layers.Activation("relu")(normed(x))
    for width in widths[1:]:
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(normed(x))
        y = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.Add()([x, normed(y)]))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name="cnn")


def _application_function(keras: Any, name: str) -> Any:
    found = getattr(keras.applications, name, None)
    if not callable(found):
        names = sorted(known for known in dir(keras.applications) if known[0].isupper())
        raise BadSetting(
            f"no model {name!r}: there are mlp, cnn, file.py:function, a saved .keras, and of keras.applications {', '.join(names)}"
        )
    return found


def _application(keras: Any, name: str, shape: Shape, classes: int, weights: str | None) -> Any:
    function = _application_function(keras, name)
    try:
        base = function(include_top=False, weights=weights, input_shape=shape, pooling="avg")
    except ValueError as error:
        given = f" with the weights {weights}" if weights else ""
        raise BadSetting(f"{name} cannot take rows of shape {shape}{given}: {error}") from error
    except OSError as error:
        raise BadFile(f"the weights {weights} cannot be read: {error}") from error
    return keras.Model(base.input, keras.layers.Dense(classes)(base.output), name=name.lower())


def _of_file(name: str, shape: Shape, classes: int) -> Any:
    path, _, function = name.rpartition(":")
    if not os.path.isfile(path):
        raise NotFound(f"{path} does not exist (of the model {name})")
    spec = importlib.util.spec_from_file_location("bitesize_user_model", path)
    if spec is None or spec.loader is None:
        raise BadSetting(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build = getattr(module, function, None)
    if not callable(build):
        raise BadSetting(f"{path} has no function {function!r}")
    return build(shape, classes)


def _check(model: Any, name: str, shape: Shape, classes: int) -> None:
    keras = load_keras()
    if not isinstance(model, keras.Model):
        raise WrongModel(f"{name} gave {type(model).__name__}, not a Keras model")
    if not model.built:
        model.build((None, *shape))
    if isinstance(model.input_shape, tuple) and not _fits(model.input_shape[1:], shape):
        raise WrongModel(f"the model {name} takes rows of shape {model.input_shape[1:]}, and the data has {shape}")
    if model.output_shape != (None, classes):
        raise WrongModel(f"the model {name} gives {model.output_shape}, and {classes} classes need (None, {classes})")


def _fits(wanted: Sequence[int | None], shape: Shape) -> bool:
    return len(wanted) == len(shape) and all(w is None or w == s for w, s in zip(wanted, shape, strict=True))
