"""Models by name: small ones of our own, `keras.applications`, a function in a file, or a saved model."""

from __future__ import annotations

import difflib
import importlib
import inspect
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, NotFound, WrongModel
from bitesize.training.backend import load_keras
from bitesize.training.run import RunFolder
from bitesize.training.user_model import is_file, model_of_file

Shape = tuple[int, ...]

# Layers that leave values what they are, by the beginnings of their names.
_RESHAPING = ("InputLayer", "Flatten", "Reshape", "Permute", "Random", "Resizing", "CenterCrop", "Cropping", "ZeroPadding")

# Sides that the cnn and most of keras.applications can halve often enough.
_LEAST_SIDE = 16
# Images of satellites and microscopes have up to this many channels; a volume's depth is rarely less than half of its sides.
_MOST_CHANNELS, _FEW_CHANNELS = 32, 10


def default_model(shape: Shape) -> str:
    """Return the model that is trained where none is named: ``"cnn"`` for images, ``"mlp"`` for features and small arrays."""
    return "mlp" if len(shape) < 2 or (len(shape) == 2 and min(shape) < _LEAST_SIDE) else "cnn"


def build_model(name: str, shape: Shape, classes: int, pretrained: str | None = None) -> Any:
    """Build an uncompiled Keras model that maps rows to one logit (or probability) a class.

    Parameters
    ----------
    name
        - ``"mlp"``: Flatten, Dense 128 relu, Dropout 0.2, logits;
        - ``"cnn"``: a small residual convnet with group normalisation;
        - a name in `keras.applications`, such as ``"MobileNetV2"``;
        - ``"file.py:function"`` or ``"file.py"``, see `model_of_file`;
        - a saved ``.keras`` model.
    shape
        Shape of one row: (height, width, channels) for images.
    classes
        Number of classes.
    pretrained
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
    if name.startswith("sklearn:"):
        raise BadSetting(f"{name} is an estimator of scikit-learn: its memory cannot be computed, as that of a network can")
    if pretrained is not None:
        _check_pretrained(name, pretrained)
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
    elif is_file(name):
        model = model_of_file(name, shape, classes)
    else:
        model = _application(keras, name, shape, classes, pretrained)
    _check(model, name, shape, classes)
    return model


def expected_colors(name: str) -> NDArray[np.float64] | None:
    """Return what a model of `keras.applications` expects of pixels.

    Returns
    -------
    ndarray of float64, shape (3, 4), or None
        The color matrix of its ``preprocess_input``: ``out[i] = m[i, :3] @ rgb + m[i, 3]`` for values of 0 to 255. None for
        all other models, which take values of 0 to 1.
    """
    if name in ("mlp", "cnn") or is_file(name) or name.endswith(".keras"):
        return None
    module = importlib.import_module(_application_function(load_keras(), name).__module__)
    # Every preprocess_input is affine in the colors: four colors determine all of it.
    probe = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.float32).reshape(1, 2, 2, 3)
    black, red, green, blue = np.array(module.preprocess_input(probe)).reshape(4, 3).astype(np.float64)
    return np.stack([(red - black) / 255, (green - black) / 255, (blue - black) / 255, black], axis=1)


def scales_itself(model: Any) -> bool:
    """Whether a model of the user's begins with a layer that scales pixels of 0 to 255."""
    for layer in itertools.islice(_leaves(model), 4):
        if type(layer).__name__ == "Normalization":
            return True
        if type(layer).__name__ == "Rescaling":
            return float(np.max(np.abs(layer.scale))) < 0.1
    return False


def begins_with_scaling(model: Any) -> bool:
    """Whether the first layer of a model that computes anything brings values to a range of its own."""
    layer = next((each for each in _leaves(model) if not type(each).__name__.startswith(_RESHAPING)), None)
    return type(layer).__name__ in ("Rescaling", "Normalization", "BatchNormalization")


def _leaves(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield from _leaves(layer) if hasattr(layer, "layers") else (layer,)


def saved_image_size(name: str) -> int | None:
    """Return the side of the square images that a saved model takes, or None."""
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


def as_image(name: str, shape: Shape) -> Shape:
    """Return (height, width, channels) of rows that a model of images can take.

    Raises
    ------
    BadSetting
        If rows are no images: features, a volume, or images with channels first.
    """
    ways = "--model mlp takes any shape"
    if len(shape) == 2 and min(shape) >= _LEAST_SIDE:
        return (*shape, 1)
    if len(shape) != 3:
        raise BadSetting(f"the model {name} needs images, (height, width, channels), not rows of shape {shape}: {ways}")
    height, width, channels = shape
    if height <= 4 and width >= _LEAST_SIDE and channels >= _LEAST_SIDE:
        raise BadSetting(
            f"rows of shape {shape} look like images with channels first, and the model {name} needs (height, width, channels): "
            f"save them with np.moveaxis(x, 0, -1); {ways}"
        )
    if channels > _MOST_CHANNELS or (channels > _FEW_CHANNELS and 2 * channels > min(height, width)):
        raise BadSetting(
            f"rows of shape {shape} look like volumes, or have channels first, and the model {name} takes images, (height, width, "
            f"channels) with at most {_MOST_CHANNELS} channels: {ways}"
        )
    if name == "cnn" and min(height, width) < _LEAST_SIDE:
        raise BadSetting(
            f"the model cnn needs images of at least {_LEAST_SIDE} x {_LEAST_SIDE} pixels, not rows of shape {shape}: {ways}"
        )
    return shape


def understood_shape(name: str, shape: Shape) -> str | None:
    """Return a line about how a model of images takes rows that could be something else, or None."""
    if name == "mlp" or name.endswith(".keras") or is_file(name):
        return None
    height, width, channels = as_image(name, shape)
    if len(shape) == 2:
        return f"rows of shape {shape} taken as gray images, ({height}, {width}, 1)"
    return f"rows of shape {shape} taken as images of {channels} channels" if channels not in (1, 3, 4) else None


def _cnn(keras: Any, shape: Shape, classes: int, widths: Sequence[int] = (24, 48, 96, 128)) -> Any:
    """Build a residual convnet of about 0.4 million parameters.

    Group normalization, because batch normalization's running averages (momentum 0.99) are still near their start after
    the few hundred steps of a small data set. The first convolution has stride 2: it saves three quarters of the work.
    """
    image = as_image("cnn", shape)
    layers = keras.layers

    def normed(x: Any) -> Any:
        return layers.GroupNormalization(groups=8)(x)

    inputs = keras.Input(shape)
    x = layers.Reshape(image)(inputs) if image != shape else inputs
    x = layers.Rescaling(4.0, -2.0)(x)  # 0 to 1 becomes -2 to 2: about zero mean and unit deviation for photographs
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
    if inspect.isfunction(found):
        return found
    names = [known for known in dir(keras.applications) if known[0].isupper()]
    near = difflib.get_close_matches(name.lower(), [known.lower() for known in names] + ["mlp", "cnn"], 3, 0.6)
    shown = [known for each in near for known in [*names, "mlp", "cnn"] if known.lower() == each]
    starts = [known for known in names if name and known.lower().startswith(name.lower())]
    guess = min(starts, key=lambda known: (len(known), known)) if starts else next(iter(shown), None)
    meant = f"did you mean {guess}? " if guess else ""
    raise BadSetting(
        f"no model {name!r}: {meant}--model takes mlp, cnn, a name of keras.applications such as MobileNetV2, file.py:function, "
        "a saved .keras, or sklearn:NAME"
    )


def _application(keras: Any, name: str, shape: Shape, classes: int, pretrained: str | None) -> Any:
    function = _application_function(keras, name)
    image = as_image(name, shape)
    try:
        base = function(include_top=False, weights=pretrained, input_shape=image, pooling="avg")
    except ValueError as error:
        given = f" with the weights {pretrained}" if pretrained else ""
        raise BadSetting(f"{name} cannot take rows of shape {shape}{given}: {error}") from error
    except OSError as error:
        raise BadFile(f"the weights {pretrained} cannot be read: {error}") from error
    if image == shape:
        return keras.Model(base.input, keras.layers.Dense(classes)(base.output), name=name.lower())
    inputs = keras.Input(shape)
    features = base(keras.layers.Reshape(image)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes)(features), name=name.lower())


def _check_pretrained(name: str, pretrained: str) -> None:
    if pretrained == "imagenet":
        raise BadSetting(
            f"--pretrained imagenet: bitesize downloads nothing. Save the weights once, where there is a network: "
            f'keras.applications.{name}(include_top=False, weights="imagenet").save_weights("{name}.weights.h5"), and give '
            f"--pretrained {name}.weights.h5"
        )
    if not os.path.isfile(pretrained):
        raise NotFound(f"the weights {pretrained} do not exist")
    if name in ("mlp", "cnn") or is_file(name) or name.endswith(".keras"):
        raise BadSetting(f"--pretrained is for models of keras.applications, and --model is {name}")


def _check(model: Any, name: str, shape: Shape, classes: int) -> None:
    keras = load_keras()
    if not isinstance(model, keras.Model):
        raise WrongModel(f"{name} is {type(model).__name__}, not a Keras model")
    try:
        if not model.built:
            model.build((None, *shape))
        taken = getattr(model, "input_shape", None)
    except Exception as error:  # layers raise many types where a shape does not suit them
        raise WrongModel(
            f"the model {name} cannot take rows of shape {shape}: {' '.join(str(error).split())[:500]}"
        ) from error
    if isinstance(taken, tuple) and not _fits(taken[1:], shape):
        side = taken[1] if len(taken) == 4 and taken[1] == taken[2] and len(shape) == 3 else None
        hint = f": --image-size {side} resizes images to that" if side else ""
        raise WrongModel(f"the model {name} takes rows of shape {taken[1:]}, and the data has {shape}{hint}")
    given = _output_shape(model, name, shape)
    if given != (None, classes):
        raise WrongModel(
            f"the model {name} gives {given}, and {classes} classes need (None, {classes}): end it in keras.layers.Dense({classes})"
        )


def _output_shape(model: Any, name: str, shape: Shape) -> Any:
    """Return the output's shape; of a subclass of Model, which has none of its own, by a row of zeros."""
    try:
        return model.output_shape
    except (AttributeError, ValueError):
        pass  # found out below
    try:
        return (None, *model(np.zeros((1, *shape), np.float32)).shape[1:])
    except Exception as error:  # layers raise many types where a shape does not suit them
        raise WrongModel(
            f"the model {name} cannot take rows of shape {shape}: {' '.join(str(error).split())[:500]}"
        ) from error


def _fits(wanted: Sequence[int | None], shape: Shape) -> bool:
    return len(wanted) == len(shape) and all(w is None or w == s for w, s in zip(wanted, shape, strict=True))
