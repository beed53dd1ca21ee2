"""Build models of `keras.applications` for given rows and classes, from scratch or with pretrained weights."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound, one_line
from bitesize.training.backend import keras_home, load_keras
from bitesize.training.image_shape import Shape, as_image

_DROPOUT = 0.2
# Timeout of a download, in seconds.
_TIMEOUT = 30.0


def names() -> list[str]:
    """Return the names of the models of `keras.applications`."""
    applications = load_keras("the list of the models of keras.applications").applications
    return [name for name in dir(applications) if inspect.isfunction(getattr(applications, name))]


def application_function(name: str) -> Any:
    """Return the function of `keras.applications` that builds a model.

    Raises
    ------
    BadSetting
        If the model does not exist; the message suggests a similar name.
    """
    found = getattr(load_keras(f"the model {name}").applications, name, None)
    if inspect.isfunction(found):
        return found
    known = [*names(), "mlp", "cnn"]
    near = difflib.get_close_matches(name.lower(), [known_name.lower() for known_name in known], 1, 0.6)
    alike = [known_name for known_name in known if known_name.lower() in near]
    starts = [known_name for known_name in known if name and known_name.lower().startswith(name.lower())]
    guess = min(starts, key=lambda known_name: (len(known_name), known_name)) if starts else next(iter(alike), None)
    meant = f"; did you mean {guess}?" if guess else ":"
    raise BadSetting(
        f"unknown model {name!r}{meant} --model takes mlp, cnn, a name of keras.applications, file.py:function, a saved .keras, or "
        "sklearn:NAME (list: bitesize models)"
    )


def expected_colors(name: str) -> NDArray[np.float64]:
    """Return the preprocessing of pixels for a model of `keras.applications`.

    Returns
    -------
    ndarray of float64, shape (3, 4)
        The color matrix of its ``preprocess_input``: ``out[i] = m[i, :3] @ rgb + m[i, 3]`` for values of 0 to 255. If the
        model has its own scaling layer, values are unchanged.
    """
    module = importlib.import_module(application_function(name).__module__)
    # Every preprocess_input is affine in the colors: four colors determine it.
    probe = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.float32).reshape(1, 2, 2, 3)
    black, red, green, blue = np.array(module.preprocess_input(probe)).reshape(4, 3).astype(np.float64)
    return np.stack([(red - black) / 255, (green - black) / 255, (blue - black) / 255, black], axis=1)


def repeats_gray(shape: Shape, weights: str | None) -> bool:
    """Return whether gray images are repeated to the three channels of pretrained weights."""
    return weights is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 1))


def check_weights(name: str, weights: str, *, is_application: bool) -> None:
    """Raise for invalid weights, before anything is read.

    Raises
    ------
    BadSetting
        If the model does not take weights, or the value seems to be a column of the data.
    NotFound
        If the file does not exist.
    """
    if weights != "imagenet" and not os.path.isfile(weights):
        if os.path.splitext(weights)[1]:
            raise NotFound(f"--weights {weights}: no such file")
        raise BadSetting(
            f"--weights takes imagenet or a file with weights of the model, but {weights} is not a file; for a column of sample weights, "
            f"use --sample-weights {weights}"
        )
    if not is_application:
        raise BadSetting(f"--weights is for models of keras.applications, but --model is {name} (list: bitesize models)")


def build_application(name: str, shape: Shape, head: Any, weights: str | None = None, tunes: bool = False) -> Any:
    """Build a model of `keras.applications` with a head of its own.

    Parameters
    ----------
    name
        Name of the model.
    shape
        Shape of one row. With weights, gray rows are repeated to three channels.
    head
        Last layer, which takes features of shape (rows, features).
    weights
        ``"imagenet"``, or a file with the weights of the model without its top; None starts from scratch.
    tunes
        Whether the base is first frozen and then tuned: the head then has a Dropout.

    Raises
    ------
    BadSetting
        If the model cannot take rows of this shape, or these weights.
    NotFound
        If weights cannot be downloaded.
    """
    keras = load_keras()
    image = as_image(name, shape)
    gray = repeats_gray(shape, weights)
    if weights is not None and image[2] not in (1, 3):
        raise BadSetting(
            f"--weights needs RGB images with 3 channels, but rows have the shape {shape}: drop the option, or use --mode RGB for files of "
            "images"
        )
    base = _base(keras, name, (*image[:2], 3) if gray else image, weights)
    if image == shape and weights is None:
        return keras.Model(base.input, head(base.output), name=name.lower())
    x = inputs = keras.Input(shape)
    if image != shape:
        x = keras.layers.Reshape(image)(x)
    if gray:
        colors = expected_colors(name)
        x = keras.layers.Concatenate()([x, x, x])
        x = keras.layers.Rescaling(colors[:, :3].sum(axis=1).tolist(), colors[:, 3].tolist())(x)
    features = base(x)
    if tunes:
        features = keras.layers.Dropout(_DROPOUT)(features)
    return keras.Model(inputs, head(features), name=name.lower())


def _base(keras: Any, name: str, shape: Shape, weights: str | None) -> Any:
    """Build the model without its top, with its weights."""
    function = application_function(name)
    try:
        if weights == "imagenet":
            with _downloading(name):
                return function(include_top=False, weights=weights, input_shape=shape, pooling="avg")
        base = function(include_top=False, weights=None, input_shape=shape, pooling="avg")
    except ValueError as error:
        given = " with the weights imagenet" if weights else ""
        raise BadSetting(f"{name} cannot take rows of shape {shape}{given}: {_line(error)}") from error
    if weights is not None:
        try:
            base.load_weights(weights)
        except Exception as error:  # Keras and h5py raise many types of errors for damaged and foreign files
            raise BadSetting(
                f"the weights {weights} are not those of {name} without its top, for rows of shape {shape}: {_line(error)}. "
                f"{_how_to_save(name)}"
            ) from error
    return base


@contextlib.contextmanager
def _downloading(name: str) -> Iterator[None]:
    """Download weights with Keras, with progress on stderr; without a network, raise with other ways to get them."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")  # weights fit images of every size
            yield
    except ValueError:
        raise
    except Exception as error:  # Keras raises Exception itself
        address = next(iter(re.findall(r"https?://\S+[^\s:]", str(error))), None)
        file = f"put {os.path.basename(address)}, from {address}," if address else "put its file"
        folder = keras_home() / "models"
        raise NotFound(
            f"--weights imagenet: Keras could not download the weights of {name} ({_line(error)}). Without a network, {file} "
            f"into {folder}; or {_how_to_save(name)[:1].lower()}{_how_to_save(name)[1:]}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _how_to_save(name: str) -> str:
    return (
        f'Save them elsewhere with keras.applications.{name}(include_top=False, pooling="avg").save_weights("{name}.weights.h5"), and '
        f"use --weights {name}.weights.h5"
    )


def _line(error: Exception) -> str:
    return one_line(error, 300).rstrip(".")
