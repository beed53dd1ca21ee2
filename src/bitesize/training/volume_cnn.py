"""The model cnn for volumes: the residual convnet of images with three axes, and fewer channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.errors import BadSetting
from bitesize.spec import Field, axes_of_rows, channels_seem_first
from bitesize.training.image_shape import Shape

# Smallest side that can be halved three times.
LEAST_VOLUME_SIDE = 8


def takes_volumes(shape: Shape, axes: str) -> bool:
    """Return whether rows at a model's input are volumes: four axes, or three that are said to be a volume.

    Examples
    --------
    >>> takes_volumes((16, 64, 64, 1), ""), takes_volumes((16, 64, 64), "DHW"), takes_volumes((64, 64, 3), "")
    (True, True, False)
    """
    return len(shape) == 4 or axes == "DHW"


def as_volume(shape: Shape, axes: str, model: str = "cnn", least: int = LEAST_VOLUME_SIDE) -> Shape:
    """Return (depth, height, width, channels) of the rows of `takes_volumes`, for a model that needs sides of at least ``least`` voxels.

    Raises
    ------
    BadSetting
        If a side is too short for the model, or it is not clear which axis is the channels.
    """
    way = "--model mlp takes any shape" if model == "cnn" else "your own model, file.py:function, takes any shape"
    if not axes_of_rows(Field(shape, np.dtype(np.float32), axes=axes)):
        first = "channels seem to come first" if channels_seem_first(shape) else "it is not clear which axis is the channels"
        raise BadSetting(
            f"the model {model} needs volumes, (depth, height, width, channels), but {first} in rows of shape {shape}: save them with "
            f"np.moveaxis(x, 0, -1), or pass --axes DHWC if the last axis is the channels; {way}"
        )
    if min(shape[:3]) < least:
        raise BadSetting(
            f"the model {model} needs volumes of at least {least} voxels along each axis, but rows have the shape {shape}: "
            f"--image-size N resizes them to a cube; {way}"
        )
    return shape if len(shape) == 4 else (*shape, 1)


def build_volume_cnn(keras: Any, shape: Shape, axes: str, head: Any) -> Any:
    """Build the model for rows that are volumes.

    Parameters
    ----------
    keras
        The module.
    shape
        Shape of one row: (depth, height, width, channels), or (depth, height, width).
    axes
        Axes of the row, if the user has said them.
    head
        Last layer, which takes features of shape (rows, features).
    """
    volume, layers = as_volume(shape, axes), keras.layers
    inputs = keras.Input(shape)
    x = layers.Reshape(volume)(inputs) if volume != shape else inputs
    x = layers.Rescaling(4.0, -2.0)(x)  # as in the cnn of images
    x = _activated(layers, _convolution(layers, x, 16, 2))
    for width in (32, 64):
        x = _activated(layers, _convolution(layers, x, width, 2))
        y = layers.GroupNormalization(groups=8)(_convolution(layers, x, width, 1))
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling3D()(x))
    return keras.Model(inputs, head(x), name="volume_cnn")


def _convolution(layers: Any, x: Any, width: int, strides: int) -> Any:
    return layers.Conv3D(width, 3, strides=strides, padding="same", use_bias=False)(x)


def _activated(layers: Any, x: Any) -> Any:
    return layers.Activation("relu")(layers.GroupNormalization(groups=8)(x))
