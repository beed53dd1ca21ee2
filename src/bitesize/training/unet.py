"""The model unet: a small U-Net, which returns scores of the classes for each pixel of an image, or voxel of a volume."""

from __future__ import annotations

from typing import Any

from bitesize.training.image_shape import Shape, as_image
from bitesize.training.volume_cnn import as_volume, takes_volumes

# Channels at full, half, quarter and eighth resolution: about half a million parameters. One convolution at each resolution on each way, and
# two at the lowest: two everywhere take twice as long on PyTorch, on a CPU.
_WIDTHS = (16, 32, 64, 160)
# Kernels of volumes have three times as many weights, and features at full resolution take most of the memory: half the channels, and about a
# third of a million parameters.
_WIDTHS_OF_VOLUMES = (8, 16, 32, 80)
_MULTIPLE = 2 ** (len(_WIDTHS) - 1)
# Scans of the heart have few slices. Below this, half of the padded depth would be padding at least.
LEAST_UNET_SIDE = 4


def as_space(shape: Shape, axes: str) -> Shape:
    """Return (height, width, channels) of images or (depth, height, width, channels) of volumes.

    Raises
    ------
    BadSetting
        If rows are neither, or volumes are too small.

    Examples
    --------
    >>> as_space((20, 24), ""), as_space((12, 20, 24), "DHW"), as_space((12, 20, 24, 2), "")
    ((20, 24, 1), (12, 20, 24, 1), (12, 20, 24, 2))
    """
    return as_volume(shape, axes, "unet", LEAST_UNET_SIDE) if takes_volumes(shape, axes) else as_image("unet", shape)


def build_unet(keras: Any, shape: Shape, head: Any, axes: str = "") -> Any:
    """Build the model for rows of a shape.

    Sides that are not multiples of 8 are padded at their ends, and the output is cropped again.

    Parameters
    ----------
    keras
        The module.
    shape
        Shape of one row: (height, width, channels), or (height, width) for gray images; (depth, height, width, channels), or
        (depth, height, width) for volumes.
    head
        Last layer, which takes features of shape (rows, height, width, features), or with a depth.
    axes
        Axes of the row, if the user has said them.
    """
    space = as_space(shape, axes)
    layers = _Layers(keras.layers, len(space) - 1)
    widths = _WIDTHS if layers.dimensions == 2 else _WIDTHS_OF_VOLUMES
    missing = tuple((0, -side % _MULTIPLE) for side in space[:-1])
    pads = any(end for _, end in missing)
    inputs = keras.Input(shape)
    x = keras.layers.Reshape(space)(inputs) if space != shape else inputs
    x = keras.layers.Rescaling(4.0, -2.0)(x)  # as in the cnn
    x = layers.of("ZeroPadding")(missing)(x) if pads else x
    skipped = []
    for width in widths[:-1]:
        x = layers.convolved(x, width)
        skipped.append(x)
        x = layers.of("MaxPooling")(2)(x)
    for _ in range(2):
        x = layers.convolved(x, widths[-1])
    x = keras.layers.Dropout(0.2)(x)
    for width, skip in zip(widths[-2::-1], reversed(skipped), strict=True):
        x = layers.of("Conv", "Transpose")(width, 2, strides=2)(x)
        x = layers.convolved(keras.layers.Concatenate()([x, skip]), width)
    x = layers.of("Cropping")(missing)(x) if pads else x
    return keras.Model(inputs, head(x), name="unet")


class _Layers:
    """Layers of Keras for two or three dimensions."""

    def __init__(self, layers: Any, dimensions: int) -> None:
        self._layers, self.dimensions = layers, dimensions

    def of(self, name: str, end: str = "") -> Any:
        """Return a class of layers, such as ``Conv2DTranspose``."""
        return getattr(self._layers, f"{name}{self.dimensions}D{end}")

    def convolved(self, x: Any, width: int) -> Any:
        """Convolve; group normalization, as in the cnn."""
        x = self.of("Conv")(width, 3, padding="same", use_bias=False)(x)
        return self._layers.Activation("relu")(self._layers.GroupNormalization(groups=8)(x))
