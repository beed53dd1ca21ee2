"""The model cnn: a residual convnet of about 0.4 million parameters, with layers that are cheap on a CPU for large images."""

from __future__ import annotations

from typing import Any

from bitesize.training.image_shape import Shape, as_image

# Smallest side at which the first layers may average: in smaller images that loses texture (measured on
# pictures of 64 x 64 pixels: a validation accuracy of 0.84 instead of 0.95 after the same number of steps).
_LARGE = 96


def build_cnn(keras: Any, shape: Shape, head: Any) -> Any:
    """Build the model for rows of a shape.

    Group normalization, because batch normalization's running averages (momentum 0.99) are still near their start after the few
    hundred steps of a small data set.

    Parameters
    ----------
    keras
        The module.
    shape
        Shape of one row: (height, width, channels), or (height, width) for gray images.
    head
        Last layer, which takes features of shape (rows, features).
    """
    image = as_image("cnn", shape)
    layers = keras.layers
    inputs = keras.Input(shape)
    x = layers.Reshape(image)(inputs) if image != shape else inputs
    x = layers.Rescaling(4.0, -2.0)(x)  # 0 to 1 becomes -2 to 2: about zero mean and unit deviation for photographs
    x = (_averaged if min(image[:2]) >= _LARGE else _strided)(layers, x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, head(x), name="cnn")


def _averaged(layers: Any, x: Any) -> Any:
    """Halve the sides by averages, after a first convolution whose windows do not overlap.

    JAX takes twice as long for a strided convolution with overlapping windows, mostly in the backward pass.
    """
    x = _convolution(layers, x, 24, 2, strides=2)
    for width in (48, 96, 144):
        x = layers.AveragePooling2D(2, padding="same")(_activated(layers, x))
        x = _convolution(layers, x, width, 3)
        x = layers.Add()([x, _convolution(layers, _activated(layers, x), width, 3)])
    return _activated(layers, x)


def _strided(layers: Any, x: Any) -> Any:
    """Halve the sides by strided convolutions. The first one saves three quarters of the work."""
    x = _activated(layers, _convolution(layers, x, 24, 5, strides=2))
    for width in (48, 96, 128):
        x = _activated(layers, _convolution(layers, x, width, 3, strides=2))
        y = _normalized(layers, _convolution(layers, x, width, 3))
        x = layers.Activation("relu")(layers.Add()([x, y]))
    return x


def _convolution(layers: Any, x: Any, width: int, size: int, strides: int = 1) -> Any:
    return layers.Conv2D(width, size, strides=strides, padding="same", use_bias=False)(x)


def _normalized(layers: Any, x: Any) -> Any:
    return layers.GroupNormalization(groups=8)(x)


def _activated(layers: Any, x: Any) -> Any:
    return layers.Activation("relu")(_normalized(layers, x))
