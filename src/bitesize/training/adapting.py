"""Adapt rows of other data to the training data of a run: size, channels, and range of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.pipeline.inference import looks_like_series
from bitesize.sources.base import Source
from bitesize.sources.row_source import RowSource
from bitesize.sources.tiff_pages import TiffPages
from bitesize.spec import (
    PIXELS,
    Encoded,
    Field,
    Mode,
    Pages,
    Pixels,
    axes_of_rows,
    channels_seem_first,
    field_channels,
    is_volume,
)
from bitesize.training.values import Values, adapt_scaling, measure_values, saved_scaling
from bitesize.transforms.base import Step, from_dict
from bitesize.transforms.color import ColorMatrix
from bitesize.transforms.crop import Resize
from bitesize.transforms.normalize import Normalize, Scale

Shape = tuple[int, ...]
# Image modes by number of channels.
_MODES = {pixels.channels: mode for mode, pixels in PIXELS.items() if pixels.dtype == np.uint8}
# Types of training data that are not photographs: image files are then decoded unchanged.
_WIDE = ("uint16", "int16", "uint32", "int32")
# Values of 0 to 255 may overshoot by this much, for example after a bicubic resize; a sample below the second is in other units.
_OVERSHOOT, _DIM = 32.0, 32.0
_BYTE = 255.0


def described_rows(source: Source) -> dict[str, Any]:
    """Return what the config of a run notes about the rows of its training data, so that other data are read alike.

    Returns
    -------
    dict
        ``axes`` of the rows, ``image_mode`` and ``image_bands`` of decoded images, and ``pages``, what the pages of TIFF files are.
    """
    field = source.spec["x"]
    return {
        "axes": "HWC" if isinstance(field, Encoded) else field.axes or (axes_of_rows(field) if len(field.shape) > 2 else ""),
        "image_mode": field.mode if isinstance(field, Encoded) else None,
        "image_bands": field.bands,
        "pages": _pages_of(source),
    }


def _pages_of(source: RowSource) -> Pages | None:
    """Return what the pages of TIFF files are, if rows are made of several; None for other data."""
    if isinstance(source, TiffPages):
        return source.pages
    return next((pages for inner in source.derived_from if (pages := _pages_of(inner))), None)


def reading_of_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `bitesize.open` that say how a run reads its rows, whatever their labels."""
    settings = config["settings"]
    names = ("orient", "axes", "file_is_row")
    given = {name: settings[name] for name in names if settings.get(name) is not None}
    pages = config.get("pages") or settings.get("pages")
    return given | {"mode": image_mode(config) or settings.get("mode", "auto")} | ({"pages": pages} if pages else {})


def expected_rows(config: Mapping[str, Any]) -> Field:
    """Return shape and axes of the rows that the model of a run takes, as float32."""
    shape = tuple(config["input_shape"])
    axes = config.get("axes") or config.get("settings", {}).get("axes") or ""
    return Field(shape, np.dtype(np.float32), axes=axes if len(axes) == len(shape) else "")


def image_mode(config: Mapping[str, Any]) -> Mode | None:
    """Return the mode in which a run decodes image files: its own, or the mode with the channels of its rows; None for no images.

    Parameters
    ----------
    config
        Config of the run.
    """
    expected, mode = expected_rows(config), config["settings"].get("mode", "RGB")
    if mode == "auto":
        mode = config.get("image_mode")  # None if the run was trained on arrays
    shape, channels = expected.shape, _image_channels(expected)
    if channels is None or (len(shape) == 2 and looks_like_series(shape)):
        return None
    if config.get("pages"):
        return "unchanged"  # as pages are
    if len(shape) == 3 and (mode == "unchanged" or (mode in PIXELS and PIXELS[mode].channels == channels)):
        return cast("Mode", mode)
    if mode is None and config.get("value_range", {}).get("dtype") in _WIDE:
        return "unchanged"
    return cast("Mode | None", _MODES.get(channels))


def unchanged_images(config: Mapping[str, Any]) -> Encoded | None:
    """Return the field of the images of a run that are decoded unchanged, with channels and dtype; None for others."""
    if image_mode(config) != "unchanged":
        return None
    dtype = saved_scaling({"scaling": [], **config})[1].numpy_dtype
    pixels = Pixels(_image_channels(expected_rows(config)) or 1, dtype)
    return Encoded(mode="unchanged", pixels=pixels, bands=config.get("image_bands", False))


def _image_channels(expected: Field) -> int | None:
    """Return the number of channels if the rows of a run are images, or None."""
    return None if is_volume(expected) else field_channels(expected)


def adapt(config: Mapping[str, Any], source: Source, budget: Budget) -> tuple[list[Step], list[str]]:
    """Choose the transforms that adapt rows of a source to the training data of a run.

    Parameters
    ----------
    config
        Config of the run.
    source
        The data, with the field ``x``.
    budget
        Memory budget for measuring rows.

    Returns
    -------
    steps : list of Step
        For a `bitesize.Loader` of the source.
    said : list of str
        A line for each adaptation that was not needed for the run's own data.

    Raises
    ------
    BadSetting
        If rows do not have the shape that the model takes, or their values are clearly in other units.
    """
    field, expected = source.spec["x"], expected_rows(config)
    _refuse_other_shape(field, expected)
    steps, trained = saved_scaling({"scaling": [], **config})
    own = config["transforms"]
    geometry: list[Step] = [from_dict(each) for each in own[: len(own) - len(steps)]]
    said = []
    if not geometry and _is_of_other_size(field, expected):
        volumes = is_volume(expected)
        sides = expected.shape[: 3 if volumes else 2]
        geometry = [Resize(cast("tuple[int, int]", sides))]
        said.append(
            f"{'volumes' if volumes else 'images'} are resized to {' x '.join(map(str, sides))}, the shape of the run's rows"
        )
    given = measure_values(source, budget)
    if np.isnan(given.minimum):  # no row of the sample could be read: each raises its error when it is read
        return [*geometry, *steps], said
    if isinstance(field, Encoded) or len(field.shape) > 1:
        photographs = isinstance(field, Encoded) and (field.mode != "unchanged" or trained.dtype != given.dtype)
        _refuse_other_units(trained, given, photographs=photographs)
    adapted, differs = adapt_scaling(steps, trained, given)
    if given.kind == "unit" and given.integral and trained.kind != "unit":
        adapted = [
            _as_arithmetic(step) for step in adapted
        ]  # dark rows; a loader would assume another scale for the numbers
        if (
            given.dtype == "uint8"
            and given.maximum == 1 < trained.maximum
            and not isinstance(field, Encoded)
            and len(field.shape) > 1
        ):
            # Black images also look like this, so it is a warning here, while it is an error for other types.
            differs = (
                f"warning: {_differ(trained, given)}: scale the data to 0 to {255 if trained.kind == 'bytes' else 65535} first, unless "
                "it is as dark as that"
            )
    return [*geometry, *adapted], said + ([differs] if differs else [])


def _differ(trained: Values, given: Values) -> str:
    return f"the run was trained on values of {trained}, but the data has {given}"


def _as_arithmetic(step: Step) -> Step:
    """Return a `Normalize` with numbers as the arithmetic that it computes."""
    if not isinstance(step, Normalize) or isinstance(step.mean, str):
        return step
    means, deviations = step.numbers
    if len(means) == 1:
        return Scale(1 / deviations[0], -means[0] / deviations[0])
    if len(means) != 3:
        return step
    rows = [[*(1 / deviations[i] if i == j else 0.0 for j in range(3)), -means[i] / deviations[i]] for i in range(3)]
    return ColorMatrix(tuple(value for row in rows for value in row))


def fits(shape: Shape, expected: Shape) -> bool:
    """Return whether rows have the expected shape, or differ only by the last axis of gray images."""
    return shape == expected or (shape[:2] == expected[:2] and {shape[2:], expected[2:]} == {(), (1,)})


def is_row(shape: Shape, expected: Field) -> bool:
    """Return whether an array of this shape is one row of a run: it has the shape of its rows, or is an image or volume of another size."""
    return fits(shape, expected.shape) or (bool(shape) and _is_of_other_size(Field(shape, np.dtype(np.float32)), expected))


def shape_in_words(shape: Shape, expected: Field) -> str:
    """Return why an array of this shape is one row of a run."""
    kind = "a volume's" if is_volume(expected) else "an image's"
    return "the shape of the run's rows" if shape == expected.shape else f"{kind} shape, as the run's rows have"


def channels_first(shape: Shape, expected: Field) -> str:
    """Return a hint about a row that seems to have channels first; "" if it does not, or if the run's rows do, too."""
    channels = _image_channels(expected)
    if len(shape) != 3 or channels is None or shape[0] != channels or shape[2] == channels:
        return ""
    return ": if channels come first, move them to the end with row.transpose(1, 2, 0)"


def _is_of_other_size(field: Field | Encoded, expected: Field) -> bool:
    """Return whether rows, and the run's rows, are images, or volumes, and differ in size."""
    if is_volume(expected):
        return isinstance(field, Field) and _are_volumes_like(field, expected) and field.shape != expected.shape
    channels = _image_channels(expected)
    if channels is None:
        return False
    if isinstance(field, Encoded):
        return True
    return _channels_like(field, expected) == channels and field.shape[:2] != expected.shape[:2]


def _channels_like(field: Field, expected: Field) -> int | None:
    """Return the number of channels of images, whose axes are those of the run's rows if their shape does not show them."""
    if field_channels(field) is not None or len(field.shape) != len(expected.shape) or channels_seem_first(field.shape):
        return None if is_volume(field) else field_channels(field)
    return field.shape[-1] if axes_of_rows(expected) == "HWC" else None


def _are_volumes_like(field: Field, expected: Field) -> bool:
    """Return whether rows are volumes with the axes and the channels of the run's rows; they may not say what their axes are."""
    return (
        len(field.shape) == len(expected.shape)
        and field.shape[3:] == expected.shape[3:]
        and field.axes in ("", axes_of_rows(expected))
    )


def _refuse_other_shape(field: Field | Encoded, expected: Field) -> None:
    """Raise if rows do not have the shape of the run's rows, and are not images with the same channels, which are resized."""
    channels = _image_channels(expected)
    trained = f"the run was trained on rows of shape {expected.shape}"
    if isinstance(field, Field):
        if is_volume(expected) and is_volume(field) and _are_volumes_like(field, expected):
            return  # of another size: resized as the run's own rows, or refused by the loader
        if not fits(field.shape, expected.shape) and (channels is None or _channels_like(field, expected) != channels):
            raise BadSetting(f"{trained}, but the data has {field.shape}{channels_first(field.shape, expected)}")
        return
    if channels is None:
        raise BadSetting(
            f"{trained}, but image files cannot be converted to that shape: save them as .npy files of that shape"
        )
    if field.channels != channels:
        hint = (
            f": use --mode {_MODES[channels]} to decode images that way"
            if channels in _MODES
            else ": save them as .npy files of that shape"
        )
        raise BadSetting(f"{trained}, but the data has {(*expected.shape[:2], field.channels)}{hint}")


def _refuse_other_units(trained: Values, given: Values, *, photographs: bool) -> None:
    """Raise if the values of images cannot be in the units of the training data, and the conversion is not known."""
    differ = _differ(trained, given)
    if photographs and (trained.kind == "other" or (trained.kind == "unit" and trained.minimum < 0)):
        raise BadSetting(f"{differ}: save the images as .npy files, with values in the units of the training data")
    narrow = trained.kind == "bytes" and trained.dtype != "uint8" and trained.maximum < _DIM
    if narrow and given.maximum > 2 * trained.maximum:
        raise BadSetting(f"{differ}: bring the data to the values that the run was trained on")
    if given.dtype == "uint8":
        if trained.kind == "other" and trained.dtype != "uint8":
            raise BadSetting(f"{differ}: bring the data to the values that the run was trained on")
        return
    if trained.kind == "unit" and trained.minimum >= 0 and given.kind == "unit" and given.minimum < -1 / _BYTE:
        raise BadSetting(f"{differ}: scale the data to 0 to 1 first")
    if trained.kind not in ("bytes", "words"):
        return
    full = _BYTE if trained.kind == "bytes" else 65_535.0
    if given.kind == "unit" and (given.minimum < 0 or (given.integral and given.maximum == 1)):
        raise BadSetting(f"{differ}: scale the data to 0 to {full:.0f} first")
    near = given.minimum >= -_OVERSHOOT and _DIM < given.maximum <= full + _OVERSHOOT
    if given.kind == "other" and not near and not (trained.minimum <= given.minimum and given.maximum <= trained.maximum):
        raise BadSetting(f"{differ}: scale the data to 0 to {full:.0f} first")
    if trained.kind == "bytes" and given.kind == "words":
        raise BadSetting(f"{differ}: scale the data to 0 to 255 first")
