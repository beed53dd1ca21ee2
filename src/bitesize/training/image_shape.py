"""Check the shape of rows for a model of images."""

from __future__ import annotations

from bitesize.errors import BadSetting

Shape = tuple[int, ...]

# Smallest side that the cnn can halve often enough.
LEAST_SIDE = 16
# Smallest side for MobileNetV2 and most other models of keras.applications.
LEAST_PRETRAINED_SIDE = 32
# Satellite and microscope images have up to this many channels; a volume's depth is rarely less than half of its sides.
_MOST_CHANNELS, _FEW_CHANNELS = 32, 10


def as_image(name: str, shape: Shape) -> Shape:
    """Return (height, width, channels) of rows that a model of images can take.

    Raises
    ------
    BadSetting
        If rows are not images: features, a volume, or images with channels first.
    """
    ways = "your own model, file.py:function, takes any shape" if name == "unet" else "--model mlp takes any shape"
    if len(shape) == 2 and min(shape) >= LEAST_SIDE:
        return (*shape, 1)
    if len(shape) != 3:
        raise BadSetting(
            f"the model {name} needs images, (height, width, channels), but rows have the shape {shape}: {ways}"
        )
    height, width, channels = shape
    if height <= 4 and width >= LEAST_SIDE and channels >= LEAST_SIDE:
        raise BadSetting(
            f"rows of shape {shape} look like images with channels first, but the model {name} needs (height, width, channels): "
            f"save them with np.moveaxis(x, 0, -1); {ways}"
        )
    if channels > _MOST_CHANNELS or (channels > _FEW_CHANNELS and 2 * channels > min(height, width)):
        raise BadSetting(
            f"rows of shape {shape} look like volumes, or have channels first, but the model {name} takes images, (height, width, "
            f"channels) with at most {_MOST_CHANNELS} channels: {'--axes DHW makes them volumes; ' if name in ('cnn', 'unet') else '--axes DHW makes them volumes, for --model cnn; '}{ways}"
        )
    if name == "cnn" and min(height, width) < LEAST_SIDE:
        raise BadSetting(
            f"the model cnn needs images of at least {LEAST_SIDE} x {LEAST_SIDE} pixels, but rows have the shape {shape}: {ways}"
        )
    return shape
