"""The model cnn for volumes: the residual convnet of images with three axes, and fewer channels."""

from __future__ import annotations

from typing import Any

from bitesize.errors import BadSetting
from bitesize.spec import Field
from bitesize.training.image_shape import Shape

# Smallest side that can be halved three times.
LEAST_VOLUME_SIDE = 8


def is_volume(field: Field) -> bool:
    """Return whether rows of a batch are volumes: (depth, height, width, channels), or three axes that are said to be a volume.

    Examples
    --------
    >>> import numpy as np
    >>> is_volume(Field((16, 64, 64, 1), np.float32)), is_volume(Field((16, 64, 64), np.float32, axes="DHW"))
    (True, True)
    >>> is_volume(Field((64, 64, 3), np.float32))
    False
    """
    return len(field.shape) == 4 or field.axes == "DHW"


def as_volume(shape: Shape) -> Shape:
    """Return (depth, height, width, channels) of the rows of `is_volume`.

    Raises
    ------
    BadSetting
        If a side is too short for the model.
    """
    if min(shape[:3]) < LEAST_VOLUME_SIDE:
        raise BadSetting(
            f"the model cnn needs volumes of at least {LEAST_VOLUME_SIDE} voxels along each axis, but rows have the shape {shape}: "
            "--model mlp takes any shape"
        )
    return shape if len(shape) == 4 else (*shape, 1)


def build_volume_cnn(keras: Any, shape: Shape, outputs: int) -> Any:
    """Build the model for rows that are volumes.

    Parameters
    ----------
    keras
        The module.
    shape
        Shape of one row: (depth, height, width, channels), or (depth, height, width).
    outputs
        Number of outputs.
    """
    volume, layers = as_volume(shape), keras.layers
    inputs = keras.Input(shape)
    x = layers.Reshape(volume)(inputs) if volume != shape else inputs
    x = layers.Rescaling(4.0, -2.0)(x)  # as in the cnn of images
    x = _activated(layers, _convolution(layers, x, 16, 2))
    for width in (32, 64):
        x = _activated(layers, _convolution(layers, x, width, 2))
        y = layers.GroupNormalization(groups=8)(_convolution(layers, x, width, 1))
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling3D()(x))
    return keras.Model(inputs, layers.Dense(outputs)(x), name="volume_cnn")


def _convolution(layers: Any, x: Any, width: int, strides: int) -> Any:
    return layers.Conv3D(width, 3, strides=strides, padding="same", use_bias=False)(x)


def _activated(layers: Any, x: Any) -> Any:
    return layers.Activation("relu")(layers.GroupNormalization(groups=8)(x))
