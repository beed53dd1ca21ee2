"""The model unet: a small U-Net, which returns scores of the classes for each pixel of an image."""

from __future__ import annotations

from typing import Any

from bitesize.training.image_shape import Shape, as_image

# Channels at full, half, quarter and eighth resolution: about half a million parameters. One convolution at each resolution on each way, and
# two at the lowest: two everywhere take twice as long on PyTorch, on a CPU.
_WIDTHS = (16, 32, 64, 160)
_MULTIPLE = 2 ** (len(_WIDTHS) - 1)


def build_unet(keras: Any, shape: Shape, head: Any) -> Any:
    """Build the model for rows of a shape.

    Sides that are not multiples of 8 are padded at the bottom and on the right, and the output is cropped again.

    Parameters
    ----------
    keras
        The module.
    shape
        Shape of one row: (height, width, channels), or (height, width) for gray images.
    head
        Last layer, which takes features of shape (rows, height, width, features).
    """
    image = as_image("unet", shape)
    layers = keras.layers
    below, right = ((-side % _MULTIPLE) for side in image[:2])
    inputs = keras.Input(shape)
    x = layers.Reshape(image)(inputs) if image != shape else inputs
    x = layers.Rescaling(4.0, -2.0)(x)  # as in the cnn
    x = layers.ZeroPadding2D(((0, below), (0, right)))(x) if below or right else x
    skipped = []
    for width in _WIDTHS[:-1]:
        x = _convolution(layers, x, width)
        skipped.append(x)
        x = layers.MaxPooling2D(2)(x)
    for _ in range(2):
        x = _convolution(layers, x, _WIDTHS[-1])
    x = layers.Dropout(0.2)(x)
    for width, skip in zip(_WIDTHS[-2::-1], reversed(skipped), strict=True):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x)
        x = _convolution(layers, layers.Concatenate()([x, skip]), width)
    x = layers.Cropping2D(((0, below), (0, right)))(x) if below or right else x
    return keras.Model(inputs, head(x), name="unet")


def _convolution(layers: Any, x: Any, width: int) -> Any:
    """Convolve; group normalization, as in the cnn."""
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
    return layers.Activation("relu")(layers.GroupNormalization(groups=8)(x))
